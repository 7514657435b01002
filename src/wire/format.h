/* The format of the wire, shared by encoder and decoder.

   A message is the byte FORMAT and one value. A value begins with a lead byte; numbers in it are little-endian, sizes
   and offsets are varints (seven bits a byte, the lowest first, the eighth set on all but the last).

   Every string of at most SHORTEST bytes is numbered where its bytes appear. When it appears again it is the number: a
   byte for the first STRINGREFS strings, two bytes for the last WINDOW ones; one that is neither may be sent anew.
   Longer strings, tables, arrays, functions and upvalues that appear again are references to the offset of their lead
   byte, which then has its lowest bit set: the receiver needs to remember those only.

   Tables that begin with the same string key share a shape, a list of keys that both sides keep: a table is sent as the
   values of the shape's first keys, and the pairs that are left. Those enter their keys into the shape, in place of
   what it had there, as long as each is a string with a number of one byte and follows the one before. */
#ifndef LM_FORMAT_H
#define LM_FORMAT_H

#define FORMAT 0xF2 /* changes with any change below */

#define SHORTEST 40 /* Lua keeps one copy of each string up to this length */
#define DEEPEST 1000 /* levels of tables and upvalues */

enum {
    INT_0 = 0x00,                      /* 0 to 127 */
    INT_NEGATIVE = 0x80,               /* -16 to -1 */
    STRING_0 = 0x90,                   /* the bytes: 0 to SHORTEST of them */
    STRINGREF_0 = 0xB9,                /* string 0 to 31 */
    STRINGREF11_0 = 0xD9,              /* three more bits, and the next byte: a string's number modulo WINDOW */
    STRINGREFS_END = 0xE1,
    RECORD = 0xE2,                     /* a byte with shape (lower four bits) and count, so many values */
    PARTIAL = 0xE4,                    /* the same, or room byte if the count is 0; then key value …, END */
    NIL = 0xEA, FALSE, TRUE,
    INT16, INT32, INT64, FLOAT,        /* 0xED … 0xF0 */
    END,                               /* of a table */
    LONGSTRING = 0xF2,                 /* varint length, bytes */
    TABLE = 0xF4,                      /* shape byte, list if the shape says so, key value …, END */
    ARRAY = 0xF6,                      /* dtype byte, ndim byte, varint shape …, elements */
    FUNCTION = 0xF8,                   /* 4 bytes length, 8 bytes checksum, the dump, upvalue … */
    REF = 0xFA,                        /* varint offset */
    OBJECT,                            /* string: the metatable's name; TABLE */
    REGISTERED,                        /* string: the name of a table that mpi.register named */
    MODULE,                            /* string: what package.loaded has under this name */
    FIELD,                             /* string, string: module and field */
    GLOBALS
};

/* The lowest bit of RECORD, PARTIAL, LONGSTRING, TABLE, ARRAY, FUNCTION and UPVALUE: something refers to it. */
#define REFERRED 1

/* An upvalue begins with one of these: a value, or varint offset of the upvalue it shares a variable with. */
enum { UPVALUE = 0, UPVALUEREF = 2 };

/* A table's shape byte. Lower five bits: 0, or 1 + the binary logarithm of the room for pairs, as in a room byte. Upper
   three: what the list is made of; unless NOLIST a varint with its length follows. */
enum { NOLIST, VALUES, FLOATS, INTS1, INTS2, INTS4, INTS8 };
#define LISTSHIFT 5
#define ROOMMASK 31

#define STRINGREFS (STRINGREF11_0 - STRINGREF_0)
#define WINDOW 2048

#define SHAPES 16
#define KEYS 15 /* of a shape, at most */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Of a function's bytes. Any change within eight aligned bytes changes it for certain. */
static inline uint64_t checksum(const char *bytes, size_t n)
{
    uint64_t sum = n, word;
    for (; n >= 8; bytes += 8, n -= 8) {
        memcpy(&word, bytes, 8);
        sum = (sum ^ word) * UINT64_C(0x9E3779B97F4A7C15);
        sum ^= sum >> 29;
    }
    word = 0;
    memcpy(&word, bytes, n);
    sum = (sum ^ word) * UINT64_C(0x9E3779B97F4A7C15);
    return sum ^ sum >> 32;
}

#endif
