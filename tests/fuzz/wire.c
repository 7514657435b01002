/* The decoder on any bytes, linked with wire.c encode.c encode_list.c place.c decode.c bytecode.c names.c map.c buffer.c object.c array.c dtype.c */
#include "array.h"
#include "buffer.h"
#include "wire.h"

#include <lualib.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Memory grows with the message only: this is far above what a table or a function takes for each of its bytes. */
#define STATE ((size_t)1 << 20)
#define MULTIPLE 400

static size_t used, limit;

static void *bounded_alloc(void *ud, void *p, size_t old, size_t new)
{
    (void)ud;
    if (!p) old = 0;
    if (new == 0) {
        used -= old;
        free(p);
        return NULL;
    }
    if (used - old + new > limit) {
        fprintf(stderr, "%zu bytes asked for, %zu in use, limit %zu\n", new, used, limit);
        abort();
    }
    void *q = realloc(p, new);
    if (q) used += new - old;
    return q;
}

static int no_module(lua_State *L) { return luaL_error(L, "module '%s' not found", luaL_checkstring(L, 1)); }

static int count_bytes(lua_State *L, const void *p, size_t n, void *sum)
{
    (void)L;
    for (size_t i = 0; i < n; i++) *(size_t *)sum += ((const unsigned char *)p)[i];
    return 0;
}

static void look_at(lua_State *L, int depth);

/* Walks over everything that Lua knows about a function without calling it. */
static void look_at_function(lua_State *L, int depth)
{
    lua_Debug info;
    size_t sum = 0;
    if (lua_iscfunction(L, -1)) return;
    lua_dump(L, count_bytes, &sum, 0);
    lua_pushvalue(L, -1);
    lua_getinfo(L, ">Slnu", &info);
    for (int i = 1; i <= info.nparams + 1; i++) lua_getlocal(L, NULL, i);
    if (sum > 0 && !info.isvararg) { /* without lines, Lua 5.4.4 crashes on variadic functions */
        lua_pushvalue(L, -1);
        lua_getinfo(L, ">L", &info);
        lua_pop(L, 1);
    }
    for (int i = 1; lua_getupvalue(L, -1, i); i++) {
        look_at(L, depth + 1);
        lua_pop(L, 1);
    }
}

static void look_at(lua_State *L, int depth)
{
    if (depth > 5) return;
    luaL_checkstack(L, 20, NULL);
    if (lua_isfunction(L, -1)) look_at_function(L, depth);
    if (!lua_istable(L, -1)) return;
    int seen = 0;
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        if (++seen < 100) look_at(L, depth + 1);
    }
}

/* What was decoded can be encoded, and that decoded again; or not, for a reason (a module that is not there). */
static int decode(lua_State *L)
{
    size_t n;
    const char *bytes = lua_tolstring(L, 1, &n);
    lm_decode(L, bytes, n);
    look_at(L, 0);
    lm_buffer *b = lm_scratch(L);
    lm_encode(L, 2, b);
    lm_decode(L, b->data, b->size);
    return 0;
}

static int setup(lua_State *L)
{
    luaL_openlibs(L);
    luaopen_buffer(L);
    lua_newtable(L);
    luaopen_wire(L);
    lua_getfield(L, -1, "register");
    lua_pushliteral(L, "class");
    lua_newtable(L);
    lua_call(L, 2, 0);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_insert(L, -2);
    lua_setfield(L, -2, "mpi");
    lua_pushcfunction(L, no_module);
    lua_setglobal(L, "require");
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    used = 0;
    limit = STATE + MULTIPLE * size;
    lua_State *L = lua_newstate(bounded_alloc, NULL);
    lua_pushcfunction(L, setup);
    lua_call(L, 0, 0);
    lua_pushcfunction(L, decode);
    lua_pushlstring(L, (const char *)data, size);
    lua_pcall(L, 1, 0, 0);
    lua_close(L);
    if (used != 0) abort();
    return 0;
}
