#include "progress.h"

#include "error.h"

#include <dlfcn.h>
#include <lauxlib.h>
#include <math.h>
#include <mpi.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

lm_waiting lm_waits = {.call = "its beginning", .leaving = LM_RUNNING};
unsigned lm_idle, lm_moves;
void (*lm_unsettled)(void), (*lm_background)(void), (*lm_serving)(void);
bool (*lm_onwait)(void);
double lm_watch = 60, lm_longest_nap = LM_NAP;
const char *lm_within;

#define LOOKS_BEFORE_CLOCK 256
#define SPIN 400e-6 /* longer than a nap of the peer takes: else two ranks in close traffic send each other to sleep */
#define SPIN_MOVING 50e-3
#define NAP (1.0 / 16) /* of the time that the wait has taken: what it may take longer for the nap */
#define FIRST_NAP 20e-6
#define BATCH 8     /* looks between two naps */
#define BOARD 0.1   /* a wait of this length is written on the board */

/* A look that finds nothing takes less of this thread's own time than WORK, the first one after a nap less than COLD.
   Longer ones moved data, or met noise: the one comes often, the other seldom. */
#define WORK 2e-6
#define COLD 12e-6
#define BUSY 4       /* looks with work in a spin that begin it anew, */
#define SELDOM 200   /* when they are at least one of so many */

static double began;       /* the wait */
static double spin_began;
static double last;        /* this thread's own time at the last look */
static double next_report;
static unsigned looks, worked;   /* in this spin or batch, and with work among them */
static bool napping, batch_worked; /* the latter: in the last batch */
static bool on_board;

static double progress_clock(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

const char *lm_waitplace(char *text, size_t room)
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
    if (lm_within) snprintf(text, room, "comm:%s()%s%s", lm_within, known ? " at " : "", place);
    else if (strpbrk(w->call, ".: ")) snprintf(text, room, "%s%s%s", w->call, known ? " at " : "", place);
    else snprintf(text, room, "comm:%s(%s%s)%s%s", w->call, peer, tag, known ? " at " : "", place);
    return text;
}

static void progress_report(double waited)
{
    int rank;
    char place[256];
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    fprintf(stderr, "rank %d: waiting %g s in %s\n", rank, waited, lm_waitplace(place, sizeof place));
}

static void progress_board(void)
{
    char place[256], text[300];
    if (lm_waits.leaving != LM_RUNNING) snprintf(text, sizeof text, "has finished");
    else snprintf(text, sizeof text, "waits in %s", lm_waitplace(place, sizeof place));
    lm_board(text, lm_waits.leaving);
}

static bool moving(void) { return lm_waits.moving || lm_moves > 0; }

static void progress_spin(double now)
{
    napping = batch_worked = false;
    spin_began = now;
    looks = worked = 0;
}

/* What a wait of some length makes known. */
static void progress_tell(double now)
{
    bool interesting = !lm_onwait || lm_onwait();
    if (lm_waits.limited) return;
    if (lm_watch > 0 && !lm_waits.serving && interesting && now - began >= next_report) {
        progress_report(next_report);
        next_report *= 2;
    }
    if (!on_board && now - began >= BOARD) {
        progress_board();
        on_board = true;
    }
    if (on_board) lm_look(now, moving(), worked > 0);
}

/* A look, after many in vain. */
static void progress_idle(void)
{
    double own = progress_clock(CLOCK_THREAD_CPUTIME_ID);
    if (lm_idle == LOOKS_BEFORE_CLOCK) {
        began = progress_clock(CLOCK_MONOTONIC);
        next_report = lm_watch;
        on_board = false;
        progress_spin(began);
    } else if (napping ? looks == 0 && own - last > COLD : own - last > WORK) {
        worked++;
    }
    last = own;
    if (++looks % BATCH) return;
    double now = progress_clock(CLOCK_MONOTONIC);
    if (!napping) {
        if (worked >= BUSY && worked * SELDOM >= looks) progress_spin(now);
        if (now - spin_began < (moving() ? SPIN_MOVING : SPIN)) return;
        napping = true;
    } else if (worked && batch_worked) {
        progress_spin(now);
        return;
    }
    progress_tell(now);
    batch_worked = worked > 0;
    looks = worked = 0;
    double nap = fmin(fmax((now - spin_began) * NAP, FIRST_NAP), lm_longest_nap);
    nanosleep(&(struct timespec){0, (long)(nap * 1e9)}, NULL);
    last = progress_clock(CLOCK_THREAD_CPUTIME_ID);
}

/* Called by Open MPI each time it looks for something to do; the events found here are always none. */
static int progress_look(void)
{
    if (lm_background) lm_background();
    if (lm_serving) lm_serving();
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
