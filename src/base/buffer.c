#include "buffer.h"

#include <stdint.h>

static const lm_kind buffer_kind = {"mpi.buffer", sizeof(lm_buffer)};
static lm_single scratch;
static const char spare_key;

/* What the shared buffer keeps between uses; more is given back at the next use. */
#define KEEP ((size_t)1 << 20)

static bool buffer_resize(lua_State *L, lm_buffer *b, size_t capacity)
{
    void *ud;
    lua_Alloc alloc = lua_getallocf(L, &ud);
    char *data = alloc(ud, b->data, b->capacity, capacity);
    if (!data && capacity) return false;
    b->data = data;
    b->capacity = capacity;
    return true;
}

lm_buffer *lm_newbuffer(lua_State *L) { return lm_new(L, &buffer_kind, 0); }

static int buffer_new(lua_State *L)
{
    lm_newbuffer(L);
    return 1;
}

lm_buffer *lm_trybuffer(lua_State *L)
{
    lua_pushcfunction(L, buffer_new);
    if (lm_quietcall(L, 0, 1) == LUA_OK) return lua_touserdata(L, -1);
    lua_pop(L, 1);
    lua_pushnil(L);
    return NULL;
}

lm_buffer *lm_scratch(lua_State *L)
{
    lm_buffer *b = lm_getsingle(L, &scratch);
    b->size = 0;
    if (b->capacity > KEEP) buffer_resize(L, b, 0);
    return b;
}

lm_buffer *lm_keepscratch(lua_State *L)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &scratch);
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &spare_key) == LUA_TNIL) {
        /* making one must not run a finalizer that encodes something */
        lua_pop(L, 1);
        bool running = lua_gc(L, LUA_GCISRUNNING);
        lua_gc(L, LUA_GCSTOP);
        lm_newbuffer(L);
        if (running) lua_gc(L, LUA_GCRESTART);
    }
    lm_setsingle(L, &scratch);
    lua_pushnil(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &spare_key);
    lm_newbuffer(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &spare_key);
    return lua_touserdata(L, -1);
}

bool lm_reserve(lua_State *L, lm_buffer *b, size_t n)
{
    if (n <= b->capacity - b->size) return true;
    if (n > SIZE_MAX / 4 - b->size) return false;
    size_t capacity = b->capacity + b->capacity / 2;
    if (capacity < 256) capacity = 256;
    if (capacity < b->size + n) capacity = b->size + n;
    return buffer_resize(L, b, capacity);
}

char *lm_grow(lua_State *L, lm_buffer *b, size_t n)
{
    if (!lm_reserve(L, b, n)) luaL_error(L, "not enough memory");
    char *room = b->data + b->size;
    b->size += n;
    return room;
}

void lm_cutbuffer(lua_State *L, lm_buffer *b, size_t n)
{
    buffer_resize(L, b, n);
    b->size = n;
}

void lm_closebuffer(lua_State *L, lm_buffer *b) { lm_cutbuffer(L, b, 0); }

static int buffer_close(lua_State *L)
{
    lm_buffer *b = lm_test(L, 1, &buffer_kind);
    if (b) lm_closebuffer(L, b);
    return 0;
}

static const luaL_Reg functions[] = {{NULL, NULL}};
static const luaL_Reg metamethods[] = {{"__gc", buffer_close}, {"__close", buffer_close}, {NULL, NULL}};

void luaopen_buffer(lua_State *L)
{
    lm_newkind(L, &buffer_kind, functions, metamethods);
    lua_pop(L, 1);
    lm_newbuffer(L);
    lm_setsingle(L, &scratch);
    lm_newbuffer(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &spare_key);
}
