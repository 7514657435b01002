/* Encoding and decoding when memory runs out, at every point, linked with wire.c encode.c encode_list.c place.c decode.c bytecode.c names.c map.c buffer.c object.c array.c dtype.c */
#include "chunk.h"
#include "scarce.h"

#include <string.h>

/* Returns a value with everything in it, and a function that raises unless its argument is such a value. */
static const char chunk[] =
    "local class = mpi.register('class', {})\n"
    "local count = 0\n"
    "local function up() count = count + 1 return count end\n"
    "local function twice() return up() + up(), count, twice end\n"
    "local records = {}\n"
    "for i = 1, 300 do records[i] = {id = i, name = 'name ' .. i, x = i / 2} end\n"
    "local v = {1, 2, 'three', nil, 5, records = records, again = records, long = ('long'):rep(30), print = print,\n"
    "    floats = {1.5, 2.5}, wide = {1, 2, 3000000000}, mixed = {1, 1.5}, up = up, twice = twice, mpi = mpi,\n"
    "    format = string.format, object = setmetatable({1}, class), array = ...}\n"
    "v.self, v[v] = v, v.long\n"
    "return v, function (u)\n"
    "    assert(u[1] == 1 and u[2] == 2 and u[3] == 'three' and u[4] == nil and u[5] == 5)\n"
    "    assert(#u.records == 300 and u.again == u.records and u.self == u and u[u] == ('long'):rep(30))\n"
    "    for i, r in ipairs(u.records) do assert(r.id == i and r.name == 'name ' .. i and r.x == i / 2) end\n"
    "    assert(u.print == print and u.mpi == mpi and u.format == string.format and u.floats[2] == 2.5)\n"
    "    assert(u.wide[3] == 3000000000 and u.mixed[2] == 1.5 and getmetatable(u.object) == class)\n"
    "    local n = u.up()\n"
    "    assert(u.twice() == 2 * n + 3 and u.up() == n + 3)\n"
    "    assert(type(u.array) == 'userdata')\n"
    "end\n";

static int setup(lua_State *L) { return chunk_run(L, chunk, 20, 30, 2); }

static int encode(lua_State *L)
{
    lm_encode(L, 1, lua_touserdata(L, 2));
    return 0;
}

static int decode(lua_State *L)
{
    lm_buffer *b = lua_touserdata(L, 1);
    lm_decode(L, b->data, b->size);
    return 1;
}

static bool is_memory_error(lua_State *L) { return strstr(lua_tostring(L, -1), "not enough memory") != NULL; }

/* A state with the value at 1 and the function that checks it at 2. */
static lua_State *new_state(memory *m)
{
    *m = (memory){0, false, 0};
    lua_State *L = lua_newstate(memory_alloc, m);
    lua_pushcfunction(L, setup);
    if (lua_pcall(L, 0, 2, 0)) fail(lua_tostring(L, -1), 0);
    return L;
}

/* Runs the call with n allocations; true when that was enough. */
static bool run(lua_State *L, memory *m, int args, int results, long n)
{
    m->armed = true;
    m->left = n;
    int status = lua_pcall(L, args, results, 0);
    m->armed = false;
    if (status != LUA_OK && !is_memory_error(L)) fail(lua_tostring(L, -1), n);
    return status == LUA_OK;
}

/* The value on top is what it should be. */
static void check(lua_State *L, long n)
{
    lua_pushvalue(L, 2);
    lua_insert(L, -2);
    if (lua_pcall(L, 1, 0, 0)) fail(lua_tostring(L, -1), n);
}

static bool encode_with(long n)
{
    memory m;
    lua_State *L = new_state(&m);
    lm_buffer *b = lm_newbuffer(L);
    memcpy(lm_grow(L, b, 3), "old", 3);
    lua_pushcfunction(L, encode);
    lua_pushvalue(L, 1);
    lua_pushvalue(L, 3);
    bool enough = run(L, &m, 2, 0, n);
    if (!enough && (b->size != 3 || memcmp(b->data, "old", 3))) fail("the buffer is not as it was", n);
    lua_pushvalue(L, 1);
    check(L, n);
    b->size = 0; /* and it can be sent after all */
    lm_encode(L, 1, b);
    lm_decode(L, b->data, b->size);
    check(L, n);
    lua_close(L);
    if (m.out) fail("memory leaked in encoding", n);
    return enough;
}

static bool decode_with(long n)
{
    memory m;
    lua_State *L = new_state(&m);
    lm_buffer *b = lm_newbuffer(L);
    lm_encode(L, 1, b);
    lua_pushcfunction(L, decode);
    lua_pushvalue(L, 3);
    bool enough = run(L, &m, 1, 1, n);
    if (enough) check(L, n);
    lm_decode(L, b->data, b->size);
    check(L, n);
    lua_close(L);
    if (m.out) fail("memory leaked in decoding", n);
    return enough;
}

int main(void)
{
    long encodings = 0, decodings = 0;
    while (!encode_with(encodings)) encodings++;
    while (!decode_with(decodings)) decodings++;
    if (encodings < 10 || decodings < 300) fail("hardly anything was allocated", encodings);
    printf("test_wire_alloc: %ld points in encoding, %ld in decoding\n", encodings, decodings);
    return 0;
}
