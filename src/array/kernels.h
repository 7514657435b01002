/* The loops of element-wise operations: rows of a table, one column a dtype. */
#ifndef LM_KERNELS_H
#define LM_KERNELS_H

#include "dtype.h"

#include <stdbool.h>
#include <stdint.h>

/* out[i] = a[i] op b[i] for n elements; strides of out, a and b in elements. `out` may be `a` or `b` itself. */
typedef void lm_binarykernel(void *out, const void *a, const void *b, const int64_t stride[], int64_t n);

enum { LM_ARITHMETIC, LM_DIVISION, LM_COMPARISON }; /* result: as promoted, a float, uint8 */
enum { LM_ANY, LM_NOTZERO, LM_NOTNEGATIVE };        /* what integers on the right may be */

typedef struct lm_binary {
    const char *name, *metamethod;
    unsigned char rule, right;
    bool swapped; /* the kernel takes the operands the other way round */
    lm_binarykernel *kernels[LM_DTYPES];
} lm_binary;

extern const lm_binary lm_binaries[]; /* ends with a NULL name */

/* out[i] = f(a[i]), both contiguous; `out` may be `a` itself. */
typedef void lm_unarykernel(void *out, const void *a, int64_t n);

enum { LM_SAME, LM_FLOAT, LM_TRUTH }; /* result: a's dtype, a float, uint8; the latter two take floats only */

typedef struct lm_unary {
    const char *name;
    int rule;
    lm_unarykernel *kernels[LM_DTYPES];
} lm_unary;

extern const lm_unary lm_unaries[]; /* ends with a NULL name */

/* Binary operations that belong to the mathematics. */
lm_binarykernel lm_pow64, lm_pow32, lm_atan2_64, lm_atan2_32, lm_hypot64, lm_hypot32;

#endif
