/* Values that are decoded while they are encoded, linked with wire.c encode.c encode_list.c place.c decode.c bytecode.c names.c map.c buffer.c object.c array.c dtype.c */
#include "chunk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Returns a list of values, a function that raises unless its arguments are alike, and the names of those values of which
   what went out first cannot stay. */
static const char chunk[] =
    "local array, class = ..., mpi.register('class', {})\n"
    "local function list(n, f) local t = {} for i = 1, n do t[i] = f(i) end return t end\n"
    "local function record(i) return {id = i, name = 'name ' .. i, x = i / 2} end\n"
    "local function half(i) return i / 2 + 0.25 end\n"
    "local values = {\n"
    "    floats = list(300, half), integers = list(300, function (i) return -i end),\n"
    "    growing = list(300, function (i) return i * i end), wide = list(100, function (i) return i << 40 end),\n"
    "    records = list(200, record), strings = list(200, function (i) return ('s'):rep(i) end),\n"
    "    nested = list(20, function (i) return list(i, half) end), empty = {}, none = list(100, function () return {} end),\n"
    "    object = setmetatable(list(50, record), class), arrays = list(20, function () return array end),\n"
    "    same = list(20, function () return print end), number = 1.5, text = ('long'):rep(1000)}\n"
    "values.named, values.keys, values.both, values.holes, values.deep = {}, {}, list(100, half), list(100, half), {}\n"
    "for i = 1, 500 do values.named['key' .. i] = i end\n"
    "for i = 1, 200 do values.keys[i + 0.5], values.keys[-i] = i, 'x' .. i end\n"
    "for i = 1, 200 do values.both['key ' .. i] = record(i) end\n"
    "for i = 3, 100, 3 do values.holes[i] = nil end\n"
    "for i = 1, 100 do values.deep = {values.deep, i, more = list(i % 7, half)} end\n"
    "values.kinds = {a = values.floats, b = values.records, c = values.named, d = list(40, record), e = ('x'):rep(500)}\n"
    "values.first = list(100, half) values.first[101] = 'text'\n"
    "values.widening = list(100, half) for i = 1, 100 do values.widening[i] = i end values.widening[99] = 1 << 40\n"
    "values.again = list(100, record) values.again[101] = values.again[1]\n"
    "values.itself = list(100, half) values.itself.self = values.itself\n"
    "values.sparse = list(50, half) values.sparse[51], values.sparse[200] = {}, 1\n"
    "local count = 0\n"
    "local function up() count = count + 1 return count end\n"
    "values.functions = list(50, function (i) return function () return i end end)\n"
    "values.shared = {up, list(100, half), function () return count, up end}\n"
    "local names = {} for name in pairs(values) do names[#names + 1] = name end table.sort(names)\n"
    "local function same(a, b, seen)\n"
    "    if type(a) == 'function' and a ~= b then return a() == b() end\n"
    "    if type(a) ~= 'table' then return type(a) == 'userdata' and type(b) == 'userdata' or a == b end\n"
    "    if type(b) ~= 'table' or getmetatable(a) ~= getmetatable(b) then return false end\n"
    "    if seen[a] then return seen[a] == b end\n"
    "    seen[a] = b\n"
    "    for k, v in pairs(a) do if not same(v, b[k], seen) then return false end end\n"
    "    for k in pairs(b) do if a[k] == nil then return false end end\n"
    "    return true\n"
    "end\n"
    "return names, values, function (a, b) return same(a, b, {}) end\n";

static int setup(lua_State *L) { return chunk_run(L, chunk, 20, 3, 3); }

/* Takes pieces of any length, and remembers their bytes as they were then. */
typedef struct pieces {
    lm_sink sink;
    lm_source source;
    lm_buffer *taken;
    size_t given;   /* to the decoder */
    size_t longest;
    bool gave_up;
} pieces;

static lua_State *L;

static size_t take(lm_sink *s, const char *bytes, size_t n)
{
    pieces *p = (pieces *)s;
    if (n > p->longest) n = p->longest;
    memcpy(lm_grow(L, p->taken, n), bytes, n);
    return n;
}

static void give_up(lm_sink *s) { ((pieces *)s)->gave_up = true; }

static bool more(lua_State *state, lm_source *source)
{
    pieces *p = (pieces *)((char *)source - offsetof(pieces, source));
    size_t n = p->taken->size - p->given;
    if (n == 0) return false;
    if (n > p->longest) n = p->longest;
    lm_buffer moved = *source->b; /* every time somewhere else */
    source->b->data = malloc(moved.size + n);
    memcpy(source->b->data, moved.data, moved.size);
    memcpy(source->b->data + moved.size, p->taken->data + p->given, n);
    memset(moved.data, 0xEE, moved.size);
    free(moved.data);
    source->b->size = source->b->capacity = moved.size + n;
    p->given += n;
    (void)state;
    return true;
}

static int decode_pieces(lua_State *state)
{
    lm_decodefrom(state, lua_touserdata(state, 1));
    return 1;
}

static void fail(const char *name, size_t step, size_t longest, const char *what)
{
    fprintf(stderr, "test_wire_pieces: %s in steps of %zu and pieces of %zu: %s\n", name, step, longest, what);
    exit(1);
}

static int contradictions, passed;

/* The value at 4 in pieces: what they say is right, unless the sink was told that it is not. */
static void try(const char *name, size_t step, size_t longest)
{
    lm_buffer *b = lm_newbuffer(L), *here = lm_newbuffer(L);
    pieces p = {{step, 0, false, take, give_up}, {here, more}, lm_newbuffer(L), 0, longest, false};
    memcpy(lm_grow(L, b, 3), "old", 3);
    lm_encodeto(L, 4, b, &p.sink);
    if (p.gave_up) fail(name, step, longest, "it was given up");
    if (p.taken->size != p.sink.taken) fail(name, step, longest, "the sink has taken something else");
    if (p.sink.contradicted) {
        contradictions++;
        lm_decode(L, b->data + 3, b->size - 3);
    } else {
        size_t rest = b->size - 3 - p.sink.taken;
        memcpy(lm_grow(L, p.taken, rest), b->data + 3 + p.sink.taken, rest);
        passed += p.sink.taken > 0;
        size_t first = p.taken->size < longest ? p.taken->size : longest;
        here->data = malloc(here->size = here->capacity = p.given = first);
        memcpy(here->data, p.taken->data, first);
        lua_pushcfunction(L, decode_pieces);
        lua_pushlightuserdata(L, &p.source);
        if (lua_pcall(L, 1, 1, 0)) fail(name, step, longest, lua_tostring(L, -1));
        free(here->data);
        *here = (lm_buffer){.kind = here->kind};
    }
    lua_pushvalue(L, 3);
    lua_pushvalue(L, 4);
    lua_pushvalue(L, -3);
    lua_call(L, 2, 1);
    if (!lua_toboolean(L, -1)) fail(name, step, longest, "another value has come out");
    lua_settop(L, 4);
}

int main(void)
{
    L = luaL_newstate();
    lua_pushcfunction(L, setup);
    if (lua_pcall(L, 0, 3, 0)) fail(lua_tostring(L, -1), 0, 0, "setup");
    for (lua_Integer i = 1; lua_rawgeti(L, 1, i) == LUA_TSTRING; i++) {
        const char *name = lua_tostring(L, -1);
        lua_getfield(L, 2, name);
        lua_replace(L, 4);
        for (size_t step = 1; step < 5000; step += 1 + step / 2)
            for (size_t longest = 7; longest < 5000; longest *= 5) try(name, step, longest);
        lua_settop(L, 3);
    }
    lua_close(L);
    if (contradictions < 100 || passed < 1000) fail("all", 0, 0, "hardly anything was taken early");
    printf("test_wire_pieces: %d messages went out in pieces, %d of them for nothing\n", passed + contradictions, contradictions);
    return 0;
}
