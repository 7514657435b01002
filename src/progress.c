#include "progress.h"

#include <dlfcn.h>
#include <lauxlib.h>
#include <mpi.h>
#include <stdio.h>
#include <time.h>

lm_waiting lm_waits;
unsigned lm_idle;
double lm_watch = 60;

/* A nap must come later than the longest nap of a busy peer would explain, else two ranks in close traffic send each
   other to sleep. */
#define LOOKS_BEFORE_CLOCK 256
#define SPIN 400e-6
#define FIRST_NAP 20e-6
#define LAST_NAP 1e-3

static double began, nap, next_report;

static double progress_clock(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void report_peer(FILE *to)
{
    if (!lm_waits.peer) return;
    if (lm_waits.rank == MPI_ANY_SOURCE) fprintf(to, "%s=ANY_SOURCE", lm_waits.peer);
    else fprintf(to, "%s=%d", lm_waits.peer, lm_waits.rank);
    if (lm_waits.tag >= 0) fprintf(to, ", tag=%d", lm_waits.tag);
}

/* "rank 2: waiting 60 s in comm:recv(source=1, tag=11) at script.lua:14". Reads the Lua stack but runs nothing. */
static void report(double waited)
{
    int rank;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    fprintf(stderr, "rank %d: waiting %.0f s in ", rank, waited);
    if (!lm_waits.L) {
        fprintf(stderr, "%s\n", lm_waits.call);
        return;
    }
    fprintf(stderr, "comm:%s(", lm_waits.call);
    report_peer(stderr);
    fputc(')', stderr);
    lua_Debug at;
    for (int level = 0; lua_getstack(lm_waits.L, level, &at); level++)
        if (lua_getinfo(lm_waits.L, "Sl", &at) && at.currentline > 0) {
            fprintf(stderr, " at %s:%d", at.short_src, at.currentline);
            break;
        }
    fputc('\n', stderr);
}

static void progress_nap(void)
{
    double now = progress_clock();
    if (lm_idle == LOOKS_BEFORE_CLOCK) {
        began = now;
        nap = FIRST_NAP;
        next_report = lm_watch;
        return;
    }
    if (now - began < SPIN) return;
    if (lm_watch > 0 && now - began >= next_report) {
        report(next_report);
        next_report *= 2;
    }
    nanosleep(&(struct timespec){0, (long)(nap * 1e9)}, NULL);
    if (nap < LAST_NAP) nap *= 2;
}

/* Called by Open MPI each time it looks for something to do; the events found here are always none. */
static int progress_look(void)
{
    if (++lm_idle >= LOOKS_BEFORE_CLOCK) progress_nap();
    return 0;
}

void lm_startprogress(void)
{
    /* Open MPI's own components register this way; where the symbol is missing, waiting ranks spin. */
    int (*enter)(int (*)(void)) = NULL;
    *(void **)&enter = dlsym(RTLD_DEFAULT, "opal_progress_register");
    if (enter) enter(progress_look);
}
