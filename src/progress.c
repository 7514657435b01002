#include "progress.h"

#include "error.h"

#include <dlfcn.h>
#include <lauxlib.h>
#include <mpi.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

lm_waiting lm_waits;
unsigned lm_idle;
void (*lm_background)(void);
double lm_watch = 60;

#define LOOKS_BEFORE_CLOCK 256
#define SPIN 400e-6 /* longer than a nap of the peer takes: else two ranks in close traffic send each other to sleep */
#define FIRST_NAP 20e-6
#define LAST_NAP 1e-3
#define WORK 3e-6   /* of this thread's own time; looking in vain takes less, so between two looks MPI was moving data */
#define BATCH 8     /* looks between naps; when half of them met work, a long message is coming in */
#define BOARD 0.1   /* a wait of this length is written on the board */

static double began, nap, next_report;
static double last; /* this thread's time at the last look */
static unsigned batch, worked; /* looks in this batch, and those that met work */
static bool on_board;

static double progress_clock(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* "comm:recv(source=1, tag=11) at script.lua:14". Reads the Lua stack but runs nothing. */
static const char *progress_place(char *text, size_t room)
{
    const lm_waiting *w = &lm_waits;
    if (!w->L) {
        snprintf(text, room, "%s", w->call);
        return text;
    }
    char peer[64] = "", tag[32] = "", place[LUA_IDSIZE + 32];
    if (w->peer && w->rank == MPI_ANY_SOURCE) snprintf(peer, sizeof peer, "%s=ANY_SOURCE", w->peer);
    else if (w->peer) snprintf(peer, sizeof peer, "%s=%d", w->peer, w->rank);
    if (w->peer && w->tag >= 0) snprintf(tag, sizeof tag, ", tag=%d", w->tag);
    bool known = lm_place(w->L, place, sizeof place);
    snprintf(text, room, "comm:%s(%s%s)%s%s", w->call, peer, tag, known ? " at " : "", place);
    return text;
}

static void progress_report(double waited)
{
    int rank;
    char place[256];
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    fprintf(stderr, "rank %d: waiting %g s in %s\n", rank, waited, progress_place(place, sizeof place));
}

static void progress_board(void)
{
    char place[256], text[300];
    if (lm_waits.leaving != LM_RUNNING) snprintf(text, sizeof text, "has finished");
    else snprintf(text, sizeof text, "waits in %s", progress_place(place, sizeof place));
    lm_board(text, lm_waits.leaving);
}

/* A look in vain, after many. */
static void progress_idle(void)
{
    double own = progress_clock(CLOCK_THREAD_CPUTIME_ID);
    bool first = lm_idle == LOOKS_BEFORE_CLOCK;
    if (!first && ++batch < BATCH) {
        if (batch > 1 && own - last > WORK) worked++; /* the first one after a nap is slow for other reasons */
        last = own;
        return;
    }
    double now = progress_clock(CLOCK_MONOTONIC);
    if (first || worked >= BATCH / 2) {
        began = now;
        nap = FIRST_NAP;
        next_report = lm_watch;
        on_board = false;
    }
    batch = worked = 0;
    last = own;
    if (now - began < SPIN) return;
    if (lm_watch > 0 && now - began >= next_report) {
        progress_report(next_report);
        next_report *= 2;
    }
    if (!on_board && now - began >= BOARD) {
        progress_board();
        on_board = true;
    }
    if (on_board) lm_look(now);
    nanosleep(&(struct timespec){0, (long)(nap * 1e9)}, NULL);
    if (nap < LAST_NAP) nap *= 2;
}

/* Called by Open MPI each time it looks for something to do; the events found here are always none. */
static int progress_look(void)
{
    if (lm_background) lm_background();
    if (++lm_idle >= LOOKS_BEFORE_CLOCK) progress_idle();
    return 0;
}

void lm_startprogress(void)
{
    /* Open MPI's own components register this way; where the symbol is missing, waiting ranks spin. */
    int (*enter)(int (*)(void)) = NULL;
    *(void **)&enter = dlsym(RTLD_DEFAULT, "opal_progress_register");
    if (enter) enter(progress_look);
}
