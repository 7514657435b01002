/* From one dtype to another. */
#ifndef LM_CONVERT_H
#define LM_CONVERT_H

#include "array.h"

/* Converts n elements; strides in elements. Integers wrap; floats lose their fraction, and what no 64-bit integer
   holds (NaN, infinities, too large) becomes the least int64, wrapped. */
typedef void lm_castfn(void *to, int64_t tostride, const void *from, int64_t fromstride, int64_t n);

extern lm_castfn *const lm_casts[LM_DTYPES][LM_DTYPES]; /* [to][from] */

/* All elements of `from`, broadcast to the shape of `to`; they must not overlap. */
void lm_convert(lm_array *to, const lm_array *from);

#endif
