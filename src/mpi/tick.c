#include "tick.h"

#include "clock.h"
#include "comm.h"
#include "progress.h"
#include "session.h"
#include "stop.h"

#include <lauxlib.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#define SERVED 8
#define AGAIN 128 /* instructions, after which code that caught an error gets the next; halved each time */

typedef struct served {
    lm_serve serve;
    double interval, next;
} served;

void (*lm_onsignal)(void);
lm_serve lm_onoperator;

static served list[SERVED];
static double shortest; /* of the intervals, 0: none */
static lua_State *volatile running;
static int held;

/* --- serving ---------------------------------------------------------------------------------------------- */

void lm_holdticks(void) { held++; }

void lm_releaseticks(void) { held--; }

static bool may_serve(void) { return !lm_in_operator && !lm_isolated && !held; }

void lm_tick(lua_State *L)
{
    if (lm_in_operator && lm_onoperator && !lm_isolated && !held) lm_onoperator(L);
    if (!may_serve()) return;
    double t = lm_now();
    for (int i = 0; i < SERVED; i++) {
        if (!list[i].serve || t < list[i].next) continue;
        list[i].next = t + list[i].interval - shortest / 2; /* timers are late at times, and early */
        list[i].serve(L);
    }
}

double lm_ticking(void) { return shortest; }

void lm_tickwaiting(lua_State *L)
{
    if (lm_onwait) lm_onwait();
    if (lm_stopping() || !shortest) return;
    lm_waiting waits = lm_waits;
    unsigned idle = lm_idle;
    lm_tick(L);
    lm_waits = waits;
    lm_idle = idle;
}

static void tick_hook(lua_State *L, lua_Debug *at)
{
    (void)at;
    lua_sethook(L, NULL, 0, 0);
    lm_tick(L);
}

static void again_hook(lua_State *L, lua_Debug *at);
static int again; /* while code that caught an error is to get the next: instructions until then */

/* Has the running thread serve at its next instruction or call. A hook of ours that is there already is set anew: when a
   signal comes while Lua sets one or looks for it, that may be there and never be called. */
static void tick_now(void)
{
    lua_State *L = running;
    lua_Hook hook = L ? lua_gethook(L) : NULL;
    if (L && (!hook || hook == tick_hook))
        lua_sethook(L, tick_hook, LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT, 1);
    else if (hook == again_hook)
        lua_sethook(L, again_hook, LUA_MASKCOUNT, again);
}

static void tick_signal(int number)
{
    (void)number;
    if (lm_onsignal) lm_onsignal();
    tick_now();
}

/* --- insisting -------------------------------------------------------------------------------------------- */

static lm_serve insistent; /* what raised last, and does so until it is over */

static void again_hook(lua_State *L, lua_Debug *at)
{
    (void)at;
    if (!may_serve()) return;
    lm_serve serve = insistent;
    if (serve) {
        if (again > 1) again /= 2;
        lua_sethook(L, again_hook, LUA_MASKCOUNT, again);
        serve(L);
        if (insistent == serve) insistent = NULL;
    }
    lua_sethook(L, NULL, 0, 0);
}

void lm_insist(lua_State *L, lm_serve serve)
{
    lua_Hook hook = lua_gethook(L);
    if (insistent != serve) again = AGAIN;
    insistent = serve;
    if (!hook || hook == tick_hook || hook == again_hook) lua_sethook(L, again_hook, LUA_MASKCOUNT, again);
}

void lm_relent(lua_State *L, lm_serve serve)
{
    if (insistent == serve) insistent = NULL;
    if (lua_gethook(L) == again_hook) lua_sethook(L, NULL, 0, 0);
}

/* The running thread changes: what is insisted on holds there, too. One that has the hook goes on counting. */
static void thread_insist(lua_State *L)
{
    if (!insistent) return;
    lua_Hook hook = lua_gethook(L);
    if (!hook || hook == tick_hook) lua_sethook(L, again_hook, LUA_MASKCOUNT, again);
}

/* --- the timer -------------------------------------------------------------------------------------------- */

static void timer_set(void)
{
    shortest = 0;
    for (int i = 0; i < SERVED; i++)
        if (list[i].serve && (!shortest || list[i].interval < shortest)) shortest = list[i].interval;
    if (shortest) {
        struct sigaction action = {.sa_handler = tick_signal, .sa_flags = SA_RESTART};
        sigaction(SIGALRM, &action, NULL);
    }
    long seconds = (long)shortest;
    struct timeval each = {seconds, (long)((shortest - (double)seconds) * 1e6)};
    setitimer(ITIMER_REAL, &(struct itimerval){each, each}, NULL);
}

void lm_starttick(lm_serve serve, double interval)
{
    served *at = NULL;
    for (int i = SERVED - 1; i >= 0; i--)
        if (list[i].serve == serve || (!list[i].serve && (!at || at->serve != serve))) at = &list[i];
    *at = (served){serve, interval, lm_now() + interval};
    timer_set();
}

void lm_stoptick(lm_serve serve)
{
    for (int i = 0; i < SERVED; i++)
        if (list[i].serve == serve) list[i] = (served){0};
    timer_set();
}

/* --- which thread runs ------------------------------------------------------------------------------------ */

/* One thread runs another; in the C frame where it does. */
typedef struct resumption {
    lua_State *thread, *resumer, *before; /* the last: who was known to run */
    struct resumption *outer;
} resumption;

static resumption *innermost;

static void thread_enter(resumption *r, lua_State *L, lua_State *thread)
{
    *r = (resumption){thread, L, running, innermost};
    innermost = r;
    running = thread;
    thread_insist(thread);
}

static void thread_leave(const resumption *r)
{
    innermost = r->outer;
    running = r->before;
    thread_insist(r->resumer);
}

lua_State *lm_resumer(const lua_State *L)
{
    const resumption *r = innermost;
    while (r && r->thread != L) r = r->outer;
    return r ? r->resumer : NULL;
}

/* Resumes the thread with the n arguments on top of L's stack; the results come there, or the error: -1. */
static int thread_resume(lua_State *L, lua_State *thread, int n)
{
    if (!lua_checkstack(thread, n)) {
        lua_pushliteral(L, "too many arguments to resume");
        return -1;
    }
    resumption r;
    int results;
    lua_xmove(L, thread, n);
    thread_enter(&r, L, thread);
    int status = lua_resume(thread, L, n, &results);
    thread_leave(&r);
    if (status != LUA_OK && status != LUA_YIELD) {
        lua_xmove(thread, L, 1);
        return -1;
    }
    if (!lua_checkstack(L, results + 1)) {
        lua_pop(thread, results);
        lua_pushliteral(L, "too many results to resume");
        return -1;
    }
    lua_xmove(thread, L, results);
    return results;
}

/* Closes what a thread that has not ended well left open: → the status. An error is on top of the thread. */
static int thread_close(lua_State *L, lua_State *thread)
{
    resumption r;
    thread_enter(&r, L, thread);
    int status = lua_resetthread(thread);
    thread_leave(&r);
    return status;
}

/* coroutine.resume */
static int tick_resume(lua_State *L)
{
    lua_State *thread = lua_tothread(L, 1);
    luaL_argexpected(L, thread, 1, "thread");
    int n = thread_resume(L, thread, lua_gettop(L) - 1);
    lua_pushboolean(L, n >= 0);
    n = n < 0 ? 1 : n;
    lua_insert(L, -(n + 1));
    return n + 1;
}

/* What coroutine.wrap returns; upvalue 1 is the thread. */
static int tick_wrapped(lua_State *L)
{
    lua_State *thread = lua_tothread(L, lua_upvalueindex(1));
    int n = thread_resume(L, thread, lua_gettop(L));
    if (n >= 0) return n;
    int status = lua_status(thread);
    if (status != LUA_OK && status != LUA_YIELD) { /* it died of the error: its variables are closed */
        status = thread_close(L, thread);
        lua_xmove(thread, L, 1);
    }
    if (status != LUA_ERRMEM && lua_type(L, -1) == LUA_TSTRING) {
        luaL_where(L, 1);
        lua_insert(L, -2);
        lua_concat(L, 2);
    }
    return lua_error(L);
}

/* coroutine.wrap */
static int tick_wrap(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_State *thread = lua_newthread(L);
    lua_pushvalue(L, 1);
    lua_xmove(L, thread, 1);
    lua_pushcclosure(L, tick_wrapped, 1);
    return 1;
}

/* coroutine.close */
static int tick_close(lua_State *L)
{
    lua_Debug at;
    lua_State *thread = lua_tothread(L, 1);
    luaL_argexpected(L, thread, 1, "thread");
    if (thread == L || (lua_status(thread) == LUA_OK && lua_getstack(thread, 0, &at)))
        return luaL_error(L, "cannot close a %s coroutine", thread == L ? "running" : "normal");
    bool fine = thread_close(L, thread) == LUA_OK;
    lua_pushboolean(L, fine);
    if (!fine) lua_xmove(thread, L, 1);
    return fine ? 1 : 2;
}

static const luaL_Reg functions[] = {{"resume", tick_resume}, {"wrap", tick_wrap}, {"close", tick_close}, {NULL, NULL}};

/* A state that is closed takes its threads along. */
static int tick_end(lua_State *L)
{
    (void)L;
    running = NULL;
    innermost = NULL;
    return 0;
}

void luaopen_tick(lua_State *L)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
    running = lua_tothread(L, -1);
    lua_pop(L, 1);
    lua_newuserdatauv(L, 0, 0);
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, tick_end);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    lua_rawsetp(L, LUA_REGISTRYINDEX, (void *)&running);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    if (lua_getfield(L, -1, "coroutine") == LUA_TTABLE) luaL_setfuncs(L, functions, 0);
    lua_pop(L, 2);
}
