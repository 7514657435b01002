#include "prompt.h"

#include "capture.h"

#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static FILE *input; /* rank 0 */

/* --- is there one? ---------------------------------------------------------------------------------------- */

/* The terminal behind this process's standard input: its own, or mpirun's, which hands on what is typed. */
static bool input_is_terminal(void)
{
    if (isatty(STDIN_FILENO)) return true;
    char path[40], parent[16] = "";
    snprintf(path, sizeof path, "/proc/%d/comm", (int)getppid());
    FILE *file = fopen(path, "r");
    if (!file) return false;
    if (fscanf(file, "%15s", parent) != 1) *parent = 0;
    fclose(file);
    if (strcmp(parent, "mpirun") && strcmp(parent, "orterun")) return false;
    snprintf(path, sizeof path, "/proc/%d/fd/0", (int)getppid());
    int fd = open(path, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return false;
    bool is = isatty(fd);
    close(fd);
    return is;
}

bool lm_atterminal(void)
{
    int is = input_is_terminal(), any;
    MPI_Allreduce(&is, &any, 1, MPI_INT, MPI_LOR, MPI_COMM_WORLD);
    return any;
}

/* --- input and output ------------------------------------------------------------------------------------- */

int lm_input(void) { return fileno(input); }

void lm_show(const char *text, size_t size) { lm_writeout(text, size); }

/* Scripts that read standard input find it empty, as on the other ranks: what comes there are lines for the prompt. */
static void take_input(void)
{
    if (input) return;
    int keys = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 10), null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    dup2(null, STDIN_FILENO);
    if (keys < 0) keys = null;
    else close(null);
    input = fdopen(keys, "r");
}

/* readline(prompt) → line without its end, or nil at the end of the input. */
static int prompt_readline(lua_State *L)
{
    static char *line;
    static size_t room;
    size_t size;
    const char *prompt = luaL_checklstring(L, 1, &size);
    lm_show(prompt, size);
    ssize_t n = getline(&line, &room, input);
    if (n < 0) {
        lua_pushnil(L);
        return 1;
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

static const luaL_Reg functions[] = {{"readline", prompt_readline}, {"write", prompt_write}, {NULL, NULL}};

int luaopen_prompt(lua_State *L)
{
    take_input();
    luaL_newlib(L, functions);
    return 1;
}
