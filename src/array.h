/* Arrays: typed numbers in C memory with a shape. An array is a header over a block; views are headers over the
   block of another array. The block is a userdata of its own, so that the collector sees every byte; it is the
   array's first user value and holds the data 64-byte aligned. */
#ifndef LM_ARRAY_H
#define LM_ARRAY_H

#include "dtype.h"
#include "object.h"

#include <stdint.h>

#define LM_MAXDIM 8

/* A stretch of memory that MPI is using: part of a request, linked into its block while the request is open. */
typedef struct lm_flight {
    struct lm_flight *next;
    const char *from, *to;
    bool receiving;
} lm_flight;

typedef struct lm_block {
    const lm_kind *kind;
    char *data; /* NULL when freed */
    size_t bytes;
    lm_flight *flights;
} lm_block;

typedef struct lm_array {
    const lm_kind *kind;
    char *data; /* the first element */
    lm_block *block;
    int64_t size; /* elements: the product of the shape */
    int64_t shape[LM_MAXDIM], stride[LM_MAXDIM]; /* strides in elements */
    unsigned char dtype, ndim;
    bool contiguous; /* row-major without gaps: data can go to MPI and BLAS as it is */
} lm_array;

extern const lm_kind lm_array_kind;

static inline lm_array *lm_toarray(lua_State *L, int index) { return lm_test(L, index, &lm_array_kind); }

/* The array at arg, its memory still there; else raises. */
lm_array *lm_checkarray(lua_State *L, int arg);

/* Pushes a new contiguous array, contents undefined. A product that overflows raises "not enough memory". */
lm_array *lm_newarray(lua_State *L, lm_dtype dtype, int ndim, const int64_t *shape);

/* Pushes a view over the whole of the array at index; the caller narrows data, shape and stride, then lm_settle. */
lm_array *lm_newview(lua_State *L, int index);

/* Recomputes size and contiguous from shape and stride. */
void lm_settle(lm_array *a);

static inline size_t lm_bytes(const lm_array *a) { return (size_t)a->size * lm_dtypes[a->dtype].size; }

/* Row-major copy of all elements to, or from, lm_bytes(a) bytes of packed memory. */
void lm_pack(const lm_array *a, void *to);
void lm_unpack(lm_array *a, const void *from);

/* A request that uses the array's memory forbids others: writing while it is being sent or received into, sending
   while it is being received into. unusable: why the array cannot be used now (also: its memory was freed), or NULL. */
const char *lm_unusable(const lm_array *a, bool writing);
void lm_checkwrite(lua_State *L, const lm_array *a);
void lm_claim(lua_State *L, const lm_array *a, lm_flight *flight, bool receiving);
void lm_release(lm_block *block, lm_flight *flight);

/* Whether the two may share an element. */
bool lm_overlap(const lm_array *a, const lm_array *b);

int luaopen_array(lua_State *L);

#endif
