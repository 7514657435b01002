#include "prompt.h"

#include "capture.h"
#include "editor.h"
#include "tty.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static FILE *input; /* rank 0 */

bool lm_atterminal(void)
{
    int is = lm_typed(), any;
    MPI_Allreduce(&is, &any, 1, MPI_INT, MPI_LOR, MPI_COMM_WORLD);
    return any;
}

/* --- input and output ------------------------------------------------------------------------------------- */

void lm_show(const char *text, size_t size)
{
    if (lm_ttyfd() < 0) {
        lm_writeout(text, size);
        return;
    }
    while (size > 0) {
        ssize_t n = write(lm_ttyfd(), text, size);
        if (n < 0 && errno != EINTR && errno != EAGAIN) return;
        if (n < 0) continue;
        text += n;
        size -= (size_t)n;
    }
}

/* Scripts that read standard input find it empty, as on the other ranks: what comes there are lines for the prompt. */
static void take_input(void)
{
    if (input) return;
    int keys = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 10), null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    dup2(null, STDIN_FILENO);
    if (keys < 0) keys = null;
    else close(null);
    input = fdopen(keys, "r");
    lm_startkeys(keys);
}

/* readline(prompt[, complete]) → line without its end, or nil and "end" or "interrupted"; complete as lm_edit has it. */
static int prompt_readline(lua_State *L)
{
    static char *line;
    static size_t room;
    size_t size;
    const char *prompt = luaL_checklstring(L, 1, &size);
    if (lm_ttyfd() >= 0) return lm_edit(L);
    lm_show(prompt, size);
    ssize_t n = getline(&line, &room, input);
    if (n < 0) {
        lua_pushnil(L);
        lua_pushliteral(L, "end");
        return 2;
    }
    if (n > 0 && line[n - 1] == '\n') n--;
    if (n > 0 && line[n - 1] == '\r') n--;
    lua_pushlstring(L, line, (size_t)n);
    return 1;
}

static int prompt_write(lua_State *L)
{
    size_t size;
    const char *text = luaL_checklstring(L, 1, &size);
    lm_show(text, size);
    return 0;
}

/* edits() → whether lines are edited here. */
static int prompt_edits(lua_State *L)
{
    lua_pushboolean(L, lm_ttyfd() >= 0);
    return 1;
}

/* entries(folder) → list of the names in a folder, folders with a slash at the end; nil when it cannot be read. */
static int prompt_entries(lua_State *L)
{
    DIR *folder = opendir(luaL_checkstring(L, 1));
    if (!folder) return 0;
    lua_newtable(L);
    int n = 0;
    for (struct dirent *entry; (entry = readdir(folder));) {
        struct stat status;
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        bool is_folder = fstatat(dirfd(folder), entry->d_name, &status, 0) == 0 && S_ISDIR(status.st_mode);
        lua_pushfstring(L, "%s%s", entry->d_name, is_folder ? "/" : "");
        lua_rawseti(L, -2, ++n);
    }
    closedir(folder);
    return 1;
}

/* makefolder(path) → whether the folder is there afterwards, for this user alone. */
static int prompt_makefolder(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    lua_pushboolean(L, mkdir(path, 0700) == 0 || errno == EEXIST);
    return 1;
}

static const luaL_Reg functions[] = {
    {"readline", prompt_readline}, {"write", prompt_write},           {"edits", prompt_edits}, {"remember", lm_remember},
    {"entries", prompt_entries},   {"makefolder", prompt_makefolder}, {NULL, NULL},
};

int luaopen_prompt(lua_State *L)
{
    take_input();
    luaL_newlib(L, functions);
    return 1;
}
