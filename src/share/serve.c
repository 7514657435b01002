/* What pools (lua/mpi/pool.lua) need besides messages of Lua values: waiting for whatever comes, on any tag and for
   a limited time; notes of two integers, which need no Lua to be sent; something that goes on while a task computes;
   and the end of a rank that leaves its pool with os.exit. */
#include "serve.h"

#include "clock.h"
#include "comm.h"
#include "error.h"
#include "handout.h"
#include "progress.h"
#include "recover.h"
#include "session.h"
#include "stop.h"
#include "tick.h"

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOTE 3    /* tag of notes on a pool's communicator */
#define TICK 1e-3 /* seconds */

typedef struct note {
    int32_t what;
    uint32_t about;
} note;

/* Pools this rank is in, the innermost first. They may outlive the Lua state, as their communicators do. */
typedef struct membership {
    struct membership *outer;
    MPI_Comm comm;
    int rank, size;
} membership;

static membership *memberships;

/* What a rank tells the others of a pool it leaves before the end; lua/mpi/pooltask.lua has the same numbers. */
enum { LEFT_BY_EXIT = 1, LEFT_AT_THE_END = 2, LEFT_WITH_ITS_TASK = 6 };

/* Out of the innermost pool: rank 0 tells all others, these tell rank 0. */
static void membership_leave(int what)
{
    note n = {what, 0};
    membership *m = memberships;
    memberships = m->outer;
    if (m->rank > 0) MPI_Send(&n, sizeof n, MPI_BYTE, 0, NOTE, m->comm);
    for (int r = 1; m->rank == 0 && r < m->size; r++) MPI_Send(&n, sizeof n, MPI_BYTE, r, NOTE, m->comm);
    free(m);
}

static const char tick_key = 0;   /* registry: the function that the tick calls */
static const char thread_key = 0; /* registry: the thread on which it does */

/* --- waiting ---------------------------------------------------------------------------------------------- */

/* wait(comm, call[, timeout[, tag[, after]]]) → source, tag of the next message, which stays where it is; nothing when none
   came within `timeout` seconds. What `call` names is told of a long wait, with the error after which it waits; who waits
   in "mpi.pool" serves, which may take any time. */
static int serve_wait(lua_State *L)
{
    static const char *const calls[] = {"mpi.pool", "pool:call", "future:get", "future:wait", "future:done",
                                        "mpi.as_completed", "pool:map", "pool:imap", "the end of mpi.pool",
                                        NULL};
    static char told[100]; /* also when this wait is over */
    lm_comm *c = lm_checkcomm(L, 1);
    const char *call = calls[luaL_checkoption(L, 2, NULL, calls)];
    bool limited = !lua_isnoneornil(L, 3);
    double end = limited ? luaL_checknumber(L, 3) : 0;
    int there, wanted = lm_checktag(L, 4, MPI_ANY_TAG);
    MPI_Status status;
    lm_wait(L, call, NULL, 0, -1);
    lm_mpi(L, MPI_Iprobe(MPI_ANY_SOURCE, wanted, c->comm, &there, &status), call);
    /* one that finds nothing takes in what has arrived, for the next one to find */
    if (!there) lm_mpi(L, MPI_Iprobe(MPI_ANY_SOURCE, wanted, c->comm, &there, &status), call);
    if (!there && !(limited && end <= 0)) {
        end += MPI_Wtime();
        const char *after = luaL_optstring(L, 5, NULL);
        lm_waits.serving = call == calls[0];
        if (after) {
            snprintf(told, sizeof told, "%s after the error '%.*s'", call, (int)strcspn(after, "\n"), after);
            lm_waits.call = told;
        }
        lm_waits.limited = limited;
        do {
            lm_mpi(L, MPI_Iprobe(MPI_ANY_SOURCE, wanted, c->comm, &there, &status), call);
            if (!there && lm_stopping()) lm_raisestop(L, true);
            if (!there) lm_tickwaiting(L);
        } while (!there && !(limited && MPI_Wtime() >= end));
        lm_waits.serving = lm_waits.limited = false;
    }
    if (!there) return 0;
    lua_pushinteger(L, status.MPI_SOURCE);
    lua_pushinteger(L, status.MPI_TAG);
    return 2;
}

/* --- notes ------------------------------------------------------------------------------------------------ */

/* note(comm, rank, what, about) */
static int serve_note(lua_State *L)
{
    lm_comm *c = lm_checkcomm(L, 1);
    int rank = lm_checkrank(L, 2, c, "rank", MPI_UNDEFINED);
    note n = {(int32_t)luaL_checkinteger(L, 3), (uint32_t)luaL_checkinteger(L, 4)};
    lm_mpi(L, MPI_Send(&n, sizeof n, MPI_BYTE, rank, NOTE, c->comm), "note");
    return 0;
}

/* read(comm, rank) → what, about: the next note from a rank */
static int serve_read(lua_State *L)
{
    lm_comm *c = lm_checkcomm(L, 1);
    int rank = lm_checkrank(L, 2, c, "rank", MPI_UNDEFINED);
    note n;
    lm_mpi(L, MPI_Recv(&n, sizeof n, MPI_BYTE, rank, NOTE, c->comm, MPI_STATUS_IGNORE), "read");
    lua_pushinteger(L, n.what);
    lua_pushinteger(L, n.about);
    return 2;
}

/* --- while a task computes -------------------------------------------------------------------------------- */

static bool ticking;
static bool called; /* the function set by tick() has not returned */
static bool inside; /* run() has not returned */
static bool halted; /* since the outermost one began, something was raised there */

/* Calls the function set by tick(). It has a thread of its own, since the task's may be at its limits: of nested calls of C,
   or of the stack. What it returns: a message is raised in the task that runs, with true behind it until that ends,
   however often the task catches it; false says that no more ticks are needed until start(). */
static void serve_tick(lua_State *L)
{
    if (called || !lua_checkstack(L, 1)) return;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &thread_key);
    lua_State *own = lua_tothread(L, -1);
    lua_pop(L, 1);
    lua_settop(own, 0);
    lua_sethook(own, NULL, 0, 0);
    bool failed = false;
    if (lua_rawgetp(own, LUA_REGISTRYINDEX, &tick_key) == LUA_TNIL) {
        lua_pushboolean(own, 0);
    } else {
        int results;
        called = true;
        failed = lua_resume(own, NULL, 0, &results) != LUA_OK;
        called = false;
        if (failed) lua_resetthread(own);
    }
    bool stops = !failed && inside && lua_type(own, 1) == LUA_TSTRING;
    if (stops) halted = true;
    if (stops && lua_toboolean(own, 2)) lm_insist(L, serve_tick);
    if (stops || failed) {
        lua_settop(own, 1);
        lua_xmove(own, L, 1);
        lua_error(L);
    }
    if (lua_isboolean(own, 1)) {
        lm_stoptick(serve_tick);
        ticking = false;
    }
}

static void tick_start(void)
{
    if (!ticking) lm_starttick(serve_tick, TICK);
    ticking = true;
}

/* tick(f): f() will be called about every TICK seconds while Lua code runs, from start() on. */
static int serve_settick(lua_State *L)
{
    lua_settop(L, 1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &tick_key);
    return 0;
}

static int serve_start(lua_State *L)
{
    (void)L;
    tick_start();
    return 0;
}

/* run(handler, f, …) → as xpcall(f, handler, …); a tick may stop it. What it has then begun and not ended, being stopped
   anywhere, is given up: maps, and the being in pools; nobody is blamed for the communicators it has made. */
static int serve_run(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_pushboolean(L, 1);
    lua_insert(L, 2);
    bool outermost = !inside;
    const membership *pool = memberships;
    const lm_commrecord *newest = lm_firstrecord();
    uint64_t maps = lm_mapsbegun();
    tick_start();
    if (outermost) halted = false;
    inside = true;
    int status = lua_pcall(L, lua_gettop(L) - 3, LUA_MULTRET, 1);
    inside = !outermost;
    if (outermost) lm_relent(L, serve_tick);
    if (outermost && halted) {
        while (memberships && memberships != pool) membership_leave(LEFT_WITH_ITS_TASK);
        lm_abandonmaps(maps);
        for (lm_commrecord *r = lm_firstrecord(); r && r != newest; r = r->next) r->excused = true;
    }
    if (status != LUA_OK) {
        lua_pushboolean(L, 0);
        lua_replace(L, 2);
    }
    return lua_gettop(L) - 1;
}

/* stopped() → whether something was raised by a tick in what the outermost run() calls */
static int serve_stopped(lua_State *L)
{
    lua_pushboolean(L, inside && halted);
    return 1;
}

/* clock() → seconds; the same for all ranks of a machine, as MPI_Wtime is not. */
static int serve_clock(lua_State *L)
{
    lua_pushnumber(L, lm_now());
    return 1;
}

/* --- being in a pool -------------------------------------------------------------------------------------- */

static int memberships_end(void)
{
    while (memberships) membership_leave(lm_ended ? LEFT_AT_THE_END : LEFT_BY_EXIT);
    return 0;
}

/* enter(comm) → the function set by tick; this rank is in a pool on that communicator until leave(comm). */
static int serve_enter(lua_State *L)
{
    lm_comm *c = lm_checkcomm(L, 1);
    membership *m = calloc(1, sizeof *m);
    if (!m) return luaL_error(L, "not enough memory");
    *m = (membership){memberships, c->comm, c->rank, c->size};
    memberships = m;
    c->record->excused = true;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &tick_key);
    return 1;
}

static int serve_leave(lua_State *L)
{
    lm_comm *c = lm_checkcomm(L, 1);
    membership **at = &memberships, *m;
    while ((m = *at) && m->comm != c->comm) at = &m->outer;
    if (m) *at = m->outer;
    free(m);
    return 0;
}

/* An interruption ends all pools. */
static void memberships_forget(void)
{
    while (memberships) {
        membership *m = memberships;
        memberships = m->outer;
        free(m);
    }
}

/* group(comm, ranks) → a communicator of the ranks in the list, which alone call. Open MPI makes it by messages that
   receives and probes with ANY_TAG would match: `later` has none of these. */
static int serve_group(lua_State *L)
{
    lm_comm *c = lm_checkcomm(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    int n = (int)lua_rawlen(L, 2), *ranks = lua_newuserdatauv(L, sizeof *ranks * (size_t)(n + 1), 0);
    for (int i = 0; i < n; i++) {
        lua_rawgeti(L, 2, i + 1);
        ranks[i] = lm_checkrank(L, -1, c, "rank", MPI_UNDEFINED);
        lua_pop(L, 1);
    }
    MPI_Group all, some;
    MPI_Comm new;
    lm_wait(L, "pool:map", NULL, 0, -1);
    MPI_Comm_group(c->later, &all);
    MPI_Group_incl(all, n, ranks, &some);
    int code = MPI_Comm_create_group(c->later, some, 0, &new);
    MPI_Group_free(&some);
    MPI_Group_free(&all);
    lm_mpi(L, code, "group");
    lm_newcomm(L, new, "group")->record->excused = true;
    return 1;
}

static const luaL_Reg functions[] = {
    {"wait", serve_wait},
    {"note", serve_note},
    {"read", serve_read},
    {"tick", serve_settick},
    {"start", serve_start},
    {"run", serve_run},
    {"stopped", serve_stopped},
    {"clock", serve_clock},
    {"enter", serve_enter},
    {"leave", serve_leave},
    {"group", serve_group},
    {NULL, NULL},
};

static int serve_load(lua_State *L)
{
    lua_newthread(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &thread_key);
    luaL_newlib(L, functions);
    return 1;
}

void luaopen_serve(lua_State *L)
{
    lm_atend(memberships_end, false);
    lm_atrecovery(memberships_forget);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
    lua_pushcfunction(L, serve_load);
    lua_setfield(L, -2, "mpi.serve");
    lua_pop(L, 1);
}
