#include "encoder.h"

#include "array.h"

#include <stdlib.h>
#include <string.h>

/* --- giving up ------------------------------------------------------------------------------------------------ */

static void give_up(lm_encoder *E)
{
    E->b->size = E->start;
    if (E->sink) E->sink->give_up(E->sink);
}

static void refuse(lm_encoder *E, const char *what)
{
    give_up(E);
    lm_refuse(E->L, E->place, what);
}

void lm_outofmemory(lm_encoder *E)
{
    give_up(E);
    luaL_error(E->L, "not enough memory");
    abort();
}

/* --- what goes out before the end ---------------------------------------------------------------------------- */

void lm_handon(lm_encoder *E)
{
    lm_sink *s = E->sink;
    if (E->unsettled == 0 && !s->contradicted)
        s->taken += s->take(s, E->b->data + E->start + s->taken, lm_offset(E) - s->taken);
    E->try = lm_offset(E) + s->step;
}

static int room_log(size_t pairs)
{
    int log = pairs ? 1 : 0;
    while (log && log < ROOMMASK && (size_t)1 << (log - 1) < pairs) log++;
    return log;
}

/* Sets the room in a room byte or shape byte. It is a hint, which may come too late. */
static void set_room(lm_encoder *E, size_t at, size_t pairs)
{
    char *p = E->b->data + E->start + at;
    if (!E->sink || at >= E->sink->taken) *p = (char)((*p & ~ROOMMASK) | room_log(pairs));
}

/* Between two pairs of a table whose room is at an offset: there will be about as many again. */
static inline void breathe_in_pairs(lm_encoder *E, size_t at, size_t pairs)
{
    if (lm_offset(E) < E->try) return;
    set_room(E, at, 2 * pairs);
    lm_handon(E);
}

/* --- what may appear twice ----------------------------------------------------------------------------------- */

static inline void remember(lm_encoder *E, lm_map *map, lm_entry *e, const void *key, uint64_t number)
{
    if (!lm_mapfill(E->L, map, e, key, number)) lm_outofmemory(E);
}

/* Marks the lead byte of what was sent before as referred to, and puts the reference. */
static void put_reference(lm_encoder *E, int lead, const lm_entry *e)
{
    uint64_t at = lm_mapnumber(e);
    lm_changebyte(E, at, E->b->data[E->start + at] | REFERRED);
    lm_putbyte(E, lead);
    lm_putvarint(E, at);
}

/* True when the object has gone out before: then the reference is put. Else it is remembered as beginning here. */
static bool sent_before(lm_encoder *E, const void *address)
{
    lm_map *objects = &E->codec->objects;
    lm_entry *e = lm_mapfind(objects, address);
    if (lm_mapheld(objects, e)) {
        put_reference(E, REF, e);
        return true;
    }
    remember(E, objects, e, address, lm_offset(E));
    return false;
}

static inline bool is_current(const lm_encoder *E, const lm_entry *e) { return e->stamped >> 48 == E->codec->encoding; }

/* Where the short string at this address is noted, or else may be; NULL when its places are all taken for good. */
static inline lm_entry *recent(const lm_encoder *E, const void *s)
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

uint64_t lm_encodestring(lm_encoder *E, int index)
{
    size_t n;
    const char *s = lua_tolstring(E->L, index, &n);
    if (n > SHORTEST) {
        if (sent_before(E, s)) return UINT64_MAX;
        lm_putbyte(E, LONGSTRING);
        lm_putvarint(E, n);
        lm_putbytes(E, s, n);
        return UINT64_MAX;
    }
    lm_entry *e = recent(E, s);
    bool known = e && e->key == s && is_current(E, e);
    uint64_t number = known ? lm_mapnumber(e) : 0;
    if (!known || (number >= STRINGREFS && E->strings - number > WINDOW)) {
        char *p = lm_room(E, 1 + SHORTEST);
        *p = (char)(STRING_0 + (int)n);
        memcpy(p + 1, s, n);
        E->b->size += 1 + n;
        if (e) *e = (lm_entry){s, E->codec->encoding << 48 | E->strings};
        return E->strings++;
    }
    if (number < STRINGREFS) {
        lm_putbyte(E, STRINGREF_0 + (int)number);
    } else {
        char *p = lm_room(E, 2);
        p[0] = (char)(STRINGREF11_0 + (int)(number % WINDOW >> 8));
        p[1] = (char)number;
        E->b->size += 2;
    }
    return number;
}

/* Puts the lead byte and the `names` strings on top, which are popped. */
static void encode_names(lm_encoder *E, int lead, int names)
{
    lm_putbyte(E, lead);
    for (int i = -names; i < 0; i++) lm_encodestring(E, i);
    lua_pop(E->L, names);
}

/* --- tables -------------------------------------------------------------------------------------------------- */

#define SLOTS 4 /* of the stack that a level takes */

static void enter(lm_encoder *E, lm_place *p, const char *what)
{
    if (++E->depth > DEEPEST) refuse(E, lua_pushfstring(E->L, "%s nested deeper than %d levels", what, DEEPEST));
    if (E->depth % 4 == 0 && !lua_checkstack(E->L, 4 * SLOTS + LUA_MINSTACK)) lm_outofmemory(E);
    p->outer = E->place;
    E->place = p;
}

static void leave(lm_encoder *E)
{
    E->place = E->place->outer;
    E->depth--;
}

/* Puts the pair on top and removes its value. */
static void encode_pair(lm_encoder *E)
{
    lua_State *L = E->L;
    lm_place *here = E->place;
    int type = lua_type(L, -2);
    if (type == LUA_TSTRING) {
        lm_encodestring(E, -2);
    } else {
        here->what = LM_KEY;
        lua_pushvalue(L, -2);
        lm_encodevalue(E, type);
        lua_pop(L, 1);
    }
    here->what = LM_VALUE;
    lm_encodevalue(E, lua_type(L, -1));
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
static void encode_mixed(lm_encoder *E, int table)
{
    lua_State *L = E->L;
    lm_putbyte(E, TABLE);
    size_t shape = lm_offset(E), pairs = 0;
    lm_putbyte(E, 0);
    lua_Integer n = (lua_Integer)lua_rawlen(L, table), present = 0;
    int kind = n > 0 ? lm_encodelist(E, table, shape, &n, &present) : NOLIST;
    lm_changebyte(E, shape, kind << LISTSHIFT);
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
    lm_putbyte(E, END);
    set_room(E, shape, pairs);
}

/* A table whose traversal begins with a string for a key: that pair is on top. */
static void encode_record(lm_encoder *E, int table)
{
    lua_State *L = E->L;
    lm_place *here = E->place;
    here->what = LM_VALUE;
    here->slot = table + 1;
    const void *key = lua_topointer(L, -2);
    int id = (int)((uintptr_t)key * UINT64_C(0x9E3779B97F4A7C15) >> 60), at = 0;
    size_t lead = lm_offset(E);
    char *p = lm_room(E, 2);
    p[0] = (char)RECORD;
    E->b->size += 2;
    bool more = true;
    E->unsettled++;
    while (at < E->shape_lengths[id] && key == E->shapes[id][at]) {
        lm_encodevalue(E, lua_type(L, -1));
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
    if (whole) lm_putbyte(E, 0);
    if (E->shape_lengths[id] > at) E->shape_lengths[id] = (uint8_t)at;
    bool open = true;
    size_t pairs = 0;
    do {
        open = open && at < KEYS && at <= E->shape_lengths[id] && lua_type(L, -2) == LUA_TSTRING;
        if (open) {
            open = lm_encodestring(E, -2) < STRINGREFS;
            if (open) {
                E->shapes[id][at] = lua_topointer(L, -2);
                E->shape_lengths[id] = (uint8_t)(at + 1);
            }
            lm_encodevalue(E, lua_type(L, -1));
            lua_pop(L, 1);
        } else {
            encode_pair(E);
        }
        at++;
        pairs++;
        if (whole) breathe_in_pairs(E, lead + 2, pairs);
        else lm_breathe(E);
    } while (lua_next(L, table));
    lm_putbyte(E, END);
    if (whole) set_room(E, lead + 2, pairs);
}

/* The table on top, with what it has in it. */
static void encode_contents(lm_encoder *E)
{
    lua_State *L = E->L;
    lm_place here = {.what = LM_ITEM};
    int table = lua_gettop(L);
    enter(E, &here, "a table");
    lua_pushnil(L);
    if (!lua_next(L, table)) {
        char *p = lm_room(E, 3);
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

static void encode_table(lm_encoder *E)
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
        case LM_ISGLOBALS: lm_putbyte(E, GLOBALS); return;
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
    remember(E, objects, e, address, lm_offset(E));
    encode_contents(E);
}

/* --- functions, arrays and constants ------------------------------------------------------------------------- */

static int put_dump(lua_State *L, const void *bytes, size_t n, void *E)
{
    (void)L;
    lm_putbytes(E, bytes, n);
    return 0;
}

static void put_upvalues(lm_encoder *E)
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
            remember(E, objects, e, id, lm_offset(E));
            lm_putbyte(E, UPVALUE);
            here.at = i;
            lm_encodevalue(E, lua_type(L, -1));
        }
        lua_pop(L, 1);
    }
    leave(E);
}

/* True when the function or userdata on top is a field of a module, and has been put as such. */
static bool encode_field(lm_encoder *E, bool search)
{
    search = search && !E->searched;
    E->searched |= search;
    int found = lm_pushfieldname(E->L, -1, search);
    if (found < 0) lm_outofmemory(E);
    if (found) encode_names(E, FIELD, 2);
    return found;
}

static void encode_function(lm_encoder *E)
{
    lua_State *L = E->L;
    if (!lua_checkstack(L, LUA_MINSTACK)) lm_outofmemory(E);
    if (lua_iscfunction(L, -1)) {
        if (encode_field(E, true)) return;
        if (lm_pushname(L, -1) != LM_ISMODULE) refuse(E, "a C function that is not a field of a module");
        encode_names(E, MODULE, 1);
        return;
    }
    if (encode_field(E, false)) return;
    if (sent_before(E, lua_topointer(L, -1))) return;
    lm_putbyte(E, FUNCTION);
    size_t head = lm_offset(E);
    char zeros[12] = {0};
    lm_putbytes(E, zeros, sizeof zeros);
    lua_dump(L, put_dump, E, 0);
    size_t size = lm_offset(E) - head - sizeof zeros;
    if (size > UINT32_MAX) refuse(E, "a function of more than 4 GiB");
    char *p = E->b->data + E->start + head;
    uint32_t length = (uint32_t)size;
    uint64_t sum = checksum(p + sizeof zeros, size);
    memcpy(p, &length, 4);
    memcpy(p + 4, &sum, 8);
    put_upvalues(E);
}

static void encode_array(lm_encoder *E, const lm_array *a)
{
    if (!a->block->data) refuse(E, "an array whose memory was freed");
    const char *why = lm_unusable(a, false);
    if (why) {
        give_up(E);
        luaL_error(E->L, "%s", why);
    }
    if (sent_before(E, a)) return;
    lm_putbyte(E, ARRAY);
    lm_putbyte(E, a->dtype);
    lm_putbyte(E, a->ndim);
    for (int d = 0; d < a->ndim; d++) lm_putvarint(E, (uint64_t)a->shape[d]);
    size_t n = lm_bytes(a);
    lm_pack(a, lm_room(E, n));
    E->b->size += n;
}

static void encode_userdata(lm_encoder *E)
{
    lua_State *L = E->L;
    const lm_array *a = lm_toarray(L, -1);
    if (a) {
        encode_array(E, a);
        return;
    }
    if (!lua_checkstack(L, LUA_MINSTACK)) lm_outofmemory(E);
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

void lm_encodeother(lm_encoder *E, int type)
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
static void encode_lonely_string(lm_encoder *E, int index)
{
    size_t n;
    const char *s = lua_tolstring(E->L, index, &n);
    if (n <= SHORTEST) {
        lm_putbyte(E, STRING_0 + (int)n);
    } else {
        lm_putbyte(E, LONGSTRING);
        lm_putvarint(E, n);
    }
    lm_putbytes(E, s, n);
}

static void encode_message(lua_State *L, int index, lm_buffer *b, lm_sink *sink)
{
    lm_encoder E;
    E.L = L;
    E.b = b;
    E.start = b->size;
    E.sink = sink;
    E.try = sink ? sink->step : SIZE_MAX;
    E.unsettled = 0;
    lm_putbyte(&E, FORMAT);
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
    if (!lua_checkstack(L, 4 * SLOTS + LUA_MINSTACK)) lm_outofmemory(&E);
    lua_pushvalue(L, index);
    E.codec = lm_codecof(L);
    if (++E.codec->encoding == 1 << 16) {
        memset(E.codec->strings, 0, sizeof E.codec->strings);
        E.codec->encoding = 1;
    }
    if (!lm_mapclear(L, &E.codec->objects) || !lm_updatenames(L, E.codec))
        lm_outofmemory(&E);
    lm_encodevalue(&E, lua_type(L, -1));
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
        if (lua_isinteger(L, index)) p = lm_writeinteger(p, lua_tointeger(L, index));
        else p = lm_writefloat(p, lua_tonumber(L, index));
        break;
    default: encode_message(L, index, b, sink); return;
    }
    b->size = (size_t)(p - b->data);
}
