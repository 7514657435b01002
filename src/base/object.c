#include "object.h"

#include <limits.h>
#include <string.h>

void *lm_check(lua_State *L, int arg, const lm_kind *kind)
{
    void *object = lm_test(L, arg, kind);
    if (object) return object;
    lua_Debug at;
    if (arg == 1 && lua_getstack(L, 0, &at) && lua_getinfo(L, "n", &at) && (!strcmp(at.namewhat, "field") || !strcmp(at.namewhat, "global")))
        luaL_argerror(L, arg, lua_pushfstring(L, "%s expected, got %s; a method is called with a colon, as %s:%s(…)", kind->name,
                                              luaL_typename(L, arg), strrchr(kind->name, '.') + 1, at.name));
    luaL_typeerror(L, arg, kind->name);
    return NULL;
}

void *lm_new(lua_State *L, const lm_kind *kind, int values)
{
    const lm_kind **object = lua_newuserdatauv(L, kind->size, values);
    memset(object, 0, kind->size);
    *object = kind;
    lua_rawgetp(L, LUA_REGISTRYINDEX, kind);
    lua_setmetatable(L, -2);
    return object;
}

void *lm_findsingle(lua_State *L, lm_single *s)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, s);
    *s = (lm_single){lua_topointer(L, LUA_REGISTRYINDEX), lua_touserdata(L, -1)};
    lua_pop(L, 1);
    return s->object;
}

void lm_setsingle(lua_State *L, lm_single *s)
{
    lua_rawsetp(L, LUA_REGISTRYINDEX, s);
    lm_findsingle(L, s);
}

void lm_newkind(lua_State *L, const lm_kind *kind, const luaL_Reg *methods, const luaL_Reg *metamethods)
{
    luaL_newmetatable(L, kind->name);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, kind); /* found faster than by name */
    luaL_setfuncs(L, metamethods, 0);
    lua_pushstring(L, kind->name);
    lua_setfield(L, -2, "__metatable");
    lua_newtable(L);
    luaL_setfuncs(L, methods, 0);
    if (lua_getfield(L, -2, "__index") == LUA_TNIL) {
        lua_pushvalue(L, -2);
        lua_setfield(L, -4, "__index");
    }
    lua_pop(L, 1);
    lua_remove(L, -2);
}

void lm_addline(lua_State *L, luaL_Buffer *b, int n)
{
    for (int i = 1; i <= n; i++) {
        if (i > 1) luaL_addchar(b, '\t');
        luaL_tolstring(L, i, NULL);
        luaL_addvalue(b);
    }
}

/* Holds the place of the hook: ticks set theirs where there is none. */
static void no_hook(lua_State *L, lua_Debug *at)
{
    (void)L;
    (void)at;
}

int lm_quietcall(lua_State *L, int arguments, int results)
{
    lua_Hook hook = lua_gethook(L);
    int mask = lua_gethookmask(L), count = lua_gethookcount(L);
    lua_sethook(L, no_hook, LUA_MASKCOUNT, INT_MAX);
    int status = lua_pcall(L, arguments, results, 0);
    lua_sethook(L, hook, mask, count);
    return status;
}

static int protected_tostring(lua_State *L)
{
    luaL_tolstring(L, 1, NULL);
    return 1;
}

static int protected_typename(lua_State *L)
{
    lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, 1));
    return 1;
}

const char *lm_errortext(lua_State *L, int index)
{
    lua_pushvalue(L, index);
    if (lua_type(L, -1) == LUA_TSTRING) return lua_tostring(L, -1);
    lua_pushcfunction(L, protected_tostring);
    lua_pushvalue(L, -2);
    if (lua_pcall(L, 1, 1, 0) != LUA_OK) {
        lua_pop(L, 1);
        lua_pushcfunction(L, protected_typename);
        lua_pushvalue(L, -2);
        lm_quietcall(L, 1, 1); /* the text, or that memory is out */
    }
    lua_remove(L, -2);
    return lua_tostring(L, -1);
}

const char *lm_unknownoption(lua_State *L, int index, const char *const names[])
{
    lua_pushnil(L);
    while (lua_next(L, index)) {
        bool known = false;
        if (lua_type(L, -2) == LUA_TSTRING)
            for (int i = 0; names[i] && !known; i++) known = !strcmp(names[i], lua_tostring(L, -2));
        if (!known) {
            const char *what = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2)
                               : lua_isinteger(L, -2) ? lua_pushfstring(L, "%I", lua_tointeger(L, -2))
                                                      : luaL_typename(L, -2);
            luaL_Buffer b;
            luaL_buffinit(L, &b);
            for (int i = 0; names[i]; i++) {
                if (i) luaL_addchar(&b, ' ');
                luaL_addstring(&b, names[i]);
            }
            luaL_pushresult(&b);
            return lua_pushfstring(L, "unknown option '%s'; known are: %s", what, lua_tostring(L, -1));
        }
        lua_pop(L, 1);
    }
    return NULL;
}

void lm_checkoptions(lua_State *L, int arg, const char *const names[])
{
    if (lua_isnoneornil(L, arg)) return;
    luaL_checktype(L, arg, LUA_TTABLE);
    const char *unknown = lm_unknownoption(L, arg, names);
    if (unknown) luaL_argerror(L, arg, unknown);
}

const char *lm_got(lua_State *L, int index)
{
    if (lua_type(L, index) == LUA_TNUMBER && !lua_isinteger(L, index)) return lua_pushfstring(L, "%f", lua_tonumber(L, index));
    return luaL_getmetafield(L, index, "__name") == LUA_TSTRING ? lua_tostring(L, -1) : luaL_typename(L, index);
}

lua_Integer lm_checkinteger(lua_State *L, int arg, const char *what)
{
    int whole;
    lua_Integer i = lua_tointegerx(L, arg, &whole);
    if (whole) return i;
    luaL_argerror(L, arg, lua_pushfstring(L, "%s: integer expected, got %s", what, lm_got(L, arg)));
    return 0;
}

lua_Integer lm_checkrange(lua_State *L, int arg, const char *what, lua_Integer low, lua_Integer high)
{
    lua_Integer i = lm_checkinteger(L, arg, what);
    if (i < low || i > high)
        luaL_argerror(L, arg, lua_pushfstring(L, "%s is %I, expected %I to %I", what, i, low, high));
    return i;
}
