#include "status.h"

#include <string.h>

static const lm_kind status_kind = {"mpi.status", sizeof(lm_status)};

lm_status *lm_pushstatus(lua_State *L, int source, int tag, int64_t count)
{
    lm_status *s = lm_new(L, &status_kind, 0);
    s->source = source;
    s->tag = tag;
    s->count = count;
    return s;
}

static int status_index(lua_State *L)
{
    lm_status *s = lm_check(L, 1, &status_kind);
    const char *key = luaL_checkstring(L, 2);
    if (!strcmp(key, "source")) lua_pushinteger(L, s->source);
    else if (!strcmp(key, "tag")) lua_pushinteger(L, s->tag);
    else if (!strcmp(key, "count")) lua_pushinteger(L, s->count);
    else if (!strcmp(key, "cancelled")) lua_pushboolean(L, s->cancelled);
    else lua_pushnil(L);
    return 1;
}

static int status_tostring(lua_State *L)
{
    lm_status *s = lm_check(L, 1, &status_kind);
    lua_pushfstring(L, "status {source = %d, tag = %d, count = %I%s}", s->source, s->tag, (lua_Integer)s->count,
                    s->cancelled ? ", cancelled" : "");
    return 1;
}

static const luaL_Reg methods[] = {{NULL, NULL}};
static const luaL_Reg metamethods[] = {{"__index", status_index}, {"__tostring", status_tostring}, {NULL, NULL}};

void luaopen_status(lua_State *L)
{
    lm_newkind(L, &status_kind, methods, metamethods);
    lua_pop(L, 1);
}
