#include "interrupt.h"

#include "error.h"
#include "progress.h"
#include "recover.h"
#include "session.h"
#include "tick.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

bool lm_guarded;
bool (*lm_stopasked)(void);

#define LOOK 0.05      /* seconds between two looks of a computing rank whether it is to stop */
#define CALLBACK 0.01  /* between two calls of the function that a meeting was given */
#define AGAIN 128      /* instructions, after which code that caught an interruption gets the next; halved each time */
#define STOP_TAG 1

static MPI_Comm control = MPI_COMM_NULL; /* the ranks of COMM_WORLD, among themselves */
static int my_rank, ranks;

static volatile sig_atomic_t running; /* inside interrupt.run */
static volatile sig_atomic_t asked;   /* the person asked; the others are yet to be told */
static uint32_t run = 1;              /* counts the meetings: what is run between two of them */
static bool interrupted;              /* since the last meeting */
static int again;                     /* instructions to the next interruption */

/* --- asking and being asked ------------------------------------------------------------------------------- */

/* A stop is for one run: its number, and whether the job is stuck. On one machine it stands on the board, else every
   rank gets a message. */
static volatile uint32_t stop; /* run * 2 + stuck, as this rank knows it */
static uint32_t stop_message;  /* where the next one arrives */
static MPI_Request stop_request = MPI_REQUEST_NULL;

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
        MPI_Isend(&sent, 1, MPI_UINT32_T, r, STOP_TAG, control, &request);
        MPI_Request_free(&request);
    }
}

/* Looks who asks; not in a signal handler. */
static void stop_look(void)
{
    static bool inside; /* MPI looks for something to do also in the calls made here */
    if (inside) return;
    inside = true;
    stop_note(lm_boardstopped());
    if (lm_stopasked && !asked && lm_stopasked()) asked = 1;
    if (asked) lm_stop(false);
    asked = 0;
    if (stop_request != MPI_REQUEST_NULL) {
        int there;
        MPI_Test(&stop_request, &there, MPI_STATUS_IGNORE);
        if (there) {
            stop_note(stop_message);
            MPI_Irecv(&stop_message, 1, MPI_UINT32_T, MPI_ANY_SOURCE, STOP_TAG, control, &stop_request);
        }
    }
    inside = false;
}

/* In the timer's signal handler. */
static void stop_look_in_signal(void)
{
    if (lm_stopasked && lm_stopasked()) asked = 1;
}

bool lm_stopping(void) { return running && stop / 2 == run; }

bool lm_running(void) { return running; }

static void again_hook(lua_State *L, lua_Debug *at)
{
    (void)at;
    if (lm_stopping()) lm_raisestop(L, false);
    lua_sethook(L, NULL, 0, 0);
}

int lm_raisestop(lua_State *L, bool waiting)
{
    char place[256];
    bool known = true;
    interrupted = true;
    if (waiting) lm_waitplace(place, sizeof place);
    else known = lm_place(L, place, sizeof place);
    lm_untick(L);
    lua_Hook hook = lua_gethook(L);
    if (!hook || hook == again_hook) lua_sethook(L, again_hook, LUA_MASKCOUNT, again);
    if (again > 1) again /= 2;
    lua_pushfstring(L, "interrupted%s%s%s", waiting ? " in " : known ? " at " : "", known ? place : "",
                    stop & 1 ? ": no rank can go on" : "");
    return lua_error(L);
}

static void stop_serve(lua_State *L)
{
    stop_look();
    if (lm_stopping()) lm_raisestop(L, false);
}

/* --- rounds ----------------------------------------------------------------------------------------------- */

/* When ranks meet or are to stop, they tell each other, round by round, where they are: at the meeting, or in the
   agreement that opens a collective. Whoever has not come to that collective joins its agreement to say that it does
   not come. The last round is the one in which all are at the meeting. */
typedef struct report {
    uint64_t comm; /* identity of the communicator; 0: at the meeting */
    uint64_t call; /* which agreement on it; at the meeting: whether this rank was interrupted */
} report;

static report mine, *all;
static MPI_Request round_request = MPI_REQUEST_NULL;

typedef struct joined {
    struct joined *next;
    uint64_t words[3];
    MPI_Request request;
} joined;

static joined *joins;

static void join(lm_commrecord *r)
{
    joined *j = calloc(1, sizeof *j);
    if (!j) lm_abort(1);
    *j = (joined){joins, {0, 0, 1}, MPI_REQUEST_NULL};
    joins = j;
    r->agreed++;
    MPI_Iallreduce(MPI_IN_PLACE, j->words, 3, MPI_UINT64_T, MPI_MAX, r->payload, &j->request);
}

static void joins_end(void)
{
    while (joins) {
        joined *j = joins;
        MPI_Wait(&j->request, MPI_STATUS_IGNORE);
        joins = j->next;
        free(j);
    }
}

/* Takes part in a round, or in the next when one has ended. Returns true when one has ended just now. */
static bool round_step(report own)
{
    if (round_request == MPI_REQUEST_NULL) {
        mine = own;
        MPI_Iallgather(&mine, 2, MPI_UINT64_T, all, 2, MPI_UINT64_T, control, &round_request);
    }
    int ended;
    MPI_Test(&round_request, &ended, MPI_STATUS_IGNORE);
    if (!ended) return false;
    for (int r = 0; r < ranks; r++) {
        lm_commrecord *record = all[r].comm ? lm_findrecord(all[r].comm) : NULL;
        if (record && (uint64_t)record->agreed < all[r].call) join(record);
    }
    return true;
}

bool lm_reduceguarded(lua_State *L, lm_comm *c, uint64_t words[3], const char *call)
{
    MPI_Request request;
    int done = 0;
    words[2] = 0;
    lm_mpi(L, MPI_Iallreduce(MPI_IN_PLACE, words, 3, MPI_UINT64_T, MPI_MAX, c->payload, &request), call);
    for (;;) {
        int code = MPI_Test(&request, &done, MPI_STATUS_IGNORE);
        if (done) lm_mpi(L, code, call);
        if (done) return words[2] == 0;
        if (lm_stopping()) round_step((report){c->record->id, (uint64_t)c->record->agreed});
    }
}

/* --- the module ------------------------------------------------------------------------------------------- */

static int control_end(void)
{
    if (stop_request != MPI_REQUEST_NULL) {
        MPI_Cancel(&stop_request);
        MPI_Wait(&stop_request, MPI_STATUS_IGNORE);
    }
    lm_onwait = NULL;
    return 0;
}

/* begin(): collective; the program is guarded from now on. */
static int interrupt_begin(lua_State *L)
{
    if (!lm_guarded) {
        MPI_Comm_rank(MPI_COMM_WORLD, &my_rank);
        MPI_Comm_size(MPI_COMM_WORLD, &ranks);
        lm_mpi(L, MPI_Comm_dup(MPI_COMM_WORLD, &control), "begin");
        all = calloc((size_t)ranks, sizeof *all);
        if (!all) return luaL_error(L, "not enough memory");
        if (!lm_boardwhole() && ranks > 1)
            MPI_Irecv(&stop_message, 1, MPI_UINT32_T, MPI_ANY_SOURCE, STOP_TAG, control, &stop_request);
        lm_onwait = stop_look;
        lm_atend(control_end, true);
        lm_guarded = true;
    }
    return 0;
}

static int message_handler(lua_State *L)
{
    const char *message = lua_tostring(L, 1);
    if (!message) {
        if (luaL_callmeta(L, 1, "__tostring") && lua_type(L, -1) == LUA_TSTRING) message = lua_tostring(L, -1);
        else message = lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, 1));
    }
    lua_createtable(L, 2, 0);
    lua_pushvalue(L, 1);
    lua_rawseti(L, -2, 1);
    luaL_traceback(L, L, message, 1);
    lua_rawseti(L, -2, 2);
    return 1;
}

/* run(f, …) → true, results …, or false, error, traceback. Local. */
static int interrupt_run(lua_State *L)
{
    luaL_checkany(L, 1);
    if (!lm_guarded) return luaL_error(L, "interrupt.begin was not called");
    if (running) return luaL_error(L, "interrupt.run runs already");
    lua_pushcfunction(L, message_handler);
    lua_insert(L, 1);
    lm_boardstate(LM_AT_WORK);
    running = 1;
    again = AGAIN;
    lm_onsignal = stop_look_in_signal;
    lm_starttick(stop_serve, LOOK);
    int status = lua_pcall(L, lua_gettop(L) - 2, LUA_MULTRET, 1);
    lm_stoptick(stop_serve);
    lm_onsignal = NULL;
    running = 0;
    lua_Hook hook = lua_gethook(L);
    if (hook == again_hook) lua_sethook(L, NULL, 0, 0);
    lm_boardstate(status == LUA_OK ? LM_AT_END : LM_AT_FAULT);
    lua_pushboolean(L, status == LUA_OK);
    lua_replace(L, 1);
    if (status == LUA_OK) return lua_gettop(L);
    if (lua_type(L, 2) == LUA_TTABLE) {
        lua_rawgeti(L, 2, 1);
        lua_rawgeti(L, 2, 2);
        lua_remove(L, 2);
    }
    return lua_gettop(L);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* meet([while_waiting]) → whether some rank was interrupted. Collective; also for ranks that ran nothing. */
static int interrupt_meet(lua_State *L)
{
    lua_settop(L, 1);
    if (!lm_guarded) return luaL_error(L, "interrupt.begin was not called");
    if (running) return luaL_error(L, "interrupt.meet inside interrupt.run");
    double next = now() + CALLBACK;
    bool here, stopped;
    lm_wait(NULL, "the others' end of what runs", NULL, 0, -1);
    lm_waits.leaving = LM_ENDED;
    do {
        while (!round_step((report){0, interrupted})) {
            if (lm_boardleft() >= 0) exit(lm_boardleft()); /* os.exit on one rank is the end for all */
            if (lua_isnil(L, 1) || now() < next) continue;
            lua_pushvalue(L, 1);
            lua_call(L, 0, 0);
            next = now() + CALLBACK;
        }
        here = true, stopped = false;
        for (int r = 0; r < ranks; r++) {
            if (all[r].comm) here = false;
            else if (all[r].call) stopped = true;
        }
    } while (!here);
    run++;
    interrupted = false;
    lm_boardstate(LM_AT_REST);
    if (stopped) {
        joins_end();
        lm_recover(L, control);
    }
    lua_pushboolean(L, stopped);
    return 1;
}

/* stop(): every rank stops what it runs. */
static int interrupt_stop(lua_State *L)
{
    if (!lm_guarded) return luaL_error(L, "interrupt.begin was not called");
    lm_stop(false);
    return 0;
}

/* running() → whether interrupt.run is at work on this rank. */
static int interrupt_running(lua_State *L)
{
    lua_pushboolean(L, running);
    return 1;
}

/* states() → list by rank: "running", "done", "failed", "idle" or "waits in …"; nil when the job spans machines. */
static int interrupt_states(lua_State *L)
{
    return lm_pushstates(L);
}

static const luaL_Reg functions[] = {
    {"begin", interrupt_begin},
    {"run", interrupt_run},
    {"meet", interrupt_meet},
    {"stop", interrupt_stop},
    {"running", interrupt_running},
    {"states", interrupt_states},
    {NULL, NULL},
};

int luaopen_interrupt(lua_State *L)
{
    luaL_newlib(L, functions);
    return 1;
}
