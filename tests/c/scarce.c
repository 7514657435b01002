/* A Lua module that lets memory run out, linked with nothing */
#include <lauxlib.h>

static lua_Alloc granting;
static void *granting_ud;
static lua_Integer left;
static size_t free_size; /* granted without counting */

static void *scarce_alloc(void *ud, void *p, size_t old, size_t new)
{
    (void)ud;
    if (new > free_size && (!p || new > old) && left-- <= 0) return NULL;
    return granting(granting_ud, p, old, new);
}

static int call(lua_State *L, lua_Integer n, size_t size)
{
    left = n;
    free_size = size;
    granting = lua_getallocf(L, &granting_ud);
    lua_setallocf(L, scarce_alloc, NULL);
    int status = lua_pcall(L, lua_gettop(L) - 2, LUA_MULTRET, 0);
    lua_setallocf(L, granting, granting_ud);
    lua_pushboolean(L, status == LUA_OK);
    lua_replace(L, 1);
    return lua_gettop(L);
}

/* pcall(n, f): so many allocations are granted to f, and none after them. What pcall(f) returns. */
static int scarce_pcall(lua_State *L) { return call(L, luaL_checkinteger(L, 1), 0); }

/* small(size, f): the same, with none granted of more than so many bytes. */
static int scarce_small(lua_State *L) { return call(L, 0, (size_t)luaL_checkinteger(L, 1)); }

int luaopen_scarce(lua_State *L)
{
    luaL_Reg functions[] = {{"pcall", scarce_pcall}, {"small", scarce_small}, {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}
