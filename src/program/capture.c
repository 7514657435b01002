#include "capture.h"

#include "session.h"

#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <mpi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* A file begins with the offset up to which it was read; what lies before that has no memory any more. */
typedef int64_t header;

#define PIECE (1 << 20) /* read at once while lines are wanted */
#define PAGE 4096

static int own = -1, out = STDOUT_FILENO; /* this rank's file, and where its output went before */
static int *files;                        /* rank 0: by rank, -1: not on this machine */
static int ranks;
static bool readable; /* rank 0 reads this rank's file */

/* --- files ------------------------------------------------------------------------------------------------ */

void lm_writeout(const char *text, size_t size)
{
    while (size > 0) {
        ssize_t written = write(out, text, size);
        if (written < 0 && errno != EINTR && errno != EAGAIN) return;
        if (written < 0) continue;
        text += written;
        size -= (size_t)written;
    }
}

static header read_so_far(int file)
{
    header h = sizeof h;
    return pread(file, &h, sizeof h, 0) == sizeof h ? h : (header)sizeof h;
}

static void forget(int file, header from, header to)
{
    if (pwrite(file, &to, sizeof to, 0) != sizeof to) return;
    from -= from % PAGE;
    to -= to % PAGE;
    if (from == 0) from = PAGE; /* the header stays */
    if (to > from) fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, from, to - from);
}

/* Pushes what is new in a file and marks it as read; pushes nil when that is nothing. */
static bool take(lua_State *L, int file, bool all)
{
    struct stat status;
    header from = read_so_far(file);
    if (fstat(file, &status) || status.st_size <= from) {
        lua_pushnil(L);
        return false;
    }
    size_t size = (size_t)(status.st_size - from);
    if (!all && size > PIECE) size = PIECE;
    luaL_Buffer b;
    char *text = luaL_buffinitsize(L, &b, size);
    ssize_t got = pread(file, text, size, from);
    size = got > 0 ? (size_t)got : 0;
    if (!all && size < PIECE)
        while (size > 0 && text[size - 1] != '\n') size--;
    luaL_pushresultsize(&b, size);
    if (size > 0) {
        forget(file, from, from + (header)size);
        return true;
    }
    lua_pop(L, 1);
    lua_pushnil(L);
    return false;
}

bool lm_captured(lua_State *L, bool all)
{
    bool any = false;
    lua_createtable(L, ranks, 0);
    for (int r = 0; r < ranks; r++) {
        if (files[r] < 0) continue;
        any = take(L, files[r], all) || any;
        lua_rawseti(L, -2, r + 1);
    }
    return any;
}

/* --- beginning and end ------------------------------------------------------------------------------------ */

/* The process ends while a line runs: what nobody has shown goes to where it would have gone without the prompt. */
static void capture_end(void)
{
    fflush(stdout);
    if (own < 0) return;
    char text[4096];
    ssize_t n;
    for (header at = read_so_far(own); (n = pread(own, text, sizeof text, at)) > 0; at += n) lm_writeout(text, (size_t)n);
    dup2(out, STDOUT_FILENO);
    close(own);
    own = -1;
}

/* Opens this rank's file twice: whoever writes appends to it, and with such a descriptor nothing else can be done. */
static bool new_file(void)
{
    char path[40];
    header begin = sizeof begin;
    int file = memfd_create("luampi output", MFD_CLOEXEC);
    if (file < 0 || write(file, &begin, sizeof begin) != sizeof begin) return false;
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    if ((own = open(path, O_RDWR | O_CLOEXEC)) < 0) return false;
    fcntl(file, F_SETFL, O_APPEND);
    fflush(stdout);
    if ((out = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 10)) < 0) out = open("/dev/null", O_WRONLY | O_CLOEXEC);
    dup2(file, STDOUT_FILENO);
    close(file);
    return true;
}

/* start(): collective, once in the life of the process. */
static int capture_start(lua_State *L)
{
    if (own >= 0) return 0;
    struct { char host[64], path[40]; } mine = {"", ""}, *all;
    int rank;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    if (!new_file()) return luaL_error(L, "no file in memory for the output: %s", strerror(errno));
    setvbuf(stdout, NULL, _IOLBF, 1 << 16);
    atexit(capture_end);
    lm_onabort = capture_end;

    gethostname(mine.host, sizeof mine.host - 1);
    snprintf(mine.path, sizeof mine.path, "/proc/%d/fd/%d", (int)getpid(), own);
    all = lua_newuserdatauv(L, sizeof *all * (size_t)ranks, 0);
    int *opened = lua_newuserdatauv(L, sizeof *opened * (size_t)ranks, 0);
    MPI_Allgather(&mine, sizeof mine, MPI_BYTE, all, sizeof mine, MPI_BYTE, MPI_COMM_WORLD);
    for (int r = 0; rank == 0 && r < ranks; r++)
        opened[r] = strcmp(all[r].host, mine.host) ? -1 : open(all[r].path, O_RDWR | O_CLOEXEC);
    MPI_Bcast(opened, ranks, MPI_INT, 0, MPI_COMM_WORLD);
    readable = opened[rank] >= 0;
    if (rank == 0) {
        files = malloc(sizeof *files * (size_t)ranks);
        if (!files) return luaL_error(L, "not enough memory");
        memcpy(files, opened, sizeof *files * (size_t)ranks);
    }
    return 0;
}

/* --- for Lua ---------------------------------------------------------------------------------------------- */

/* flush() → what this rank printed, when rank 0 cannot read it by itself; else, or when that is nothing, nil. To be
   called when a line has run. */
static int capture_flush(lua_State *L)
{
    fflush(stdout);
    if (readable) lua_pushnil(L);
    else take(L, own, true);
    return 1;
}

/* taken() → list by rank of what the ranks of this machine printed; on rank 0. */
static int capture_taken(lua_State *L)
{
    lm_captured(L, true);
    return 1;
}

/* write(text): to where standard output goes. */
static int capture_write(lua_State *L)
{
    size_t size;
    const char *text = luaL_checklstring(L, 1, &size);
    lm_writeout(text, size);
    return 0;
}

static const luaL_Reg functions[] = {
    {"start", capture_start}, {"flush", capture_flush}, {"taken", capture_taken}, {"write", capture_write}, {NULL, NULL},
};

int luaopen_capture(lua_State *L)
{
    luaL_newlib(L, functions);
    return 1;
}
