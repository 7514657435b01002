/* Arrays: typed numbers in C memory with a shape. An array is a header over a block; views are headers over the
   block of another array. A new array's block lies in its own userdata, data behind it and 64-byte aligned, so that
   the collector sees every byte; a view keeps the userdata that has the block as its first user value. */
#ifndef LM_ARRAY_H
#define LM_ARRAY_H

#include "dtype.h"
#include "object.h"

#include <stdint.h>

#define LM_MAXDIM 8

/* An array whose memory MPI is using: part of a request, linked into its block while the request is open. */
typedef struct lm_flight {
    struct lm_flight *next;
    const struct lm_array *array;
    bool receiving;
} lm_flight;

typedef struct lm_block {
    char *data; /* NULL when freed */
    size_t bytes;
    lm_flight *flights;
    bool guarded; /* in flight, read-only or freed: writing without lm_checkwrite is out */
    bool mapped;  /* a file's pages, read-only */
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

/* Pushes an array over memory that belongs to the userdata at index, which has a block for it. */
lm_array *lm_newover(lua_State *L, int index, lm_block *block, lm_dtype dtype, int ndim, const int64_t *shape);

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

/* The shape at arg: an integer, or a list of at most 8 of them; {} is 0-d. Returns the number of dimensions. */
int lm_checkshape(lua_State *L, int arg, int64_t *shape);

/* The axis at arg, from 0; -1 when none is given. */
int lm_checkaxis(lua_State *L, int arg, const lm_array *a);

/* Pushes "(3, 4)". */
const char *lm_pushshape(lua_State *L, int ndim, const int64_t *shape);

/* Pushes an array of this dtype with the elements of the one at index, row-major. */
lm_array *lm_newcopy(lua_State *L, int index, lm_dtype dtype);

/* Pushes the array at index itself when it is contiguous and of this dtype, else such a copy. */
const lm_array *lm_pushpacked(lua_State *L, int index, lm_dtype dtype);

/* Fills `to` with the number, or by broadcasting the array, at arg; converts as a:as(dtype) does. Checks marks. */
void lm_assign(lua_State *L, lm_array *to, int arg);

/* Whether the two share memory other than element by element in step: a loop over both would read what it wrote. */
bool lm_tangled(const lm_array *a, const lm_array *b);

/* Gives the block's memory back at once; its arrays then raise. Raises while a request uses it. */
void lm_free(lua_State *L, lm_block *block);

/* Calls the Lua function `name` of the embedded module with the n values on top of the stack: r results. */
void lm_callmodule(lua_State *L, const char *module, const char *name, int n, int r);

/* What each file adds to the module and to the arrays' methods; ends with NULL. */
extern const luaL_Reg lm_createfunctions[], lm_randomfunctions[], lm_npyfunctions[];
extern const luaL_Reg lm_indexmethods[], lm_viewmethods[], lm_createmethods[], lm_comparemethods[];
extern const luaL_Reg lm_cumulatemethods[], lm_blasmethods[];
extern const luaL_Reg lm_comparemetamethods[];
void lm_indexopen(lua_State *L); /* __index and __newindex; the metatable and, above it, the methods are on the stack */
void lm_elementwiseopen(lua_State *L); /* operators and methods: likewise */
void lm_reductionopen(lua_State *L); /* into the methods on top of the stack */
void lm_npyopen(lua_State *L);       /* into the module on top of the stack */

int luaopen_array(lua_State *L);

#endif
