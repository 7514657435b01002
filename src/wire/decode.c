#include "array.h"
#include "bytecode.h"
#include "format.h"
#include "names.h"
#include "wire.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* While containers are decoded, stack slots from `base` on hold: a table from offsets to what is referred to, the
   memory of `strings`, and the first KEPT short strings. */
enum { SEEN = 0, MEMORY = 1, KEPT_0 = 2, KEPT = STRINGREFS };

typedef struct decoder {
    lua_State *L;
    const unsigned char *start, *p, *end;
    lm_source *source; /* NULL: all is here */
    size_t items; /* that lists may still be given room for: a valid message has a byte for each */
    size_t pairs; /* the same of pairs, of which half may have been hoped for in vain */
    int base;    /* 0 as long as there is no container */
    int depth;
    size_t *strings; /* offsets of the lead bytes of the short strings so far, of the last WINDOW at most */
    size_t nstrings, capacity;     /* the latter a power of two */
    size_t few[64];  /* where `strings` begins */
    unsigned char shape_lengths[SHAPES], shapes[SHAPES][KEYS]; /* the numbers of their keys */
} decoder;

static void decode_value(decoder *D);

/* --- reading -------------------------------------------------------------------------------------------------- */

static _Noreturn void bad(decoder *D, const char *format, ...)
{
    lua_State *L = D->L;
    va_list args;
    va_start(args, format);
    lua_pushvfstring(L, format, args);
    va_end(args);
    luaL_error(L, "not a message: %s (byte %I of %I)", lua_tostring(L, -1), (lua_Integer)(D->p - D->start),
               (lua_Integer)(D->end - D->start));
    abort();
}

static inline size_t remaining(const decoder *D) { return (size_t)(D->end - D->p); }

/* Waits for more of the message; false when there is no more. What is here may move. */
static __attribute__((noinline)) bool more(decoder *D)
{
    if (!D->source) return false;
    lm_buffer *b = D->source->b;
    size_t before = b->size, at = (size_t)(D->p - D->start);
    bool some = D->source->more(D->L, D->source);
    D->start = (const unsigned char *)b->data;
    D->p = D->start + at;
    D->end = D->start + b->size;
    D->items += b->size - before;
    D->pairs += 2 * (b->size - before);
    return some;
}

/* Sees to it that the next n bytes are here. */
static inline void need(decoder *D, size_t n)
{
    while (n > remaining(D))
        if (!more(D)) bad(D, "it ends too early");
}

/* The bytes lie there until the next are wanted. */
static inline const unsigned char *take(decoder *D, size_t n)
{
    need(D, n);
    const unsigned char *p = D->p;
    D->p += n;
    return p;
}

static inline int take_byte(decoder *D)
{
    need(D, 1);
    return *D->p++;
}

/* The byte that is next; NIL, which may stand nowhere else, when there is none. */
static inline int peek(decoder *D)
{
    while (D->p == D->end)
        if (!more(D)) return NIL;
    return *D->p;
}

static uint64_t take_varint(decoder *D)
{
    uint64_t n = 0;
    for (int shift = 0; shift < 63; shift += 7) {
        int byte = take_byte(D);
        n |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) return n;
    }
    bad(D, "a number is too long");
}

/* --- references ------------------------------------------------------------------------------------------------ */

#define SLOTS 4 /* of the stack that a level takes */

/* Something of which a part may refer to another begins: makes room for what is referred to. */
static void open_base(decoder *D)
{
    lua_State *L = D->L;
    if (D->base) return;
    D->base = lua_gettop(L) + 1;
    luaL_checkstack(L, LUA_MINSTACK + KEPT_0 + KEPT, NULL);
    lua_settop(L, D->base - 1 + KEPT_0 + KEPT);
}

static void open_container(decoder *D)
{
    if (++D->depth > DEEPEST) bad(D, "it is nested deeper than %d levels", DEEPEST);
    if (D->depth % 4 == 1) luaL_checkstack(D->L, 4 * SLOTS + LUA_MINSTACK, NULL);
    open_base(D);
}

/* Notes that the value on top, which stays there, began at this offset. */
static void note(decoder *D, lua_Integer at)
{
    lua_State *L = D->L;
    if (!D->base) return; /* the message is this value, nothing can refer to it */
    if (lua_isnil(L, D->base + SEEN)) {
        lua_newtable(L);
        lua_replace(L, D->base + SEEN);
    }
    lua_pushvalue(L, -1);
    lua_rawseti(L, D->base + SEEN, at);
}

static lua_Integer offset(const decoder *D) { return (lua_Integer)(D->p - D->start); }

/* Pushes what began at the offset that is next. */
static void decode_reference(decoder *D)
{
    lua_Integer at = (lua_Integer)take_varint(D);
    if (!D->base || lua_isnil(D->L, D->base + SEEN) || lua_rawgeti(D->L, D->base + SEEN, at) == LUA_TNIL)
        bad(D, "a reference to nothing");
}

/* --- strings --------------------------------------------------------------------------------------------------- */

static void grow_strings(decoder *D)
{
    size_t *larger = lua_newuserdatauv(D->L, D->capacity * 2 * sizeof *larger, 0);
    memcpy(larger, D->strings, D->nstrings * sizeof *larger);
    lua_replace(D->L, D->base + MEMORY);
    D->strings = larger;
    D->capacity *= 2;
}

static inline void decode_short_string(decoder *D, int lead)
{
    lua_State *L = D->L;
    size_t n = (size_t)(lead - STRING_0);
    lua_pushlstring(L, (const char *)take(D, n), n);
    if (!D->base) return;
    if (D->nstrings == D->capacity && D->capacity < WINDOW) grow_strings(D);
    if (D->nstrings < KEPT) lua_copy(L, -1, D->base + KEPT_0 + (int)D->nstrings);
    D->strings[D->nstrings++ & (D->capacity - 1)] = (size_t)(D->p - D->start) - n - 1;
}

/* One of the first strings. */
static inline void decode_kept_string(decoder *D, size_t number)
{
    if (number >= D->nstrings) bad(D, "a reference to nothing");
    lua_pushvalue(D->L, D->base + KEPT_0 + (int)number);
}

/* One of the last strings. */
static inline void decode_recent_string(decoder *D, size_t number)
{
    if (number >= D->nstrings) bad(D, "a reference to nothing");
    const unsigned char *s = D->start + D->strings[number];
    lua_pushlstring(D->L, (const char *)s + 1, (size_t)(*s - STRING_0));
}

static void decode_long_string(decoder *D, bool referred)
{
    lua_Integer at = offset(D) - 1;
    uint64_t n = take_varint(D);
    lua_pushlstring(D->L, (const char *)take(D, n), n);
    if (referred) note(D, at);
}

/* Pushes a string that is a name. */
static void decode_name(decoder *D)
{
    int lead = peek(D);
    bool string = (lead >= STRING_0 && lead < STRINGREFS_END) || (lead & ~REFERRED) == LONGSTRING || lead == REF;
    if (string) decode_value(D);
    if (!string || lua_type(D->L, -1) != LUA_TSTRING) bad(D, "a name is not a string");
}

/* --- tables ---------------------------------------------------------------------------------------------------- */

/* Takes n from what there may be of slots in tables. */
static int claim(decoder *D, size_t *allowed, uint64_t n)
{
    while (n > *allowed && more(D)) continue;
    if (n > *allowed || n > INT32_MAX) bad(D, "a size is larger than the message");
    *allowed -= (size_t)n;
    return (int)n;
}

/* Room for pairs, as a shape or room byte says. */
static int claim_pairs(decoder *D, int log) { return log ? claim(D, &D->pairs, UINT64_C(1) << (log - 1)) : 0; }

#define READ(type, push) \
    for (; i < until; i++, p += sizeof(type)) { \
        type x; \
        memcpy(&x, p, sizeof x); \
        push(L, x); \
        lua_rawseti(L, -2, i + 1); \
    }

static void decode_list(decoder *D, int kind, int n)
{
    static const unsigned char sizes[] = {[FLOATS] = 8, [INTS1] = 1, [INTS2] = 2, [INTS4] = 4, [INTS8] = 8};
    lua_State *L = D->L;
    if (kind == VALUES) {
        for (int i = 1; i <= n; i++) {
            decode_value(D);
            lua_rawseti(L, -2, i);
        }
        return;
    }
    size_t size = sizes[kind];
    for (int i = 0; i < n;) { /* as many at a time as are here */
        need(D, size);
        int until = remaining(D) / size < (size_t)(n - i) ? i + (int)(remaining(D) / size) : n;
        const unsigned char *p = take(D, (size_t)(until - i) * size);
        switch (kind) {
        case FLOATS: READ(double, lua_pushnumber) break;
        case INTS1: READ(int8_t, lua_pushinteger) break;
        case INTS2: READ(int16_t, lua_pushinteger) break;
        case INTS4: READ(int32_t, lua_pushinteger) break;
        default: READ(int64_t, lua_pushinteger)
        }
    }
}

/* True at the end of a table, which is then taken. */
static inline bool at_end(decoder *D)
{
    bool end = peek(D) == END;
    D->p += end;
    return end;
}

static void decode_pairs(decoder *D)
{
    lua_State *L = D->L;
    while (!at_end(D)) {
        int lead = peek(D);
        bool string = lead >= STRING_0 && lead < STRINGREFS_END;
        decode_value(D);
        int type = string ? LUA_TSTRING : lua_type(L, -1);
        if (type == LUA_TNIL || (type == LUA_TNUMBER && lua_tonumber(L, -1) != lua_tonumber(L, -1)))
            bad(D, "a key is nil or not a number");
        decode_value(D);
        lua_rawset(L, -3);
    }
}

static void decode_table(decoder *D, bool referred)
{
    lua_State *L = D->L;
    lua_Integer at = offset(D) - 1;
    open_container(D);
    int shape = take_byte(D), kind = shape >> LISTSHIFT, log = shape & ROOMMASK;
    if (kind > INTS8) bad(D, "a table of unknown shape");
    int items = kind == NOLIST ? 0 : claim(D, &D->items, take_varint(D));
    lua_createtable(L, items, claim_pairs(D, log));
    if (referred) note(D, at);
    if (kind != NOLIST) decode_list(D, kind, items);
    decode_pairs(D);
    D->depth--;
}

/* The number of the string that is next, STRINGREFS or more unless it is one of the first. */
static size_t next_string(decoder *D)
{
    int lead = peek(D);
    if (lead >= STRING_0 && lead < STRINGREF_0) return D->nstrings;
    return lead >= STRINGREF_0 && lead < STRINGREF11_0 ? (size_t)(lead - STRINGREF_0) : STRINGREFS;
}

static void decode_record(decoder *D, bool partial, bool referred)
{
    lua_State *L = D->L;
    lua_Integer start = offset(D) - 1;
    open_container(D);
    int byte = take_byte(D), id = byte & (SHAPES - 1), count = byte / SHAPES, at = 0;
    unsigned char *length = &D->shape_lengths[id], *shape = D->shapes[id];
    int log = partial && count == 0 ? take_byte(D) : 0;
    if (log > ROOMMASK) bad(D, "a table of unknown shape");
    int pairs = log ? claim_pairs(D, log) : claim(D, &D->pairs, (uint64_t)count);
    lua_createtable(L, 0, partial && pairs < *length ? *length : pairs);
    if (referred) note(D, start);
    for (; at < count; at++) {
        if (at >= *length) bad(D, "a table has more keys than are known");
        lua_pushvalue(L, D->base + KEPT_0 + shape[at]);
        decode_value(D);
        lua_rawset(L, -3);
    }
    if (partial) {
        if (*length > at) *length = (unsigned char)at;
        for (; at < KEYS && at <= *length && next_string(D) < STRINGREFS; at++) {
            size_t number = next_string(D);
            decode_value(D);
            shape[at] = (unsigned char)number;
            *length = (unsigned char)(at + 1);
            decode_value(D);
            lua_rawset(L, -3);
        }
        decode_pairs(D);
    }
    D->depth--;
}

static void decode_object(decoder *D)
{
    lua_State *L = D->L;
    open_base(D);
    decode_name(D);
    lm_toregistered(L);
    int lead = take_byte(D);
    switch (lead & ~REFERRED) {
    case TABLE: decode_table(D, lead & REFERRED); break;
    case RECORD: decode_record(D, false, lead & REFERRED); break;
    case PARTIAL: decode_record(D, true, lead & REFERRED); break;
    default: bad(D, "an object is no table");
    }
    lua_insert(L, -2);
    if (D->source) { /* the finalizer of an object runs only if its message comes to a good end */
        lua_pushliteral(L, "__gc");
        if (lua_rawget(L, -2) != LUA_TNIL) while (more(D)) continue;
        lua_pop(L, 1);
    }
    lua_setmetatable(L, -2); /* last, so that no finalizer meets an object that is not complete */
}

/* --- arrays and functions -------------------------------------------------------------------------------------- */

static void decode_array(decoder *D, bool referred)
{
    lua_Integer at = offset(D) - 1;
    int dtype = take_byte(D), ndim = take_byte(D);
    if (dtype >= LM_DTYPES || ndim > LM_MAXDIM) bad(D, "an array of unknown type");
    int64_t shape[LM_MAXDIM], bytes = lm_dtypes[dtype].size;
    for (int d = 0; d < ndim; d++) {
        shape[d] = (int64_t)take_varint(D);
        if (__builtin_mul_overflow(bytes, shape[d], &bytes)) bad(D, "an array is too large");
    }
    int64_t stride = 1; /* with an empty dimension the strides may overflow, though the size does not */
    for (int d = ndim - 1; d >= 0; d--)
        if (__builtin_mul_overflow(stride, shape[d], &stride)) bad(D, "an array is too large");
    const unsigned char *data = take(D, (size_t)bytes);
    luaL_checkstack(D->L, LUA_MINSTACK, NULL);
    lm_array *a = lm_newarray(D->L, (lm_dtype)dtype, ndim, shape);
    if (bytes) memcpy(a->data, data, (size_t)bytes);
    if (referred) note(D, at);
}

/* Sets upvalue n of the function on top, or makes it share the variable of one that came before. */
static void decode_upvalue(decoder *D, int n)
{
    lua_State *L = D->L;
    lua_Integer at = offset(D);
    int lead = take_byte(D), function = lua_gettop(L);
    if (lead == UPVALUEREF) {
        lua_Integer there = (lua_Integer)take_varint(D);
        if (lua_isnil(L, D->base + SEEN) || lua_rawgeti(L, D->base + SEEN, -there) != LUA_TNUMBER)
            bad(D, "a reference to nothing");
        lua_rawgeti(L, D->base + SEEN, there);
        lua_upvaluejoin(L, function, n, -1, (int)lua_tointeger(L, -2));
        lua_pop(L, 2);
        return;
    }
    if ((lead & ~REFERRED) != UPVALUE) bad(D, "an upvalue of unknown kind");
    if (lead & REFERRED) { /* the function at this offset, the upvalue's number at minus the offset */
        note(D, at);
        lua_pushinteger(L, n);
        lua_rawseti(L, D->base + SEEN, -at);
    }
    decode_value(D);
    lua_setupvalue(L, function, n);
}

static void decode_function(decoder *D, bool referred)
{
    lua_State *L = D->L;
    lua_Integer at = offset(D) - 1;
    uint32_t n;
    uint64_t sum;
    int upvalues;
    open_container(D);
    memcpy(&n, take(D, 4), 4);
    memcpy(&sum, take(D, 8), 8);
    const char *dump = (const char *)take(D, n);
#ifndef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION /* the fuzzer shall reach what is behind */
    if (sum != checksum(dump, n)) bad(D, "a function is damaged");
#endif
    const char *wrong = lm_checkbytecode(L, dump, n, &upvalues);
    if (wrong) bad(D, "a function is damaged: %s", wrong);
    int status = luaL_loadbufferx(L, dump, n, "=?", "b");
    if (status == LUA_ERRMEM) lua_error(L);
    if (status != LUA_OK) bad(D, "a function is damaged: %s", lua_tostring(L, -1));
    if (referred) note(D, at);
    for (int i = 1; i <= upvalues; i++) decode_upvalue(D, i);
    D->depth--;
}

/* --- values ---------------------------------------------------------------------------------------------------- */

/* Pushes the value that is next. */
static void decode_value(decoder *D)
{
    lua_State *L = D->L;
    int lead = take_byte(D);
    if (lead < INT_NEGATIVE) {
        lua_pushinteger(L, lead - INT_0);
        return;
    }
    if (lead < STRING_0) {
        lua_pushinteger(L, lead - INT_NEGATIVE - 16);
        return;
    }
    if (lead < STRINGREF_0) {
        decode_short_string(D, lead);
        return;
    }
    if (lead < STRINGREF11_0) {
        decode_kept_string(D, (size_t)(lead - STRINGREF_0));
        return;
    }
    if (lead < STRINGREFS_END) {
        decode_recent_string(D, (size_t)(lead - STRINGREF11_0) << 8 | (size_t)take_byte(D));
        return;
    }
    switch (lead) {
    case RECORD: case RECORD + REFERRED: decode_record(D, false, lead & REFERRED); break;
    case PARTIAL: case PARTIAL + REFERRED: decode_record(D, true, lead & REFERRED); break;
    case NIL: lua_pushnil(L); break;
    case FALSE: lua_pushboolean(L, 0); break;
    case TRUE: lua_pushboolean(L, 1); break;
    case INT16: {
        int16_t i;
        memcpy(&i, take(D, 2), 2);
        lua_pushinteger(L, i);
        break;
    }
    case INT32: {
        int32_t i;
        memcpy(&i, take(D, 4), 4);
        lua_pushinteger(L, i);
        break;
    }
    case INT64: {
        int64_t i;
        memcpy(&i, take(D, 8), 8);
        lua_pushinteger(L, i);
        break;
    }
    case FLOAT: {
        double x;
        memcpy(&x, take(D, 8), 8);
        lua_pushnumber(L, x);
        break;
    }
    case LONGSTRING: case LONGSTRING + REFERRED: decode_long_string(D, lead & REFERRED); break;
    case TABLE: case TABLE + REFERRED: decode_table(D, lead & REFERRED); break;
    case ARRAY: case ARRAY + REFERRED: decode_array(D, lead & REFERRED); break;
    case FUNCTION: case FUNCTION + REFERRED: decode_function(D, lead & REFERRED); break;
    case REF: decode_reference(D); break;
    case OBJECT: decode_object(D); break;
    case REGISTERED:
        decode_name(D);
        lm_toregistered(L);
        break;
    case MODULE:
        decode_name(D);
        lm_tomodule(L);
        break;
    case FIELD:
        open_base(D); /* for the names, of which the second may be the first again */
        decode_name(D);
        decode_name(D);
        lm_tofield(L);
        break;
    case GLOBALS: lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS); break;
    default: D->p--; bad(D, "a value of unknown type %d", lead);
    }
}

static void decode_message(lua_State *L, const char *bytes, size_t n, lm_source *source)
{
    decoder D;
    D.L = L;
    D.start = D.p = (const unsigned char *)(n ? bytes : "");
    D.end = D.start + n;
    D.source = source;
    D.items = n;
    D.pairs = 2 * n;
    D.base = D.depth = 0;
    D.strings = D.few;
    D.nstrings = 0;
    D.capacity = sizeof D.few / sizeof *D.few;
    memset(D.shape_lengths, 0, sizeof D.shape_lengths);
    if (n == 0) bad(&D, "it is empty");
    if (take_byte(&D) != FORMAT) bad(&D, "it does not begin as one");
    decode_value(&D);
    while (more(&D)) continue;
    if (D.p != D.end) bad(&D, "there is more behind it");
    if (D.base) {
        lua_replace(L, D.base);
        lua_settop(L, D.base);
    }
}

void lm_decode(lua_State *L, const char *bytes, size_t n) { decode_message(L, bytes, n, NULL); }
void lm_decodefrom(lua_State *L, lm_source *source) { decode_message(L, source->b->data, source->b->size, source); }
