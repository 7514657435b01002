#include "output.h"

#include "object.h"

#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <mpi.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* mpirun gives every rank a pseudo-terminal (or, without /dev/pts, a pipe) as standard output and forwards whatever
   pieces it finds there. So the ranks of a machine all write to the output of its first: a write to a terminal is never
   interleaved with another's; one to a pipe is not when the writers lock it. */
typedef struct place {
    char host[64], output[32]; /* "/proc/123/fd/1", or empty: not to be shared */
} place;

static bool locks; /* lines are written under a lock */

/* Whether mpirun was asked to tell the ranks' output apart. */
static bool output_labelled(void)
{
    static const char *const names[] = {"tag_output", "timestamp_output", "xml_output", "output_filename", "xterm"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char variable[64];
        snprintf(variable, sizeof variable, "OMPI_MCA_orte_%s", names[i]);
        if (getenv(variable)) return true;
    }
    return false;
}

/* Whether mpirun started this process and reads what it prints. */
static bool output_forwarded(void)
{
    char path[32], parent[16] = "";
    struct stat status;
    snprintf(path, sizeof path, "/proc/%d/comm", (int)getppid());
    FILE *file = fopen(path, "r");
    if (!file) return false;
    if (fscanf(file, "%15s", parent) != 1) *parent = 0;
    fclose(file);
    if (strcmp(parent, "mpirun") && strcmp(parent, "orterun") && strcmp(parent, "orted")) return false;
    locks = fstat(STDOUT_FILENO, &status) == 0 && S_ISFIFO(status.st_mode);
    return locks || isatty(STDOUT_FILENO);
}

void lm_startoutput(void)
{
    int rank, size;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    if (size == 1) return;
    place mine = {"", ""}, *all = malloc(sizeof *all * (size_t)size);
    gethostname(mine.host, sizeof mine.host - 1);
    if (!output_labelled() && output_forwarded()) snprintf(mine.output, sizeof mine.output, "/proc/%d/fd/1", (int)getpid());
    MPI_Allgather(&mine, sizeof mine, MPI_BYTE, all, sizeof mine, MPI_BYTE, MPI_COMM_WORLD);
    int first = 0;
    while (strcmp(all[first].host, mine.host)) first++;
    if (first != rank && *mine.output && *all[first].output) {
        int fd = open(all[first].output, O_WRONLY | O_NOCTTY | O_CLOEXEC);
        if (fd >= 0) {
            dup2(fd, STDOUT_FILENO);
            close(fd);
        }
    }
    free(all);
    if (*mine.output) setvbuf(stdout, NULL, _IOLBF, 1 << 16);
}

/* print(...): as Lua's, the line in one piece. */
static int output_print(lua_State *L)
{
    int n = lua_gettop(L);
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    lm_addline(L, &b, n);
    luaL_addchar(&b, '\n');
    luaL_pushresult(&b);
    size_t left;
    const char *line = lua_tolstring(L, -1, &left);
    fflush(stdout);
    if (locks) flock(STDOUT_FILENO, LOCK_EX);
    while (left > 0) {
        ssize_t written = write(STDOUT_FILENO, line, left);
        if (written < 0 && errno != EINTR && errno != EAGAIN) break;
        if (written < 0) continue;
        line += written;
        left -= (size_t)written;
    }
    if (locks) flock(STDOUT_FILENO, LOCK_UN);
    return 0;
}

void luaopen_output(lua_State *L)
{
    lua_pushcfunction(L, output_print);
    lua_setglobal(L, "print");
}
