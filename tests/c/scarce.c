/* A Lua module that lets memory run out, linked with nothing */
#include <lauxlib.h>

static lua_Alloc granting;
static void *granting_ud;
static lua_Integer left;

static void *scarce_alloc(void *ud, void *p, size_t old, size_t new)
{
    (void)ud;
    if (new > 0 && (!p || new > old) && left-- <= 0) return NULL;
    return granting(granting_ud, p, old, new);
}

/* pcall(n, f): so many allocations are granted to f, and none after them. What pcall(f) returns. */
static int scarce_pcall(lua_State *L)
{
    left = luaL_checkinteger(L, 1);
    granting = lua_getallocf(L, &granting_ud);
    lua_setallocf(L, scarce_alloc, NULL);
    int status = lua_pcall(L, lua_gettop(L) - 2, LUA_MULTRET, 0);
    lua_setallocf(L, granting, granting_ud);
    lua_pushboolean(L, status == LUA_OK);
    lua_replace(L, 1);
    return lua_gettop(L);
}

int luaopen_scarce(lua_State *L)
{
    luaL_Reg functions[] = {{"pcall", scarce_pcall}, {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}
