/* Element types: NumPy's names, sizes and codes, and single elements to and from Lua. */
#ifndef LM_DTYPE_H
#define LM_DTYPE_H

#include <lua.h>
#include <stddef.h>
#include <stdint.h>

typedef enum lm_dtype {
    LM_FLOAT64, LM_FLOAT32,
    LM_INT8, LM_INT16, LM_INT32, LM_INT64,
    LM_UINT8, LM_UINT16, LM_UINT32, LM_UINT64,
    LM_DTYPES
} lm_dtype;

typedef struct lm_dtypeinfo {
    const char *name; /* "float64" */
    const char *code; /* NumPy's descr: "<f8" */
    char kind;        /* f, i or u */
    unsigned char size;
} lm_dtypeinfo;

/* Room for one element of any dtype. */
typedef union lm_element {
    double f;
    float single;
    int64_t i;
    uint64_t u;
} lm_element;

extern const lm_dtypeinfo lm_dtypes[LM_DTYPES];

/* The dtype named at arg; none or nil gives `otherwise`. An unknown name raises and lists the known ones. */
lm_dtype lm_checkdtype(lua_State *L, int arg, lm_dtype otherwise);

/* The dtype of an operation between two: NumPy's promotion. */
lm_dtype lm_promote(lm_dtype a, lm_dtype b);

/* Pushes the element at p. uint64 above 2^63-1 is Lua's wrapped integer. */
void lm_pushelement(lua_State *L, lm_dtype dtype, const void *p);

/* Stores the number at arg in p. Integers wrap; a float without an integer value for an integer dtype raises. */
void lm_setelement(lua_State *L, int arg, lm_dtype dtype, void *p);

#endif
