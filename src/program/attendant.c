#include "attendant.h"

#include "capture.h"
#include "clock.h"
#include "deadlock.h"
#include "lib.h"
#include "prompt.h"
#include "stop.h"
#include "tty.h"

#include <lauxlib.h>
#include <lualib.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#define STREAM 1.0 /* seconds after which output is shown before the line's end */
#define LOOK 50    /* milliseconds */
#define AGAIN 1.0  /* seconds within which a second Ctrl-C ends the session, and after which ranks that go on are named */

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER; /* held by whoever looks at the output or changes what follows */
static pthread_cond_t change = PTHREAD_COND_INITIALIZER;
static bool started, running, late; /* late: it has reached its limit */
static bool more; /* there was output to show, and there may be more */
static atomic_bool stop;
static double stopped = -AGAIN; /* when Ctrl-C came last, in this line */
static bool named; /* it was told which ranks do not stop: the next Ctrl-C ends the session */
static double began, limit; /* limit: seconds, 0: none */
static lua_State *formatter; /* of its own, for lua/mpi/show.lua, whose functions are in the table at index 1 */

/* --- stopping --------------------------------------------------------------------------------------------- */

/* What Ctrl-C does without a prompt: to the whole job. */
static void end_session(void)
{
    static const char text[] = "Ctrl-C again: the session ends\n";
    lm_show(text, sizeof text - 1);
    lm_closetty();
    signal(SIGINT, SIG_DFL);
    kill(lm_undermpirun() ? getppid() : getpid(), SIGINT);
}

/* Whether the line is to be stopped; safe in a signal handler. */
static bool asked(void) { return atomic_exchange(&stop, false); }

/* --- showing ---------------------------------------------------------------------------------------------- */

/* Calls the function with n arguments that is on top of the stack, and shows the text it returns. */
static void show_result(lua_State *L, int n)
{
    size_t size;
    lua_call(L, n, 1);
    const char *text = lua_tolstring(L, -1, &size);
    if (text) lm_show(text, size);
}

/* stream(show) runs in the formatter under lua_pcall: shows what is printed, and who stays behind. */
static int stream(lua_State *L)
{
    lua_getfield(L, 1, "output");
    more = lm_captured(L, LM_LINES);
    if (more) show_result(L, 1);
    lua_settop(L, 1);
    lua_getfield(L, 1, "behind");
    lua_pushcfunction(L, lm_pushstates);
    lua_call(L, 0, 1);
    lua_pushnumber(L, lm_now());
    if (lua_istable(L, -2)) show_result(L, 2);
    return 0;
}

/* stuck(show) runs in the formatter under lua_pcall: shows who does not stop. */
static int stuck(lua_State *L)
{
    lua_getfield(L, 1, "stuck");
    lua_pushcfunction(L, lm_pushstates);
    lua_call(L, 0, 1);
    if (!lua_istable(L, -1)) return 0;
    show_result(L, 1);
    named = lua_isstring(L, -1);
    return 0;
}

/* Runs one of these; tells what goes wrong in it. */
static void run_formatter(lua_CFunction f)
{
    lua_pushcfunction(formatter, f);
    lua_pushvalue(formatter, 1);
    if (lua_pcall(formatter, 1, 0, 0) == LUA_OK) return;
    const char *text = lua_pushfstring(formatter, "%s\n", lua_tostring(formatter, -1));
    lm_show(text, strlen(text));
    lua_settop(formatter, 1);
}

/* --- the thread ------------------------------------------------------------------------------------------- */

static void attend(void)
{
    more = false;
    double t = lm_now();
    int stops = lm_ttyfd() >= 0 ? lm_typedahead() : 0;
    if (stops > 0) {
        if (stops > 1 || named || t - stopped < AGAIN) end_session();
        stopped = t;
        stop = true;
    }
    if (stopped >= began && t - stopped >= AGAIN && !named) run_formatter(stuck);
    t -= began;
    if (limit > 0 && t > limit && !late) stop = late = true;
    if (t > STREAM) run_formatter(stream);
}

static void *thread(void *unused)
{
    pthread_mutex_lock(&turn);
    for (;;) {
        while (!running) pthread_cond_wait(&change, &turn);
        attend();
        pthread_mutex_unlock(&turn);
        lm_waitforkeys(more ? 1 : LOOK);
        pthread_mutex_lock(&turn);
    }
    return unused;
}

/* Signals are for the thread that runs Lua. */
static bool start_thread(void)
{
    sigset_t all, before;
    pthread_t id;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool fine = pthread_create(&id, NULL, thread, NULL) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (fine) pthread_detach(id);
    return fine;
}

/* open(size, colour) runs in the formatter under lua_pcall and leaves the table at index 1. */
static int open_formatter(lua_State *L)
{
    luaL_openlibs(L);
    lm_preload(L);
    lua_getglobal(L, "require");
    lua_pushliteral(L, "mpi.show");
    lua_call(L, 1, 1);
    lua_insert(L, 1);
    lua_call(L, 2, 1);
    return 1;
}

/* --- for Lua ---------------------------------------------------------------------------------------------- */

/* start(size, colour): on rank 0, before the first line. */
static int attendant_start(lua_State *L)
{
    if (started) return 0;
    lua_Integer size = luaL_checkinteger(L, 1);
    formatter = luaL_newstate();
    if (!formatter) return luaL_error(L, "not enough memory");
    lua_pushcfunction(formatter, open_formatter);
    lua_pushinteger(formatter, size);
    lua_pushboolean(formatter, lua_toboolean(L, 2));
    if (lua_pcall(formatter, 2, 1, 0) != LUA_OK) return luaL_error(L, "%s", lua_tostring(formatter, -1));
    if (!start_thread()) return luaL_error(L, "no thread for what goes on beside the lines");
    lm_stopasked = asked;
    started = true;
    return 0;
}

/* begin([limit]): a line begins to run, for at most `limit` seconds. */
static int attendant_begin(lua_State *L)
{
    double seconds = luaL_optnumber(L, 1, 0);
    pthread_mutex_lock(&turn);
    limit = seconds;
    began = lm_now();
    running = true;
    stop = late = named = false;
    stopped = -AGAIN;
    pthread_cond_signal(&change);
    pthread_mutex_unlock(&turn);
    return 0;
}

/* finish(): the line has run. → whether for too long */
static int attendant_finish(lua_State *L)
{
    pthread_mutex_lock(&turn);
    running = false;
    lua_pushboolean(L, late);
    pthread_mutex_unlock(&turn);
    return 1;
}

static const luaL_Reg functions[] = {
    {"start", attendant_start}, {"begin", attendant_begin}, {"finish", attendant_finish}, {NULL, NULL},
};

int luaopen_attendant(lua_State *L)
{
    luaL_newlib(L, functions);
    return 1;
}
