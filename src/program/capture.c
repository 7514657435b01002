#include "capture.h"

#include "session.h"
#include "stop.h"
#include "tick.h"

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
#include <time.h>
#include <unistd.h>

/* A file begins with the offset up to which it was read; what lies before that has no memory any more. */
typedef int64_t header;

#define PIECE (256 << 10)  /* read at once while lines are wanted */
#define WAITING (1 << 20)  /* a rank that has printed so much more than was read waits */
#define LOOK 0.05          /* seconds between two looks whether it has */
#define TAIL (16 << 10)    /* what is shown of more when the line was stopped */
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

static header unread(int file, header *from)
{
    struct stat status;
    *from = read_so_far(file);
    return fstat(file, &status) == 0 && status.st_size > *from ? status.st_size - *from : 0;
}

/* Pushes what is new in a file and marks it as read; pushes nil when that is nothing. */
static bool take(lua_State *L, int file, lm_part part)
{
    header from, size = unread(file, &from);
    bool cut = part == LM_TAIL && size > TAIL;
    if (part == LM_LINES && size > PIECE) size = PIECE;
    if (cut) {
        forget(file, from, from + size - TAIL);
        from += size - TAIL;
        size = TAIL;
    }
    luaL_Buffer b;
    char *text = luaL_buffinitsize(L, &b, (size_t)size);
    ssize_t got = size > 0 ? pread(file, text, (size_t)size, from) : 0;
    size_t begin = 0, end = got > 0 ? (size_t)got : 0;
    const char *last = memrchr(text, '\n', end);
    if (part == LM_LINES && (last || end < PIECE)) end = last ? (size_t)(last - text) + 1 : 0;
    if (cut && last) begin = (size_t)((char *)memchr(text, '\n', end) - text) + 1;
    if (end > 0) forget(file, from, from + (header)end);
    if (begin > 0) memmove(text, text + begin, end - begin);
    luaL_pushresultsize(&b, end - begin);
    if (cut) {
        lua_pushliteral(L, "…\n");
        lua_insert(L, -2);
        lua_concat(L, 2);
    }
    if (end > 0) return true;
    lua_pop(L, 1);
    lua_pushnil(L);
    return false;
}

bool lm_captured(lua_State *L, lm_part part)
{
    bool any = false;
    lua_createtable(L, ranks, 0);
    for (int r = 0; r < ranks; r++) {
        if (files[r] < 0) continue;
        any = take(L, files[r], part) || any;
        lua_rawseti(L, -2, r + 1);
    }
    return any;
}

/* Now and then while a line runs: a rank that prints faster than can be shown waits for rank 0's attendant. */
static void hold(lua_State *L)
{
    (void)L;
    header from;
    while (unread(own, &from) > WAITING && !lm_stopping()) nanosleep(&(struct timespec){0, 5000000}, NULL);
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

/* begin(): a line runs. */
static int capture_begin(lua_State *L)
{
    (void)L;
    if (readable) lm_starttick(hold, LOOK);
    return 0;
}

/* finish() → what this rank printed, when rank 0 cannot read it by itself; else, or when that is nothing, nil. */
static int capture_finish(lua_State *L)
{
    lm_stoptick(hold);
    fflush(stdout);
    if (readable) lua_pushnil(L);
    else take(L, own, LM_ALL);
    return 1;
}

/* taken(stopped) → list by rank of what the ranks of this machine printed, when the line was stopped the last of it; on
   rank 0. */
static int capture_taken(lua_State *L)
{
    lm_captured(L, lua_toboolean(L, 1) ? LM_TAIL : LM_ALL);
    return 1;
}

static const luaL_Reg functions[] = {
    {"start", capture_start}, {"begin", capture_begin}, {"finish", capture_finish}, {"taken", capture_taken}, {NULL, NULL},
};

int luaopen_capture(lua_State *L)
{
    luaL_newlib(L, functions);
    return 1;
}
