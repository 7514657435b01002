#include "stop.h"

#include "deadlock.h"
#include "error.h"
#include "progress.h"
#include "session.h"
#include "tick.h"

#include <lauxlib.h>
#include <signal.h>
#include <stdint.h>

bool lm_guarded;
bool (*lm_stopasked)(void);

#define LOOK 0.05 /* seconds between two looks of a computing rank whether it is to stop */
#define TAG 1

static MPI_Comm control; /* the ranks of COMM_WORLD, among themselves */
static int my_rank, ranks;

static volatile sig_atomic_t running; /* something that can be stopped */
static volatile sig_atomic_t asked;   /* the person asked; the others are yet to be told */
static uint32_t run = 1;              /* counts the meetings: what is run between two of them */
static bool interrupted;              /* since the last meeting */

/* --- asking and being asked ------------------------------------------------------------------------------- */

/* A stop is for one run: its number, and whether the job is stuck. On one machine it stands on the board, else every
   rank gets a message. */
static volatile uint32_t stop; /* run * 2 + stuck, as this rank knows it */
static uint32_t message;       /* where the next one arrives */
static MPI_Request message_request = MPI_REQUEST_NULL;

static void stop_note(uint32_t s)
{
    if (s / 2 > stop / 2) stop = s;
}

void lm_stop(bool stuck)
{
    uint32_t s = run * 2 + stuck;
    if (stop / 2 >= run) return;
    stop_note(s);
    if (lm_boardstop(s)) return;
    static uint32_t sent;
    sent = s;
    for (int r = 0; r < ranks; r++) {
        MPI_Request request;
        if (r == my_rank) continue;
        MPI_Isend(&sent, 1, MPI_UINT32_T, r, TAG, control, &request);
        MPI_Request_free(&request);
    }
}

/* Looks who asks; not in a signal handler. Whether something runs here. */
static bool stop_look(void)
{
    static bool inside; /* MPI looks for something to do also in the calls made here */
    if (inside) return running;
    inside = true;
    stop_note(lm_boardstopped());
    if (lm_stopasked && !asked && lm_stopasked()) asked = 1;
    if (asked) lm_stop(false);
    asked = 0;
    if (message_request != MPI_REQUEST_NULL) {
        int there;
        MPI_Test(&message_request, &there, MPI_STATUS_IGNORE);
        if (there) {
            stop_note(message);
            MPI_Irecv(&message, 1, MPI_UINT32_T, MPI_ANY_SOURCE, TAG, control, &message_request);
        }
    }
    inside = false;
    return running;
}

/* In the timer's signal handler, where only the board can be written: this rank may be in a long C function. */
static void stop_look_in_signal(void)
{
    if (!lm_stopasked || !lm_stopasked()) return;
    asked = 1;
    lm_boardstop(run * 2);
}

bool lm_stopping(void) { return running && stop / 2 == run; }

bool lm_running(void) { return running; }

bool lm_stopped(void) { return interrupted; }

static void stop_serve(lua_State *L)
{
    stop_look();
    if (lm_stopping()) lm_raisestop(L, false);
}

/* In an operator only the board tells who asks. */
static void stop_operator(lua_State *L)
{
    stop_note(lm_boardstopped());
    if (lm_stopping()) lm_raisestop(L, false);
}

int lm_raisestop(lua_State *L, bool waiting)
{
    char place[256];
    bool known = true;
    interrupted = true;
    if (waiting) lm_waitplace(place, sizeof place);
    else known = lm_place(L, place, sizeof place);
    lm_insist(L, stop_serve);
    lua_pushfstring(L, "interrupted%s%s%s", waiting ? " in " : known ? " at " : "", known ? place : "",
                    stop & 1 ? ": no rank can go on" : "");
    return lua_error(L);
}

/* --- runs ------------------------------------------------------------------------------------------------- */

/* Because no rank can go on. */
static void stop_stuck(void) { lm_stop(true); }

static int stops_end(void)
{
    if (message_request != MPI_REQUEST_NULL) {
        MPI_Cancel(&message_request);
        MPI_Wait(&message_request, MPI_STATUS_IGNORE);
    }
    lm_onwait = NULL;
    return 0;
}

void lm_startstops(MPI_Comm comm)
{
    control = comm;
    MPI_Comm_rank(control, &my_rank);
    MPI_Comm_size(control, &ranks);
    if (!lm_boardwhole() && ranks > 1) MPI_Irecv(&message, 1, MPI_UINT32_T, MPI_ANY_SOURCE, TAG, control, &message_request);
    lm_onwait = stop_look;
    lm_onstuck = stop_stuck;
    lm_atend(stops_end, true);
    lm_guarded = true;
}

void lm_beginrun(void)
{
    lm_boardstate(LM_AT_WORK);
    running = 1;
    lm_onsignal = stop_look_in_signal;
    lm_onoperator = stop_operator;
    lm_starttick(stop_serve, LOOK);
}

void lm_endrun(lua_State *L, bool failed)
{
    lm_stoptick(stop_serve);
    lm_onsignal = NULL;
    lm_onoperator = NULL;
    running = 0;
    lm_relent(L, stop_serve);
    lm_boardstate(failed ? LM_AT_FAULT : LM_AT_END);
}

void lm_nextrun(void)
{
    run++;
    interrupted = false;
    lm_boardstate(LM_AT_REST);
}
