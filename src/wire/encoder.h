/* What the parts of the encoder share. */
#ifndef LM_ENCODER_H
#define LM_ENCODER_H

#include "format.h"
#include "names.h"
#include "place.h"
#include "wire.h"

/* No Lua object is created on the way, so that no finalizer runs that might encode something itself. */
typedef struct lm_encoder {
    lua_State *L;
    lm_buffer *b;
    lm_codec *codec;
    size_t start;
    uint64_t strings; /* numbered so far */
    lm_place *place;
    int depth;
    lm_sink *sink; /* NULL: the message is wanted as a whole */
    size_t try;    /* the length at which the sink is asked next */
    int unsettled; /* open tables whose beginning may not be handed on yet */
    bool searched; /* the modules' fields were listed anew for this message */
    uint8_t shape_lengths[SHAPES];
    const void *shapes[SHAPES][KEYS]; /* the keys' addresses */
} lm_encoder;

/* The message is given up: there is no memory for it. */
_Noreturn void lm_outofmemory(lm_encoder *E);

/* --- bytes --------------------------------------------------------------------------------------------------- */

/* Room for n bytes at the end, which the caller fills and counts. */
static inline char *lm_room(lm_encoder *E, size_t n)
{
    lm_buffer *b = E->b;
    if (b->capacity - b->size < n && !lm_reserve(E->L, b, n)) lm_outofmemory(E);
    return b->data + b->size;
}

static inline void lm_putbyte(lm_encoder *E, int byte)
{
    *lm_room(E, 1) = (char)byte;
    E->b->size++;
}

static inline void lm_putbytes(lm_encoder *E, const void *bytes, size_t n)
{
    char *to = lm_room(E, n);
    memcpy(to, bytes, n);
    E->b->size += n;
}

static inline void lm_putvarint(lm_encoder *E, uint64_t n)
{
    char *p = lm_room(E, 10), *first = p;
    while (n >= 0x80) {
        *p++ = (char)(n | 0x80);
        n >>= 7;
    }
    *p++ = (char)n;
    E->b->size += (size_t)(p - first);
}

/* Writes the integer at p and returns its end: at most 9 bytes. */
static inline char *lm_writeinteger(char *p, int64_t i)
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

static inline char *lm_writefloat(char *p, double x)
{
    *p = (char)FLOAT;
    memcpy(p + 1, &x, 8);
    return p + 9;
}

static inline void lm_putinteger(lm_encoder *E, int64_t i)
{
    char *p = lm_room(E, 9);
    E->b->size += (size_t)(lm_writeinteger(p, i) - p);
}

static inline void lm_putfloat(lm_encoder *E, double x)
{
    lm_writefloat(lm_room(E, 9), x);
    E->b->size += 9;
}

/* --- what goes out before the end ---------------------------------------------------------------------------- */

static inline size_t lm_offset(const lm_encoder *E) { return E->b->size - E->start; }

/* Offers the sink what it has not taken. */
void lm_handon(lm_encoder *E);

/* Between two items, where all that was put so far is whole. */
static inline void lm_breathe(lm_encoder *E)
{
    if (lm_offset(E) >= E->try) lm_handon(E);
}

/* What was put from `at` on changes. */
static inline void lm_change(lm_encoder *E, size_t at)
{
    if (E->sink && at < E->sink->taken) E->sink->contradicted = true;
}

static inline void lm_changebyte(lm_encoder *E, size_t at, int byte)
{
    char *p = E->b->data + E->start + at;
    if (*p == (char)byte) return;
    lm_change(E, at);
    *p = (char)byte;
}

/* --- values -------------------------------------------------------------------------------------------------- */

/* Puts the string at index; returns its number, as it was sent: a long one has none, which is UINT64_MAX. */
uint64_t lm_encodestring(lm_encoder *E, int index);

/* Puts the value on top if it is neither nil, boolean, number nor string. */
void lm_encodeother(lm_encoder *E, int type);

/* Puts the value on top, which stays there. Containers see to it that there are stack slots for it. */
static inline void lm_encodevalue(lm_encoder *E, int type)
{
    lua_State *L = E->L;
    switch (type) {
    case LUA_TNIL: lm_putbyte(E, NIL); break;
    case LUA_TBOOLEAN: lm_putbyte(E, lua_toboolean(L, -1) ? TRUE : FALSE); break;
    case LUA_TNUMBER:
        if (lua_isinteger(L, -1)) lm_putinteger(E, lua_tointeger(L, -1));
        else lm_putfloat(E, lua_tonumber(L, -1));
        break;
    case LUA_TSTRING: lm_encodestring(E, -1); break;
    default: lm_encodeother(E, type);
    }
}

/* Puts the length and the items of the list in the table at this stack index, for the shape byte at offset `shape`;
   returns what the list is made of. *n and *present become its length and how many of its items are not nil. */
int lm_encodelist(lm_encoder *E, int table, size_t shape, lua_Integer *n, lua_Integer *present);

#endif
