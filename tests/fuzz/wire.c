/* The decoder on any bytes, linked with wire.c encode.c encode_list.c place.c decode.c bytecode.c names.c map.c buffer.c object.c array.c dtype.c */
#include "array.h"
#include "buffer.h"
#include "wire.h"

#include <lualib.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* The message in pieces, each time somewhere else. */
typedef struct pieces {
    lm_source source;
    const char *bytes;
    size_t n, piece;
} pieces;

static bool more(lua_State *L, lm_source *source)
{
    pieces *p = (pieces *)source;
    lm_buffer *b = source->b, old = *b;
    size_t n = p->n - old.size < p->piece ? p->n - old.size : p->piece;
    if (n == 0) return false;
    *b = (lm_buffer){.kind = old.kind};
    char *to = lm_grow(L, b, old.size + n);
    memcpy(to, p->bytes, old.size + n);
    lm_closebuffer(L, &old);
    return true;
}

static int decode_whole(lua_State *L)
{
    size_t n;
    const char *bytes = lua_tolstring(L, 1, &n);
    lm_decode(L, bytes, n);
    return 1;
}

static int decode_pieces(lua_State *L)
{
    size_t n;
    const char *bytes = lua_tolstring(L, 1, &n);
    lm_buffer *b = lm_newbuffer(L);
    pieces p = {{b, more}, bytes, n, n % 7 + 1};
    if (n > 0) more(L, &p.source);
    lm_decodefrom(L, &p.source);
    lm_closebuffer(L, b);
    return 1;
}

static void check_alike(lua_State *L, int a, int b);

static bool is_scalar(int type) { return type == LUA_TBOOLEAN || type == LUA_TNUMBER || type == LUA_TSTRING; }

/* What the tables have under keys that are not objects; of those there are as many in both. */
static void check_pairs(lua_State *L, int a, int b)
{
    int pairs = 0;
    for (lua_pushnil(L); lua_next(L, a); lua_pop(L, 1)) {
        pairs++;
        if (!is_scalar(lua_type(L, -2))) continue;
        lua_pushvalue(L, -2);
        lua_rawget(L, b);
        check_alike(L, lua_gettop(L) - 1, lua_gettop(L));
        lua_pop(L, 1);
    }
    for (lua_pushnil(L); lua_next(L, b); lua_pop(L, 1)) pairs--;
    if (pairs) abort();
}

/* Aborts unless the values at a and b are alike, and the same object in the one is the same in the other: the table at 2
   has for each of the one's that of the other. */
static void check_alike(lua_State *L, int a, int b)
{
    int type = lua_type(L, a);
    if (type != lua_type(L, b)) abort();
    if (is_scalar(type)) {
        size_t n, m;
        if (type == LUA_TNUMBER && lua_isinteger(L, a) != lua_isinteger(L, b)) abort();
        if (type == LUA_TNUMBER && lua_tonumber(L, a) != lua_tonumber(L, a)) return;
        if (!lua_rawequal(L, a, b)) abort();
        if (type == LUA_TSTRING && (lua_tolstring(L, a, &n), lua_tolstring(L, b, &m), n != m)) abort();
        return;
    }
    if (type == LUA_TNIL || lua_rawequal(L, a, b)) return;
    luaL_checkstack(L, 20, NULL);
    lua_pushvalue(L, a);
    if (lua_rawget(L, 2) != LUA_TNIL) {
        if (!lua_rawequal(L, -1, b)) abort();
        lua_pop(L, 1);
        return;
    }
    lua_pop(L, 1);
    lua_pushvalue(L, a);
    lua_pushvalue(L, b);
    lua_rawset(L, 2);
    if (type == LUA_TTABLE) check_pairs(L, a, b);
    for (int i = 1; type == LUA_TFUNCTION && lua_getupvalue(L, a, i); i++) {
        if (!lua_getupvalue(L, b, i)) abort();
        check_alike(L, lua_gettop(L) - 1, lua_gettop(L));
        lua_pop(L, 2);
    }
}

/* Calls f with the message, and pushes its result; false: it raised. */
static bool try(lua_State *L, lua_CFunction f)
{
    lua_pushcfunction(L, f);
    lua_pushvalue(L, 1);
    return lua_pcall(L, 1, 1, 0) == LUA_OK;
}

/* What was decoded can be encoded, and that decoded again; or not, for a reason (a module that is not there). Decoding in
   pieces comes to the same. */
static int decode(lua_State *L)
{
    lua_newtable(L);
    bool whole = try(L, decode_whole), in_pieces = try(L, decode_pieces);
    if (whole != in_pieces) abort();
    if (!whole) return lua_error(L);
    check_alike(L, 3, 4);
    lua_settop(L, 3);
    look_at(L, 0);
    lm_buffer *b = lm_scratch(L);
    lm_encode(L, 3, b);
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
