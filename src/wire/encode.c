#include "array.h"
#include "format.h"
#include "names.h"
#include "place.h"
#include "wire.h"

#include <string.h>

#define EXPECTED 16

/* No Lua object is created on the way, so that no finalizer runs that might encode something itself. */
typedef struct encoder {
    lua_State *L;
    lm_buffer *b;
    lm_codec *codec;
    size_t start;
    uint64_t strings; /* numbered so far */
    lm_place *place;
    int depth;
    bool searched; /* the modules' fields were listed anew for this message */
    struct {
        const void *key;
        int number;
    } expected[EXPECTED]; /* the keys of the last table, in order: records have the same ones */
} encoder;


static void encode_value(encoder *E, int type);

/* --- giving up ------------------------------------------------------------------------------------------------ */

static void refuse(encoder *E, const char *what)
{
    E->b->size = E->start;
    lm_refuse(E->L, E->place, what);
}

static void out_of_memory(encoder *E)
{
    E->b->size = E->start;
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

/* --- what may appear twice ----------------------------------------------------------------------------------- */

static inline size_t offset(const encoder *E) { return E->b->size - E->start; }

static inline void remember(encoder *E, lm_map *map, lm_entry *e, const void *key, uint64_t number)
{
    if (!lm_mapfill(E->L, map, e, key, number)) out_of_memory(E);
}

/* Marks the lead byte of what was sent before as referred to, and puts the reference. */
static void put_reference(encoder *E, int lead, const lm_entry *e)
{
    uint64_t at = lm_mapnumber(e);
    E->b->data[E->start + at] |= REFERRED;
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

static void encode_string(encoder *E, int index)
{
    size_t n;
    const char *s = lua_tolstring(E->L, index, &n);
    if (n > SHORTEST) {
        if (sent_before(E, s)) return;
        put_byte(E, LONGSTRING);
        put_varint(E, n);
        put_bytes(E, s, n);
        return;
    }
    lm_map *strings = &E->codec->strings;
    lm_entry *e = lm_mapfind(strings, s);
    if (!lm_mapheld(strings, e)) {
        char *p = room(E, 1 + SHORTEST);
        *p = (char)(STRING_0 + (int)n);
        memcpy(p + 1, s, n);
        E->b->size += 1 + n;
        remember(E, strings, e, s, E->strings++);
        return;
    }
    uint64_t number = lm_mapnumber(e);
    if (number < STRINGREFS) {
        put_byte(E, STRINGREF_0 + (int)number);
    } else if (number < 4096) {
        put_byte(E, STRINGREF12_0 + (int)(number >> 8));
        put_byte(E, (int)(number & 0xFF));
    } else {
        put_byte(E, STRINGREF);
        put_varint(E, number);
    }
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

/* The items of a list in order. As long as lua_next gives them in order, their traversal is the table's: the key is on
   top of the stack. When it gives another key, that one and its value wait there for the pairs. */
typedef struct list {
    int table;
    lua_Integer at, n;
    bool walking, more;
} list;

/* Pushes the next item and returns its type. */
static inline int list_next(lua_State *L, list *l)
{
    l->at++;
    if (l->walking) {
        l->more = lua_next(L, l->table);
        if (l->more && lua_isinteger(L, -2) && lua_tointeger(L, -2) == l->at) return lua_type(L, -1);
        l->walking = false;
    }
    return lua_rawgeti(L, l->table, l->at);
}

static int int_width(lua_Integer i)
{
    return i == (int8_t)i ? 1 : i == (int16_t)i ? 2 : i == (int32_t)i ? 4 : 8;
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

/* Puts items as bare floats as long as they are; returns the type of the first that is not, which is then on top. */
static int list_floats(encoder *E, list *l)
{
    lua_State *L = E->L;
    int type = LUA_TNUMBER;
    for (;;) {
        double x = lua_tonumber(L, -1);
        memcpy(room(E, 8), &x, 8);
        E->b->size += 8;
        lua_pop(L, 1);
        if (l->at == l->n) return LUA_TNONE;
        type = list_next(L, l);
        if (type != LUA_TNUMBER || lua_isinteger(L, -1)) return type;
    }
}

/* The same for integers, in the least width that holds all of them. */
static int list_integers(encoder *E, list *l, size_t body, int *width)
{
    lua_State *L = E->L;
    lua_Integer first = l->at;
    *width = 1;
    for (;;) {
        int64_t i = lua_tointeger(L, -1);
        int needed = int_width(i);
        if (needed > *width) {
            widen(E, body, (size_t)(l->at - first), *width, needed);
            *width = needed;
        }
        memcpy(room(E, 8), &i, 8);
        E->b->size += (size_t)*width;
        lua_pop(L, 1);
        if (l->at == l->n) return LUA_TNONE;
        int type = list_next(L, l);
        if (type != LUA_TNUMBER || !lua_isinteger(L, -1)) return type;
    }
}

/* Puts items as values. lua_rawlen may come out far behind a large hole: the list then ends before it, l->n says
   where, and the rest are pairs. */
static void list_values(encoder *E, list *l, int type)
{
    lua_State *L = E->L;
    lm_place *p = E->place;
    lua_Integer holes = 0;
    size_t end = E->b->size;
    lua_Integer last = l->at - 1;
    for (;;) {
        if (type == LUA_TNIL) {
            if (++holes > 16 + l->at / 2) break;
            put_byte(E, NIL);
        } else {
            p->at = l->at;
            encode_value(E, type);
            end = E->b->size;
            last = l->at;
        }
        lua_pop(L, 1);
        if (l->at == l->n) return;
        type = list_next(L, l);
    }
    lua_pop(L, 1);
    E->b->size = end;
    l->n = last;
}

/* Puts the list's length and items; returns what it is made of. On return the traversal stands behind the list. */
static int encode_list(encoder *E, list *l)
{
    lua_State *L = E->L;
    size_t length = offset(E);
    lua_Integer n = l->n;
    put_varint(E, (uint64_t)n);
    size_t body = E->b->size;
    int kind = VALUES, type = list_next(L, l);
    if (type == LUA_TNUMBER && lua_isinteger(L, -1)) {
        int width;
        type = list_integers(E, l, body, &width);
        if (type == LUA_TNONE) kind = width == 1 ? INTS1 : width == 2 ? INTS2 : width == 4 ? INTS4 : INTS8;
        else loosen(E, body, (size_t)l->at - 1, width);
    } else if (type == LUA_TNUMBER) {
        type = list_floats(E, l);
        if (type == LUA_TNONE) kind = FLOATS;
        else loosen(E, body, (size_t)l->at - 1, 0);
    }
    if (type != LUA_TNONE) list_values(E, l, type);
    if (l->n < n) { /* the length again, in as many bytes as before */
        char *p = E->b->data + E->start + length, *last = E->b->data + body - 1;
        for (uint64_t rest = (uint64_t)l->n; p <= last; p++, rest >>= 7)
            *p = (char)((rest & 0x7F) | (p < last ? 0x80 : 0));
    }
    if (l->walking) l->more = lua_next(L, l->table);
    return kind;
}

/* Notes the key below the top as the one to expect at this place, if it is one with a number of a byte. */
static void expect(encoder *E, size_t nth)
{
    const char *s = lua_tostring(E->L, -2);
    const lm_entry *e = lm_mapfind(&E->codec->strings, s);
    bool short_number = lm_mapheld(&E->codec->strings, e) && lm_mapnumber(e) < STRINGREFS;
    E->expected[nth].key = short_number ? lua_topointer(E->L, -2) : NULL;
    E->expected[nth].number = short_number ? (int)lm_mapnumber(e) : 0;
}

/* The table on top, with what it has in it. */
static void encode_contents(encoder *E)
{
    lua_State *L = E->L;
    lm_place here = {.what = LM_ITEM};
    enter(E, &here, "a table");
    list l = {.table = lua_gettop(L), .n = (lua_Integer)lua_rawlen(L, -1), .walking = true};
    put_byte(E, TABLE);
    size_t shape = offset(E);
    put_byte(E, 0);
    int kind = NOLIST;
    lua_pushnil(L);
    if (l.n > 0) kind = encode_list(E, &l);
    else l.more = lua_next(L, l.table);
    here.slot = l.table + 1;
    size_t pairs = 0;
    for (; l.more; l.more = lua_next(L, l.table)) {
        int type;
        if (pairs < EXPECTED && E->expected[pairs].key && lua_topointer(L, -2) == E->expected[pairs].key) {
            put_byte(E, STRINGREF_0 + E->expected[pairs].number);
        } else if ((type = lua_type(L, -2)) == LUA_TSTRING) {
            encode_string(E, -2);
            if (pairs < EXPECTED) expect(E, pairs);
        } else if (l.n > 0 && lua_isinteger(L, -2) && lua_tointeger(L, -2) >= 1 && lua_tointeger(L, -2) <= l.n) {
            lua_pop(L, 1);
            continue;
        } else {
            here.what = LM_KEY;
            lua_pushvalue(L, -2);
            encode_value(E, type);
            lua_pop(L, 1);
        }
        here.what = LM_VALUE;
        encode_value(E, lua_type(L, -1));
        lua_pop(L, 1);
        pairs++;
    }
    put_byte(E, END);
    int log = pairs ? 1 : 0;
    while (log && log < ROOMMASK && (size_t)1 << (log - 1) < pairs) log++;
    E->b->data[E->start + shape] = (char)(kind << LISTSHIFT | log);
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
    if (a->block->flights) { /* raises when the array is being received into */
        size_t size = E->b->size;
        E->b->size = E->start;
        lm_flight flight;
        lm_claim(E->L, a, &flight, false);
        lm_release(a->block, &flight);
        E->b->size = size;
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

/* Puts the value on top, which stays there. Containers see to it that there are stack slots for it. */
static void encode_value(encoder *E, int type)
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

static void encode_message(lua_State *L, int index, lm_buffer *b)
{
    encoder E;
    E.L = L;
    E.b = b;
    E.start = b->size;
    put_byte(&E, FORMAT);
    if (lua_type(L, index) == LUA_TSTRING) {
        encode_lonely_string(&E, index);
        return;
    }
    E.strings = 0;
    E.place = NULL;
    E.depth = 0;
    E.searched = false;
    memset(E.expected, 0, sizeof E.expected);
    int top = lua_gettop(L);
    if (!lua_checkstack(L, 4 * SLOTS + LUA_MINSTACK)) out_of_memory(&E);
    lua_pushvalue(L, index);
    E.codec = lm_pushcodec(L);
    lua_insert(L, -2);
    if (!lm_mapclear(L, &E.codec->strings) || !lm_mapclear(L, &E.codec->objects) || !lm_updatenames(L, E.codec))
        out_of_memory(&E);
    encode_value(&E, lua_type(L, -1));
    lua_settop(L, top);
}

void lm_encode(lua_State *L, int index, lm_buffer *b)
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
    default: encode_message(L, index, b); return;
    }
    b->size = (size_t)(p - b->data);
}
