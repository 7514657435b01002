/* A Lua module that crashes as C does, linked with nothing */
#include <lauxlib.h>
#include <lua.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int crash_segfault(lua_State *L)
{
    volatile char *nowhere = NULL;
    (void)L;
    *nowhere = 1;
    return 0;
}

static int crash_abort(lua_State *L)
{
    (void)L;
    abort();
}

static int deeper(volatile char *above)
{
    volatile char frame[1000];
    memset((char *)frame, above[0], sizeof frame);
    return above[0] ? deeper(frame) + frame[1] : 0;
}

static int crash_overflow(lua_State *L)
{
    volatile char first[1] = {1};
    lua_pushinteger(L, deeper(first));
    return 1;
}

static int crash_raise(lua_State *L)
{
    raise((int)luaL_checkinteger(L, 1));
    return 0;
}

static int crash_leave(lua_State *L) { _exit((int)luaL_checkinteger(L, 1)); }

/* Returns in a child that has no other tie to its parent than the descriptors. */
static int crash_fork(lua_State *L)
{
    lua_pushinteger(L, fork());
    return 1;
}

static const luaL_Reg functions[] = {
    {"abort", crash_abort},       {"fork", crash_fork},   {"leave", crash_leave},
    {"overflow", crash_overflow}, {"raise", crash_raise}, {"segfault", crash_segfault},
    {NULL, NULL},
};

int luaopen_crash(lua_State *L)
{
    luaL_newlib(L, functions);
    return 1;
}
