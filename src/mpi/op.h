/* Operators of reductions: MPI's constants, Lua functions, and mpi.op(f) for whole blocks. */
#ifndef LM_OP_H
#define LM_OP_H

#include "array.h"

#include <mpi.h>

typedef enum lm_opid {
    LM_SUM, LM_PROD, LM_MAX, LM_MIN,
    LM_LAND, LM_LOR, LM_LXOR,
    LM_BAND, LM_BOR, LM_BXOR,
    LM_MAXLOC, LM_MINLOC,
    LM_FUNCTION, /* a Lua function of two values */
    LM_BLOCKS,   /* mpi.op(f): a Lua function of two arrays */
    LM_OPS
} lm_opid;

extern const char *const lm_opnames[LM_OPS];

/* The operator at index, nil being SUM; LM_OPS when it is none. */
lm_opid lm_testop(lua_State *L, int index);

/* --- numbers --- */

/* A number (or boolean, or pair) on its way through a reduction, with the operator, so that one collective both
   combines and finds out whether every rank passed what can be combined natively. */
typedef struct lm_scalar {
    uint8_t kind, op;
    union { int64_t i; double x; } value;
    int64_t location;
} lm_scalar;

/* false: not for the native path; the scalar then says so to the others. */
bool lm_toscalar(lua_State *L, int index, lm_opid op, lm_scalar *s);
bool lm_isscalar(const lm_scalar *s);
void lm_pushscalar(lua_State *L, const lm_scalar *s);

MPI_Datatype lm_scalartype(void);
MPI_Op lm_scalarop(void);

/* Replaces the two values on top of the stack by their combination, as Lua combines them; `function` is the index of
   the Lua function when op is LM_FUNCTION. May raise. */
void lm_combine(lua_State *L, lm_opid op, int function);

/* --- arrays --- */

/* One reduction of arrays under way. Where MPI has no operator of its own, the block travels as one element of a
   type that carries a pointer to this. */
typedef struct lm_reduction {
    lua_State *L;
    lm_opid op;
    bool commutative;
    int function;        /* stack index of the Lua function or mpi.op */
    const lm_array *like; /* dtype and shape of what is reduced */
    bool failed;         /* the operator raised; its message is at `message` on the stack of L */
    int message;
    MPI_Op mpi;
    MPI_Datatype type;
    int64_t count; /* elements of type */
} lm_reduction;

/* NULL, or why the operator cannot reduce this array (a static text). */
const char *lm_reducible(lm_opid op, const lm_array *a);

void lm_beginreduction(lua_State *L, lm_reduction *r, int op, const lm_array *like);
void lm_endreduction(lm_reduction *r);

/* Whether MPI reduces this dtype itself. */
bool lm_isnative(lm_opid op, lm_dtype dtype);

/* Combines n blocks of the shape of `like`, one behind the other, in their order: each becomes the combination up to it.
   false: the Lua operator raised; what it raised is pushed. */
bool lm_foldblocks(lua_State *L, int op, const lm_array *like, char *blocks, int64_t n);

void luaopen_op(lua_State *L); /* adds the operators and op to the module on top of the stack */

#endif
