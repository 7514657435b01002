/* Running sums and products. */
#include "convert.h"

#include <string.h>

/* n slabs of `inner` elements, `outer` times: every slab takes in the one before it. */
#define RUNNING(name, T, op) \
    static void name(void *data, int64_t outer, int64_t n, int64_t inner) \
    { \
        T *x = data; \
        for (int64_t o = 0; o < outer; o++, x += inner) \
            for (int64_t i = 1; i < n; i++, x += inner) \
                for (int64_t j = 0; j < inner; j++) x[inner + j] op x[j]; \
    }
RUNNING(sum_double, double, +=)
RUNNING(sum_float, float, +=)
RUNNING(sum_whole, uint64_t, +=)
RUNNING(prod_double, double, *=)
RUNNING(prod_float, float, *=)
RUNNING(prod_whole, uint64_t, *=)

typedef void running(void *data, int64_t outer, int64_t n, int64_t inner);

/* Along an axis, or over all elements in row-major order as one dimension. Integers give int64 or uint64. */
static int cumulate(lua_State *L, running *const run[3])
{
    const lm_array *a = lm_checkarray(L, 1);
    int axis = lm_checkaxis(L, 2, a);
    char kind = lm_dtypes[a->dtype].kind;
    lm_array *result = lm_newcopy(L, 1, kind == 'f' ? a->dtype : kind == 'i' ? LM_INT64 : LM_UINT64);
    if (axis < 0) {
        result->ndim = 1;
        result->shape[0] = result->size;
        result->stride[0] = 1;
        axis = 0;
    }
    if (result->size == 0) return 1;
    int64_t outer = 1, inner = 1;
    for (int d = 0; d < axis; d++) outer *= result->shape[d];
    for (int d = axis + 1; d < result->ndim; d++) inner *= result->shape[d];
    run[kind != 'f' ? 2 : result->dtype == LM_FLOAT32](result->data, outer, result->shape[axis], inner);
    return 1;
}

static int array_cumsum(lua_State *L) { return cumulate(L, (running *const[]){sum_double, sum_float, sum_whole}); }
static int array_cumprod(lua_State *L) { return cumulate(L, (running *const[]){prod_double, prod_float, prod_whole}); }

const luaL_Reg lm_cumulatemethods[] = {{"cumsum", array_cumsum}, {"cumprod", array_cumprod}, {NULL, NULL}};
