/* Lists: the items from 1 on, bare as long as they are numbers of one kind. */
#include "encoder.h"

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
static void widen(lm_encoder *E, size_t body, size_t n, int width, int wider)
{
    lm_change(E, body - E->start);
    lm_room(E, n * (size_t)(wider - width));
    char *data = E->b->data + body;
    for (size_t i = n; i-- > 0;) {
        int64_t value = load_int(data + i * (size_t)width, width);
        memcpy(data + i * (size_t)wider, &value, (size_t)wider);
    }
    E->b->size = body + n * (size_t)wider;
}

/* Rewrites n bare numbers at body, the end of the buffer, as values; width 0 means floats. */
static void loosen(lm_encoder *E, size_t body, size_t n, int width)
{
    size_t size = width ? (size_t)width : 8;
    lm_change(E, body - E->start);
    lm_room(E, 9 * n);
    char *to = E->b->data + body, *from = to + 9 * n;
    memmove(from, to, n * size);
    for (size_t i = 0; i < n; i++, from += size) {
        if (width) {
            to = lm_writeinteger(to, load_int(from, width));
        } else {
            double x;
            memcpy(&x, from, sizeof x);
            to = lm_writefloat(to, x);
        }
    }
    E->b->size = (size_t)(to - E->b->data);
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
static lua_Integer list_floats(lm_encoder *E, int table, lua_Integer n)
{
    lua_State *L = E->L;
    lua_Integer at = 1;
    while (at <= n) {
        int pushed = push_numbers(L, table, at, n), taken;
        char *to = lm_room(E, 8 * BATCH);
        for (taken = 0; taken < pushed; taken++, to += 8) {
            double x = lua_tonumber(L, table + 1 + taken);
            if (!has_fraction(x) && lua_isinteger(L, table + 1 + taken)) break;
            memcpy(to, &x, 8);
        }
        E->b->size += (size_t)taken * 8;
        lua_settop(L, table);
        lm_breathe(E);
        at += taken;
        if (taken < BATCH) break;
    }
    return at - 1;
}

/* The same for integers, in the least width from *width on that holds all of them. */
static lua_Integer list_integers(lm_encoder *E, int table, lua_Integer n, int *width)
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
            memcpy(lm_room(E, 8), &i, 8);
            E->b->size += (size_t)*width;
        }
        lua_settop(L, table);
        lm_breathe(E);
        at += taken;
        if (taken < BATCH) break;
    }
    return at - 1;
}

/* Puts items from number `at` on as values, and returns how many of them are nil. lua_rawlen may come out far behind
   a large hole: the list then ends before it, *n says where, and the rest are pairs. */
static lua_Integer list_values(lm_encoder *E, int table, lua_Integer at, lua_Integer *n)
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
            lm_putbyte(E, NIL);
        } else {
            p->at = at;
            lm_encodevalue(E, type);
            end = E->b->size;
            last = at;
            holes_before = holes;
        }
        lua_pop(L, 1);
        lm_breathe(E);
    }
    lua_settop(L, table);
    if (at > *n) return holes;
    lm_change(E, end - E->start);
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

int lm_encodelist(lm_encoder *E, int table, size_t shape, lua_Integer *n, lua_Integer *present)
{
    size_t length = lm_offset(E);
    lua_Integer announced = *n, done = 0, holes = 0;
    int width, kind = guess_kind(E->L, table, *n, &width);
    E->b->data[E->start + shape] = (char)(kind << LISTSHIFT);
    lm_putvarint(E, (uint64_t)announced);
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
            lm_changebyte(E, length, (int)(rest & 0x7F) | (length < last ? 0x80 : 0));
    }
    return kind;
}

