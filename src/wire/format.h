/* The format of the wire, shared by encoder and decoder.

   A message is the byte FORMAT and one value. A value begins with a lead byte; numbers in it are little-endian, sizes
   and offsets are varints (seven bits a byte, the lowest first, the eighth set on all but the last).

   Every string of at most SHORTEST bytes is numbered when it first appears and a number of one, two or more bytes
   afterwards. Longer strings, tables, arrays, functions and upvalues that appear again are references to the offset of
   their lead byte, which then has its lowest bit set: the receiver needs to remember those only. */
#ifndef LM_FORMAT_H
#define LM_FORMAT_H

#define FORMAT 0xF1 /* changes with any change below */

#define SHORTEST 40 /* Lua keeps one copy of each string up to this length */
#define DEEPEST 1000 /* levels of tables and upvalues */

enum {
    INT_0 = 0x00,                      /* 0 to 127 */
    INT_NEGATIVE = 0x80,               /* -16 to -1 */
    STRING_0 = 0x90,                   /* the bytes: 0 to SHORTEST of them */
    STRINGREF_0 = 0xB9,                /* string 0 to 31 */
    STRINGREF12_0 = 0xD9,              /* four more bits, and the next byte: string 0 to 4095 */
    STRINGREF = 0xE9,                  /* varint */
    NIL, FALSE, TRUE,
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

/* The lowest bit of LONGSTRING, TABLE, ARRAY, FUNCTION and UPVALUE: something refers to it. */
#define REFERRED 1

/* An upvalue begins with one of these: a value, or varint offset of the upvalue it shares a variable with. */
enum { UPVALUE = 0, UPVALUEREF = 2 };

/* A table's shape byte. Lower five bits: 0, or 1 + the binary logarithm of the room for pairs. Upper three: what the
   list is made of; unless NOLIST a varint with its length follows. */
enum { NOLIST, VALUES, FLOATS, INTS1, INTS2, INTS4, INTS8 };
#define LISTSHIFT 5
#define ROOMMASK 31

#define STRINGREFS (STRINGREF12_0 - STRINGREF_0)

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
