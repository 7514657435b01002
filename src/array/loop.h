/* One loop over up to three arrays in step: the shapes are broadcast, dimensions that lie behind each other in
   memory are joined, and the innermost one is left to a kernel. */
#ifndef LM_LOOP_H
#define LM_LOOP_H

#include "array.h"

#define LM_OPERANDS 3

typedef struct lm_loop {
    int ndim, operands;
    int64_t n[LM_MAXDIM];                    /* the last is the kernel's */
    int64_t stride[LM_MAXDIM][LM_OPERANDS];  /* in elements; 0 along a broadcast dimension */
    char *data[LM_OPERANDS];
    size_t size[LM_OPERANDS];                /* of an element */
} lm_loop;

/* Does n elements of each operand: data[k] advances by stride[k] elements. May use the pointers up. */
typedef void lm_inner(void *context, char *data[], const int64_t stride[], int64_t n);

/* The shape that both broadcast to, NumPy's rule; -1 when they do not fit. */
int lm_broadcast(int na, const int64_t *a, int nb, const int64_t *b, int64_t *shape);

/* Raises "shapes (3, 4) and (2) do not fit". */
int lm_misfit(lua_State *L, int na, const int64_t *a, int nb, const int64_t *b);

/* Every operand's shape must broadcast to `shape`. */
void lm_loopset(lm_loop *loop, int ndim, const int64_t *shape, int operands, const lm_array *const arrays[]);

/* One array in row-major order, whatever its memory looks like. */
void lm_loopordered(lm_loop *loop, const lm_array *a);

void lm_looprun(const lm_loop *loop, lm_inner *inner, void *context);

#endif
