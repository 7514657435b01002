#include "interrupt.h"

#include "clock.h"
#include "deadlock.h"
#include "error.h"
#include "progress.h"
#include "recover.h"
#include "request.h"
#include "session.h"
#include "stop.h"

#include <stdlib.h>

#define CALLBACK 0.01 /* seconds between two calls of the function that a meeting was given */

static MPI_Comm control = MPI_COMM_NULL; /* the ranks of COMM_WORLD, among themselves */
static int ranks;

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
    MPI_Iallreduce(MPI_IN_PLACE, j->words, 3, MPI_UINT64_T, MPI_SUM, r->payload, &j->request);
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

bool lm_sumguarded(lua_State *L, lm_comm *c, uint64_t words[3], const char *call)
{
    MPI_Request request;
    int done = 0;
    words[2] = 0;
    lm_mpi(L, MPI_Iallreduce(MPI_IN_PLACE, words, 3, MPI_UINT64_T, MPI_SUM, c->payload, &request), call);
    for (;;) {
        int code = MPI_Test(&request, &done, MPI_STATUS_IGNORE);
        if (done) lm_mpi(L, code, call);
        if (done) return words[2] == 0;
        if (lm_stopping()) round_step((report){c->record->id, (uint64_t)c->record->agreed});
    }
}

/* --- the module ------------------------------------------------------------------------------------------- */

/* begin(): collective; the program is guarded from now on. */
static int interrupt_begin(lua_State *L)
{
    if (lm_guarded) return 0;
    lm_mpi(L, MPI_Comm_dup(MPI_COMM_WORLD, &control), "begin");
    MPI_Comm_size(control, &ranks);
    all = calloc((size_t)ranks, sizeof *all);
    if (!all) return luaL_error(L, "not enough memory");
    lm_startstops(control);
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
    if (lm_running()) return luaL_error(L, "interrupt.run runs already");
    lua_pushcfunction(L, message_handler);
    lua_insert(L, 1);
    lm_beginrun();
    int status = lua_pcall(L, lua_gettop(L) - 2, LUA_MULTRET, 1);
    lm_endrun(L, status != LUA_OK);
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

/* meet([while_waiting]) → whether some rank was interrupted. Collective; also for ranks that ran nothing. */
static int interrupt_meet(lua_State *L)
{
    lua_settop(L, 1);
    if (!lm_guarded) return luaL_error(L, "interrupt.begin was not called");
    if (lm_running()) return luaL_error(L, "interrupt.meet inside interrupt.run");
    double next = lm_now() + CALLBACK;
    bool here, stopped;
    lm_wait(NULL, "the others' end of what runs", NULL, 0, -1);
    lm_waits.leaving = LM_ENDED;
    do {
        while (!round_step((report){0, lm_stopped()})) {
            if (lm_boardleft() >= 0) exit(lm_boardleft()); /* os.exit on one rank is the end for all */
            if (lua_isnil(L, 1) || lm_now() < next) continue;
            lua_pushvalue(L, 1);
            lua_call(L, 0, 0);
            next = lm_now() + CALLBACK;
        }
        here = true, stopped = false;
        for (int r = 0; r < ranks; r++) {
            if (all[r].comm) here = false;
            else if (all[r].call) stopped = true;
        }
    } while (!here);
    if (stopped) {
        joins_end();
        lm_recover(L, control);
    }
    lm_nextrun(); /* a wish to stop that comes before this is for the run that has ended */
    lua_pushboolean(L, stopped);
    return 1;
}

/* leave(): gives up what is open and needs other ranks, as an interruption does, so that this Lua may end. Collective. */
static int interrupt_leave(lua_State *L)
{
    if (!lm_guarded) return luaL_error(L, "interrupt.begin was not called");
    int open = lm_missrequests();
    lm_wait(L, "the end of a session", NULL, 0, -1);
    lm_mpi(L, MPI_Allreduce(MPI_IN_PLACE, &open, 1, MPI_INT, MPI_MAX, control), "interrupt");
    if (open) lm_recover(L, control);
    return 0;
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
    lua_pushboolean(L, lm_running());
    return 1;
}

static const luaL_Reg functions[] = {
    {"begin", interrupt_begin},
    {"run", interrupt_run},
    {"meet", interrupt_meet},
    {"leave", interrupt_leave},
    {"stop", interrupt_stop},
    {"running", interrupt_running},
    {NULL, NULL},
};

int luaopen_interrupt(lua_State *L)
{
    luaL_newlib(L, functions);
    return 1;
}
