#include "array.h"
#include "format.h"
#include "names.h"
#include "place.h"
#include "wire.h"

#include <string.h>

/* No Lua object is created on the way, so that no finalizer runs that might encode something itself. */
typedef struct encoder {
    lua_State *L;
    lm_buffer *b;
    lm_codec *codec;
    size_t start;
    uint64_t strings; /* numbered so far */
    lm_place *place;
    int depth;
    lm_sink *sink;   /* NULL: the message is wanted as a whole */
    size_t try;      /* the length at which the sink is asked next */
    int unsettled;   /* open tables whose beginning may not be handed on yet */
    bool searched; /* the modules' fields were listed anew for this message */
    uint8_t shape_lengths[SHAPES];
    const void *shapes[SHAPES][KEYS]; /* the keys' addresses */
} encoder;

static void encode_other(encoder *E, int type);

/* --- giving up ------------------------------------------------------------------------------------------------ */

static void give_up(encoder *E)
{
    E->b->size = E->start;
    if (E->sink) E->sink->give_up(E->sink);
}

static void refuse(encoder *E, const char *what)
{
    give_up(E);
    lm_refuse(E->L, E->place, what);
}

static void out_of_memory(encoder *E)
{
    give_up(E);
    luaL_error(E->L, "not enough memory");
}

/* --- bytes --------------------------------------------------------------------------------------------------- */

/* Room for n bytes at the end, which the caller fills and counts. */
static inline char *room(encoder *E, size_t n)
{
    lm_buffer *b = E->b;
    if (b->capacity - b->size < n && !lm_reserve(E->L, b, n)) out_of_memory(E);
    return b->data + b->size;
}

static inline void put_byte(encoder *E, int byte)
{
    *room(E, 1) = (char)byte;
    E->b->size++;
}

static void put_bytes(encoder *E, const void *bytes, size_t n)
{
    char *to = room(E, n);
    memcpy(to, bytes, n);
    E->b->size += n;
}

static void put_varint(encoder *E, uint64_t n)
{
    char *p = room(E, 10), *first = p;
    while (n >= 0x80) {
        *p++ = (char)(n | 0x80);
        n >>= 7;
    }
    *p++ = (char)n;
    E->b->size += (size_t)(p - first);
}

/* Writes the integer at p and returns its end: at most 9 bytes. */
static inline char *write_integer(char *p, int64_t i)
{
    int size;
    if (i >= -16 && i < 128) {
        *p = (char)(i >= 0 ? INT_0 + i : INT_NEGATIVE + 16 + i);
        return p + 1;
    }
    if (i == (int16_t)i) *p = (char)INT16, size = 2;
    else if (i == (int32_t)i) *p = (char)INT32, size = 4;
    else *p = (char)INT64, size = 8;
    memcpy(p + 1, &i, (size_t)size);
    return p + 1 + size;
}

static inline char *write_float(char *p, double x)
{
    *p = (char)FLOAT;
    memcpy(p + 1, &x, 8);
    return p + 9;
}

static inline void put_integer(encoder *E, int64_t i)
{
    char *p = room(E, 9);
    E->b->size += (size_t)(write_integer(p, i) - p);
}

static inline void put_float(encoder *E, double x)
{
    write_float(room(E, 9), x);
    E->b->size += 9;
}

/* --- what goes out before the end ---------------------------------------------------------------------------- */

static inline size_t offset(const encoder *E) { return E->b->size - E->start; }

static __attribute__((noinline)) void hand_on(encoder *E)
{
    lm_sink *s = E->sink;
    if (E->unsettled == 0 && !s->contradicted)
        s->taken += s->take(s, E->b->data + E->start + s->taken, offset(E) - s->taken);
    E->try = offset(E) + s->step;
}

/* Between two items, where all that was put so far is whole. */
static inline void breathe(encoder *E)
{
    if (offset(E) >= E->try) hand_on(E);
}

/* What was put from `at` on changes. */
static inline void change(encoder *E, size_t at)
{
    if (E->sink && at < E->sink->taken) E->sink->contradicted = true;
}

static inline void change_byte(encoder *E, size_t at, int byte)
{
    char *p = E->b->data + E->start + at;
    if (*p == (char)byte) return;
    change(E, at);
    *p = (char)byte;
}

static int room_log(size_t pairs)
{
    int log = pairs ? 1 : 0;
    while (log && log < ROOMMASK && (size_t)1 << (log - 1) < pairs) log++;
    return log;
}

/* Sets the room in a room byte or shape byte. It is a hint, which may come too late. */
static void set_room(encoder *E, size_t at, size_t pairs)
{
    char *p = E->b->data + E->start + at;
    if (!E->sink || at >= E->sink->taken) *p = (char)((*p & ~ROOMMASK) | room_log(pairs));
}

/* Between two pairs of a table whose room is at an offset: there will be about as many again. */
static inline void breathe_in_pairs(encoder *E, size_t at, size_t pairs)
{
    if (offset(E) < E->try) return;
    set_room(E, at, 2 * pairs);
    hand_on(E);
}

/* --- what may appear twice ----------------------------------------------------------------------------------- */

static inline void remember(encoder *E, lm_map *map, lm_entry *e, const void *key, uint64_t number)
{
    if (!lm_mapfill(E->L, map, e, key, number)) out_of_memory(E);
}

/* Marks the lead byte of what was sent before as referred to, and puts the reference. */
static void put_reference(encoder *E, int lead, const lm_entry *e)
{
    uint64_t at = lm_mapnumber(e);
    change_byte(E, at, E->b->data[E->start + at] | REFERRED);
    put_byte(E, lead);
    put_varint(E, at);
}

/* True when the object has gone out before: then the reference is put. Else it is remembered as beginning here. */
static bool sent_before(encoder *E, const void *address)
{
    lm_map *objects = &E->codec->objects;
    lm_entry *e = lm_mapfind(objects, address);
    if (lm_mapheld(objects, e)) {
        put_reference(E, REF, e);
        return true;
    }
    remember(E, objects, e, address, offset(E));
    return false;
}

static inline bool is_current(const encoder *E, const lm_entry *e) { return e->stamped >> 48 == E->codec->encoding; }

/* Where the short string at this address is noted, or else may be; NULL when its places are all taken for good. */
static inline lm_entry *recent(const encoder *E, const void *s)
{
    size_t hash = (size_t)((uintptr_t)s * UINT64_C(0x9E3779B97F4A7C15) >> 32);
    lm_entry *places = &E->codec->strings[hash & (LM_RECENT - LM_PLACES)], *room = NULL;
    for (lm_entry *e = places; e < places + LM_PLACES; e++) {
        if (e->key == s && is_current(E, e)) return e;
        if (!is_current(E, e)) room = e;
    }
    if (room) return room;
    room = &places[E->strings & (LM_PLACES - 1)];
    return lm_mapnumber(room) < STRINGREFS ? NULL : room; /* the first ones stay */
}

/* Returns the string's number, as it was sent; a long one has none, which is UINT64_MAX. */
static uint64_t encode_string(encoder *E, int index)
{
    size_t n;
    const char *s = lua_tolstring(E->L, index, &n);
    if (n > SHORTEST) {
        if (sent_before(E, s)) return UINT64_MAX;
        put_byte(E, LONGSTRING);
        put_varint(E, n);
        put_bytes(E, s, n);
        return UINT64_MAX;
    }
    lm_entry *e = recent(E, s);
    bool known = e && e->key == s && is_current(E, e);
    uint64_t number = known ? lm_mapnumber(e) : 0;
    if (!known || (number >= STRINGREFS && E->strings - number > WINDOW)) {
        char *p = room(E, 1 + SHORTEST);
        *p = (char)(STRING_0 + (int)n);
        memcpy(p + 1, s, n);
        E->b->size += 1 + n;
        if (e) *e = (lm_entry){s, E->codec->encoding << 48 | E->strings};
        return E->strings++;
    }
    if (number < STRINGREFS) {
        put_byte(E, STRINGREF_0 + (int)number);
    } else {
        char *p = room(E, 2);
        p[0] = (char)(STRINGREF11_0 + (int)(number % WINDOW >> 8));
        p[1] = (char)number;
        E->b->size += 2;
    }
    return number;
}

/* Puts the lead byte and the `names` strings on top, which are popped. */
static void encode_names(encoder *E, int lead, int names)
{
    put_byte(E, lead);
    for (int i = -names; i < 0; i++) encode_string(E, i);
    lua_pop(E->L, names);
}

/* --- tables -------------------------------------------------------------------------------------------------- */

#define SLOTS 4 /* of the stack that a level takes */

static void enter(encoder *E, lm_place *p, const char *what)
{
    if (++E->depth > DEEPEST) refuse(E, lua_pushfstring(E->L, "%s nested deeper than %d levels", what, DEEPEST));
    if (E->depth % 4 == 0 && !lua_checkstack(E->L, 4 * SLOTS + LUA_MINSTACK)) out_of_memory(E);
    p->outer = E->place;
    E->place = p;
}

static void leave(encoder *E)
{
    E->place = E->place->outer;
    E->depth--;
}

static int int_width(lua_Integer i)
{
    return i == (int8_t)i ? 1 : i == (int16_t)i ? 2 : i == (int32_t)i ? 4 : 8;
}

/* What a list of numbers is made of; width 0 means floats. */
static int kind_of(int width)
{
    return width == 0 ? FLOATS : width == 1 ? INTS1 : width == 2 ? INTS2 : width == 4 ? INTS4 : INTS8;
}

static inline lua_Integer load_int(const char *p, int width)
{
    int8_t i8;
    int16_t i16;
    int32_t i32;
    int64_t i64;
    switch (width) {
    case 1: return memcpy(&i8, p, 1), i8;
    case 2: return memcpy(&i16, p, 2), i16;
    case 4: return memcpy(&i32, p, 4), i32;
    default: return memcpy(&i64, p, 8), i64;
    }
}

/* Rewrites n integers at body, the end of the buffer, from one width to a larger one. */
static void widen(encoder *E, size_t body, size_t n, int width, int wider)
{
    change(E, body - E->start);
    room(E, n * (size_t)(wider - width));
    char *data = E->b->data + body;
    for (size_t i = n; i-- > 0;) {
        int64_t value = load_int(data + i * (size_t)width, width);
        memcpy(data + i * (size_t)wider, &value, (size_t)wider);
    }
    E->b->size = body + n * (size_t)wider;
}

/* Rewrites n bare numbers at body, the end of the buffer, as values; width 0 means floats. */
static void loosen(encoder *E, size_t body, size_t n, int width)
{
    size_t size = width ? (size_t)width : 8;
    change(E, body - E->start);
    room(E, 9 * n);
    char *to = E->b->data + body, *from = to + 9 * n;
    memmove(from, to, n * size);
    for (size_t i = 0; i < n; i++, from += size) {
        if (width) {
            to = write_integer(to, load_int(from, width));
        } else {
            double x;
            memcpy(&x, from, sizeof x);
            to = write_float(to, x);
        }
    }
    E->b->size = (size_t)(to - E->b->data);
}

/* Puts the value on top, which stays there. Containers see to it that there are stack slots for it. */
static inline void encode_value(encoder *E, int type)
{
    lua_State *L = E->L;
    switch (type) {
    case LUA_TNIL: put_byte(E, NIL); break;
    case LUA_TBOOLEAN: put_byte(E, lua_toboolean(L, -1) ? TRUE : FALSE); break;
    case LUA_TNUMBER:
        if (lua_isinteger(L, -1)) put_integer(E, lua_tointeger(L, -1));
        else put_float(E, lua_tonumber(L, -1));
        break;
    case LUA_TSTRING: encode_string(E, -1); break;
    default: encode_other(E, type);
    }
}

#define BATCH 16 /* items read at a time: less than LUA_MINSTACK */

/* Pushes items from number `at` on, as many as are numbers, at most BATCH up to number n. */
static inline int push_numbers(lua_State *L, int table, lua_Integer at, lua_Integer n)
{
    int wanted = n - at < BATCH ? (int)(n - at) + 1 : BATCH, pushed = 0;
    while (pushed < wanted && lua_rawgeti(L, table, at + pushed) == LUA_TNUMBER) pushed++;
    if (pushed < wanted) lua_pop(L, 1);
    return pushed;
}

/* Whether no integer converts to x. */
static inline bool has_fraction(double x) { return x > -0x1p63 && x < 0x1p63 && (double)(int64_t)x != x; }

/* Puts items as bare floats as long as they are, and returns how many. */
static lua_Integer list_floats(encoder *E, int table, lua_Integer n)
{
    lua_State *L = E->L;
    lua_Integer at = 1;
    while (at <= n) {
        int pushed = push_numbers(L, table, at, n), taken;
        char *to = room(E, 8 * BATCH);
        for (taken = 0; taken < pushed; taken++, to += 8) {
            double x = lua_tonumber(L, table + 1 + taken);
            if (!has_fraction(x) && lua_isinteger(L, table + 1 + taken)) break;
            memcpy(to, &x, 8);
        }
        E->b->size += (size_t)taken * 8;
        lua_settop(L, table);
        breathe(E);
        at += taken;
        if (taken < BATCH) break;
    }
    return at - 1;
}

/* The same for integers, in the least width from *width on that holds all of them. */
static lua_Integer list_integers(encoder *E, int table, lua_Integer n, int *width)
{
    lua_State *L = E->L;
    lua_Integer at = 1;
    size_t body = E->b->size;
    while (at <= n) {
        int pushed = push_numbers(L, table, at, n), taken;
        for (taken = 0; taken < pushed && lua_isinteger(L, table + 1 + taken); taken++) {
            int64_t i = lua_tointeger(L, table + 1 + taken);
            int needed = int_width(i);
            if (needed > *width) {
                widen(E, body, (size_t)(at + taken - 1), *width, needed);
                *width = needed;
            }
            memcpy(room(E, 8), &i, 8);
            E->b->size += (size_t)*width;
        }
        lua_settop(L, table);
        breathe(E);
        at += taken;
        if (taken < BATCH) break;
    }
    return at - 1;
}

/* Puts items from number `at` on as values, and returns how many of them are nil. lua_rawlen may come out far behind
   a large hole: the list then ends before it, *n says where, and the rest are pairs. */
static lua_Integer list_values(encoder *E, int table, lua_Integer at, lua_Integer *n)
{
    lua_State *L = E->L;
    lm_place *p = E->place;
    lua_Integer holes = 0, holes_before = 0;
    size_t end = E->b->size;
    lua_Integer last = at - 1;
    for (; at <= *n; at++) {
        int type = lua_rawgeti(L, table, at);
        if (type == LUA_TNIL) {
            if (++holes > 16 + at / 2) break;
            put_byte(E, NIL);
        } else {
            p->at = at;
            encode_value(E, type);
            end = E->b->size;
            last = at;
            holes_before = holes;
        }
        lua_pop(L, 1);
        breathe(E);
    }
    lua_settop(L, table);
    if (at > *n) return holes;
    change(E, end - E->start);
    E->b->size = end;
    *n = last;
    return holes_before;
}

/* What the first item says of the list; *width becomes that of integers which the first and the last one need. */
static int guess_kind(lua_State *L, int table, lua_Integer n, int *width)
{
    int kind = VALUES;
    *width = 0;
    if (lua_rawgeti(L, table, 1) == LUA_TNUMBER) {
        kind = FLOATS;
        if (lua_isinteger(L, -1)) {
            lua_rawgeti(L, table, n);
            lua_Integer first = lua_tointeger(L, -2), last = lua_isinteger(L, -1) ? lua_tointeger(L, -1) : 0;
            *width = int_width(first) > int_width(last) ? int_width(first) : int_width(last);
            kind = kind_of(*width);
        }
    }
    lua_settop(L, table);
    return kind;
}

/* Puts the list's length and items, for the shape byte at offset `shape`; returns what the list is made of. *n and
   *present become its length and how many of its items are not nil. */
static int encode_list(encoder *E, int table, size_t shape, lua_Integer *n, lua_Integer *present)
{
    size_t length = offset(E);
    lua_Integer announced = *n, done = 0, holes = 0;
    int width, kind = guess_kind(E->L, table, *n, &width);
    E->b->data[E->start + shape] = (char)(kind << LISTSHIFT);
    put_varint(E, (uint64_t)announced);
    size_t body = E->b->size;
    if (kind != VALUES) {
        done = width ? list_integers(E, table, *n, &width) : list_floats(E, table, *n);
        kind = done < *n ? VALUES : kind_of(width);
        if (kind == VALUES) loosen(E, body, (size_t)done, width);
    }
    if (kind == VALUES) holes = list_values(E, table, done + 1, n);
    *present = *n - holes;
    if (*n < announced) { /* the length again, in as many bytes as before */
        size_t last = body - E->start - 1;
        for (uint64_t rest = (uint64_t)*n; length <= last; length++, rest >>= 7)
            change_byte(E, length, (int)(rest & 0x7F) | (length < last ? 0x80 : 0));
    }
    return kind;
}

/* Puts the pair on top and removes its value. */
static void encode_pair(encoder *E)
{
    lua_State *L = E->L;
    lm_place *here = E->place;
    int type = lua_type(L, -2);
    if (type == LUA_TSTRING) {
        encode_string(E, -2);
    } else {
        here->what = LM_KEY;
        lua_pushvalue(L, -2);
        encode_value(E, type);
        lua_pop(L, 1);
    }
    here->what = LM_VALUE;
    encode_value(E, lua_type(L, -1));
    lua_pop(L, 1);
}

/* Whether there is anything behind the list of n items, of which `present` are not nil. So many steps of a traversal
   are the list's if what is left has no key of it. */
static bool list_is_all(lua_State *L, int table, lua_Integer present)
{
    lua_pushnil(L);
    while (present-- > 0) {
        lua_next(L, table);
        lua_pop(L, 1);
    }
    if (!lua_next(L, table)) return true;
    lua_pop(L, 2);
    return false;
}

/* A list and pairs, or pairs of which the first has no string for a key. */
static void encode_mixed(encoder *E, int table)
{
    lua_State *L = E->L;
    put_byte(E, TABLE);
    size_t shape = offset(E), pairs = 0;
    put_byte(E, 0);
    lua_Integer n = (lua_Integer)lua_rawlen(L, table), present = 0;
    int kind = n > 0 ? encode_list(E, table, shape, &n, &present) : NOLIST;
    change_byte(E, shape, kind << LISTSHIFT);
    if (kind == NOLIST || !list_is_all(L, table, present)) {
        E->place->slot = table + 1;
        lua_pushnil(L);
        while (lua_next(L, table)) {
            if (n > 0 && lua_isinteger(L, -2) && lua_tointeger(L, -2) >= 1 && lua_tointeger(L, -2) <= n) {
                lua_pop(L, 1);
            } else {
                encode_pair(E);
                breathe_in_pairs(E, shape, ++pairs);
            }
        }
    }
    put_byte(E, END);
    set_room(E, shape, pairs);
}

/* A table whose traversal begins with a string for a key: that pair is on top. */
static void encode_record(encoder *E, int table)
{
    lua_State *L = E->L;
    lm_place *here = E->place;
    here->what = LM_VALUE;
    here->slot = table + 1;
    const void *key = lua_topointer(L, -2);
    int id = (int)((uintptr_t)key * UINT64_C(0x9E3779B97F4A7C15) >> 60), at = 0;
    size_t lead = offset(E);
    char *p = room(E, 2);
    p[0] = (char)RECORD;
    E->b->size += 2;
    bool more = true;
    E->unsettled++;
    while (at < E->shape_lengths[id] && key == E->shapes[id][at]) {
        encode_value(E, lua_type(L, -1));
        lua_pop(L, 1);
        at++;
        if (!(more = lua_next(L, table))) break;
        key = lua_topointer(L, -2);
    }
    E->unsettled--;
    p = E->b->data + E->start + lead;
    p[1] = (char)(at << 4 | id);
    if (!more) return;
    p[0] = (char)(PARTIAL | (p[0] & REFERRED));
    bool whole = at == 0;
    if (whole) put_byte(E, 0);
    if (E->shape_lengths[id] > at) E->shape_lengths[id] = (uint8_t)at;
    bool open = true;
    size_t pairs = 0;
    do {
        open = open && at < KEYS && at <= E->shape_lengths[id] && lua_type(L, -2) == LUA_TSTRING;
        if (open) {
            open = encode_string(E, -2) < STRINGREFS;
            if (open) {
                E->shapes[id][at] = lua_topointer(L, -2);
                E->shape_lengths[id] = (uint8_t)(at + 1);
            }
            encode_value(E, lua_type(L, -1));
            lua_pop(L, 1);
        } else {
            encode_pair(E);
        }
        at++;
        pairs++;
        if (whole) breathe_in_pairs(E, lead + 2, pairs);
        else breathe(E);
    } while (lua_next(L, table));
    put_byte(E, END);
    if (whole) set_room(E, lead + 2, pairs);
}

/* The table on top, with what it has in it. */
static void encode_contents(encoder *E)
{
    lua_State *L = E->L;
    lm_place here = {.what = LM_ITEM};
    int table = lua_gettop(L);
    enter(E, &here, "a table");
    lua_pushnil(L);
    if (!lua_next(L, table)) {
        char *p = room(E, 3);
        p[0] = (char)TABLE;
        p[1] = NOLIST;
        p[2] = (char)END;
        E->b->size += 3;
    } else if (lua_type(L, -2) == LUA_TSTRING) {
        encode_record(E, table);
    } else {
        lua_pop(L, 2);
        encode_mixed(E, table);
    }
    leave(E);
}

static void encode_table(encoder *E)
{
    lua_State *L = E->L;
    const void *address = lua_topointer(L, -1);
    lm_map *objects = &E->codec->objects;
    lm_entry *e = lm_mapfind(objects, address);
    if (lm_mapheld(objects, e)) {
        put_reference(E, REF, e);
        return;
    }
    if (lm_mapheld(&E->codec->named, lm_mapfind(&E->codec->named, address))) {
        switch (lm_pushname(L, -1)) {
        case LM_ISGLOBALS: put_byte(E, GLOBALS); return;
        case LM_ISMODULE: encode_names(E, MODULE, 1); return;
        case LM_ISREGISTERED: encode_names(E, REGISTERED, 1); return;
        case LM_NONAME: break;
        }
    }
    if (lua_getmetatable(L, -1)) {
        if (!lm_pushregisteredname(L, -1))
            refuse(E, "a table with a metatable that mpi.register has not named");
        encode_names(E, OBJECT, 1);
        lua_pop(L, 1);
        e = lm_mapfind(objects, address);
    }
    remember(E, objects, e, address, offset(E));
    encode_contents(E);
}

/* --- functions, arrays and constants ------------------------------------------------------------------------- */

static int put_dump(lua_State *L, const void *bytes, size_t n, void *E)
{
    (void)L;
    put_bytes(E, bytes, n);
    return 0;
}

static void put_upvalues(encoder *E)
{
    lua_State *L = E->L;
    lm_place here = {.what = LM_UPVALUE, .slot = lua_gettop(L)};
    enter(E, &here, "a function");
    lm_map *objects = &E->codec->objects;
    for (int i = 1; lua_getupvalue(L, here.slot, i); i++) {
        const void *id = lua_upvalueid(L, here.slot, i);
        lm_entry *e = lm_mapfind(objects, id);
        if (lm_mapheld(objects, e)) {
            put_reference(E, UPVALUEREF, e);
        } else {
            remember(E, objects, e, id, offset(E));
            put_byte(E, UPVALUE);
            here.at = i;
            encode_value(E, lua_type(L, -1));
        }
        lua_pop(L, 1);
    }
    leave(E);
}

/* True when the function or userdata on top is a field of a module, and has been put as such. */
static bool encode_field(encoder *E, bool search)
{
    search = search && !E->searched;
    E->searched |= search;
    int found = lm_pushfieldname(E->L, -1, search);
    if (found < 0) out_of_memory(E);
    if (found) encode_names(E, FIELD, 2);
    return found;
}

static void encode_function(encoder *E)
{
    lua_State *L = E->L;
    if (!lua_checkstack(L, LUA_MINSTACK)) out_of_memory(E);
    if (lua_iscfunction(L, -1)) {
        if (encode_field(E, true)) return;
        if (lm_pushname(L, -1) != LM_ISMODULE) refuse(E, "a C function that is not a field of a module");
        encode_names(E, MODULE, 1);
        return;
    }
    if (encode_field(E, false)) return;
    if (sent_before(E, lua_topointer(L, -1))) return;
    put_byte(E, FUNCTION);
    size_t head = offset(E);
    char zeros[12] = {0};
    put_bytes(E, zeros, sizeof zeros);
    lua_dump(L, put_dump, E, 0);
    size_t size = offset(E) - head - sizeof zeros;
    if (size > UINT32_MAX) refuse(E, "a function of more than 4 GiB");
    char *p = E->b->data + E->start + head;
    uint32_t length = (uint32_t)size;
    uint64_t sum = checksum(p + sizeof zeros, size);
    memcpy(p, &length, 4);
    memcpy(p + 4, &sum, 8);
    put_upvalues(E);
}

static void encode_array(encoder *E, const lm_array *a)
{
    if (!a->block->data) refuse(E, "an array whose memory was freed");
    const char *why = lm_unusable(a, false);
    if (why) {
        give_up(E);
        luaL_error(E->L, "%s", why);
    }
    if (sent_before(E, a)) return;
    put_byte(E, ARRAY);
    put_byte(E, a->dtype);
    put_byte(E, a->ndim);
    for (int d = 0; d < a->ndim; d++) put_varint(E, (uint64_t)a->shape[d]);
    size_t n = lm_bytes(a);
    lm_pack(a, room(E, n));
    E->b->size += n;
}

static void encode_userdata(encoder *E)
{
    lua_State *L = E->L;
    const lm_array *a = lm_toarray(L, -1);
    if (a) {
        encode_array(E, a);
        return;
    }
    if (!lua_checkstack(L, LUA_MINSTACK)) out_of_memory(E);
    if (encode_field(E, true)) return;
    if (lm_pushname(L, -1) == LM_ISMODULE) {
        encode_names(E, MODULE, 1);
        return;
    }
    const char *name = lua_islightuserdata(L, -1) ? "light userdata" : "userdata";
    if (lua_getmetatable(L, -1)) {
        lua_pushstring(L, "__name");
        if (lua_rawget(L, -2) == LUA_TSTRING) name = lua_tostring(L, -1);
    }
    refuse(E, lua_pushfstring(L, "a %s", name));
}

/* --- values -------------------------------------------------------------------------------------------------- */

/* Apart from the common values, so that those need no registers saved. */
static __attribute__((noinline)) void encode_other(encoder *E, int type)
{
    lua_State *L = E->L;
    switch (type) {
    case LUA_TTABLE: encode_table(E); break;
    case LUA_TFUNCTION: encode_function(E); break;
    case LUA_TUSERDATA:
    case LUA_TLIGHTUSERDATA: encode_userdata(E); break;
    default: refuse(E, lua_pushfstring(L, "a %s", lua_typename(L, type)));
    }
}

/* A message that is one string: nothing can refer to it. */
static void encode_lonely_string(encoder *E, int index)
{
    size_t n;
    const char *s = lua_tolstring(E->L, index, &n);
    if (n <= SHORTEST) {
        put_byte(E, STRING_0 + (int)n);
    } else {
        put_byte(E, LONGSTRING);
        put_varint(E, n);
    }
    put_bytes(E, s, n);
}

static void encode_message(lua_State *L, int index, lm_buffer *b, lm_sink *sink)
{
    encoder E;
    E.L = L;
    E.b = b;
    E.start = b->size;
    E.sink = sink;
    E.try = sink ? sink->step : SIZE_MAX;
    E.unsettled = 0;
    put_byte(&E, FORMAT);
    if (lua_type(L, index) == LUA_TSTRING) {
        encode_lonely_string(&E, index);
        return;
    }
    E.strings = 0;
    E.place = NULL;
    E.depth = 0;
    E.searched = false;
    memset(E.shape_lengths, 0, sizeof E.shape_lengths);
    int top = lua_gettop(L);
    if (!lua_checkstack(L, 4 * SLOTS + LUA_MINSTACK)) out_of_memory(&E);
    lua_pushvalue(L, index);
    E.codec = lm_codecof(L);
    if (++E.codec->encoding == 1 << 16) {
        memset(E.codec->strings, 0, sizeof E.codec->strings);
        E.codec->encoding = 1;
    }
    if (!lm_mapclear(L, &E.codec->objects) || !lm_updatenames(L, E.codec))
        out_of_memory(&E);
    encode_value(&E, lua_type(L, -1));
    lua_settop(L, top);
}

void lm_encode(lua_State *L, int index, lm_buffer *b) { lm_encodeto(L, index, b, NULL); }

void lm_encodeto(lua_State *L, int index, lm_buffer *b, lm_sink *sink)
{
    if (!lm_reserve(L, b, 10)) luaL_error(L, "not enough memory");
    char *p = b->data + b->size;
    *p++ = (char)FORMAT;
    switch (lua_type(L, index)) { /* small messages are sent most often */
    case LUA_TNIL: *p++ = (char)NIL; break;
    case LUA_TBOOLEAN: *p++ = (char)(lua_toboolean(L, index) ? TRUE : FALSE); break;
    case LUA_TNUMBER:
        if (lua_isinteger(L, index)) p = write_integer(p, lua_tointeger(L, index));
        else p = write_float(p, lua_tonumber(L, index));
        break;
    default: encode_message(L, index, b, sink); return;
    }
    b->size = (size_t)(p - b->data);
}
