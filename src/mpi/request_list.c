/* Several requests at once. A function's list is its first argument; entries that are nil or false are skipped. It works
   on a list of its own: finalizers, operators and modules that are loaded may change the script's meanwhile. */
#include "request.h"

#include "pending.h"
#include "progress.h"
#include "stop.h"
#include "tick.h"

#include <limits.h>

/* Puts a copy with the requests of the list at arg 1 in its place, and is its length. Other entries raise. */
static lua_Integer list_take(lua_State *L)
{
    lm_checkmpi(L);
    luaL_checktype(L, 1, LUA_TTABLE);
    int is = true;
    lua_Integer n = (lua_Integer)lua_rawlen(L, 1);
    if (lua_getfield(L, 1, "n") == LUA_TNUMBER) n = lua_tointegerx(L, -1, &is);
    if (!is || n < 0 || n > INT_MAX)
        luaL_argerror(L, 1, lua_pushfstring(L, "n is %s, expected 0 to %d", luaL_tolstring(L, -1, NULL), INT_MAX));
    lua_settop(L, 1);
    lua_createtable(L, (int)lua_rawlen(L, 1), 0);
    for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(L, 1, i);
        if (lua_toboolean(L, -1) && !lm_testrequest(L, -1))
            luaL_argerror(L, 1, lua_pushfstring(L, "entry %I: mpi.request expected, got %s", i, lm_got(L, -1)));
        if (lua_toboolean(L, -1)) lua_rawseti(L, 2, i);
        lua_settop(L, 2);
    }
    lua_replace(L, 1);
    return n;
}

/* The request in entry i of the list, pushed; NULL when there is none. */
static lm_request *list_get(lua_State *L, lua_Integer i)
{
    lua_rawgeti(L, 1, i);
    return lua_touserdata(L, -1);
}

/* Pushes list of values and list of statuses; all are complete. */
static int list_push(lua_State *L, lua_Integer n)
{
    int room = (int)lua_rawlen(L, 1);
    lua_createtable(L, room, 1);
    lua_createtable(L, room, 1);
    for (lua_Integer i = 1; i <= n; i++) {
        lm_request *r = list_get(L, i);
        if (r) {
            lm_pushresult(L, -1, r);
            lua_rawseti(L, 3, i);
            lua_rawseti(L, 2, i);
        }
        lua_settop(L, 3);
    }
    for (int list = 2; list <= 3; list++) {
        lua_pushinteger(L, n);
        lua_setfield(L, list, "n");
    }
    return 2;
}

/* The first request of the list that has completed and not been seen, pushed; 0 when there is none, and whether any is
   open. */
static lua_Integer list_any(lua_State *L, lua_Integer n, bool *some_open)
{
    *some_open = false;
    lm_poll();
    for (lua_Integer i = 1; i <= n; i++) {
        lm_request *r = list_get(L, i);
        if (r && !r->observed) {
            if (lm_requestover(r)) return i;
            *some_open = true;
        }
        lua_settop(L, 1);
    }
    return 0;
}

/* Like list_any, waiting until there is one or none is open. */
static lua_Integer list_await(lua_State *L, lua_Integer n, const char *call)
{
    bool some_open;
    lua_Integer i;
    lm_wait(L, call, NULL, 0, -1);
    while (!(i = list_any(L, n, &some_open)) && some_open) {
        if (lm_stopping()) lm_raisestop(L, true);
        lm_tickwaiting(L);
    }
    return i;
}

/* --- functions -------------------------------------------------------------------------------------------- */

/* mpi.waitall(reqs) → list of values, list of statuses */
static int list_waitall(lua_State *L)
{
    lua_Integer n = list_take(L);
    for (lua_Integer i = 1; i <= n; i++) {
        lm_request *r = list_get(L, i);
        if (r) lm_waitrequest(L, r);
        lua_settop(L, 1);
    }
    return list_push(L, n);
}

/* mpi.waitany(reqs) → index, value, status; nil when none is open */
static int list_waitany(lua_State *L)
{
    lua_Integer n = list_take(L), i = list_await(L, n, "waitany");
    if (!i) return 0;
    lua_pushinteger(L, i);
    return 1 + lm_pushresult(L, 2, lua_touserdata(L, 2));
}

/* mpi.waitsome(reqs) → list of indices, list of values */
static int list_waitsome(lua_State *L)
{
    lua_Integer n = list_take(L), i = list_await(L, n, "waitsome"), found = 0;
    lua_settop(L, 1);
    if (!i) return 0;
    lua_newtable(L);
    lua_newtable(L);
    for (; i <= n; i++) {
        lm_request *r = list_get(L, i);
        if (r && !r->observed && lm_requestover(r)) {
            lm_pushresult(L, -1, r);
            lua_pop(L, 1);
            lua_rawseti(L, 3, ++found);
            lua_pushinteger(L, i);
            lua_rawseti(L, 2, found);
        }
        lua_settop(L, 3);
    }
    return 2;
}

/* mpi.testall(reqs) → false, or true, values, statuses */
static int list_testall(lua_State *L)
{
    lua_Integer n = list_take(L);
    lm_wait(L, "testall", NULL, 0, -1);
    lm_poll();
    for (lua_Integer i = 1; i <= n; i++) {
        lm_request *r = list_get(L, i);
        if (r && !lm_requestover(r)) {
            lua_pushboolean(L, false);
            return 1;
        }
        lua_settop(L, 1);
    }
    list_push(L, n);
    lua_pushboolean(L, true);
    lua_insert(L, 2);
    return 3;
}

/* mpi.testany(reqs) → false, or index, value, status */
static int list_testany(lua_State *L)
{
    bool some_open;
    lua_Integer n = list_take(L);
    lm_wait(L, "testany", NULL, 0, -1);
    lua_Integer i = list_any(L, n, &some_open);
    if (!i) {
        if (some_open) lua_pushboolean(L, false);
        else lua_pushnil(L);
        return 1;
    }
    lua_pushinteger(L, i);
    return 1 + lm_pushresult(L, 2, lua_touserdata(L, 2));
}

/* --- open ------------------------------------------------------------------------------------------------- */

static const luaL_Reg functions[] = {
    {"waitall", list_waitall},
    {"waitany", list_waitany},
    {"waitsome", list_waitsome},
    {"testall", list_testall},
    {"testany", list_testany},
    {NULL, NULL},
};

void luaopen_request_list(lua_State *L) { luaL_setfuncs(L, functions, 0); }
