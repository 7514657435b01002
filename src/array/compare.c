/* Questions about two arrays that have one answer. */
#include "convert.h"
#include "loop.h"

#include <math.h>
#include <string.h>

typedef struct comparison {
    bool holds;
    lm_dtype dtype[2];
    double rtol, atol;
} comparison;

#define EQUAL(type) \
    do { \
        const type *x = (const type *)data[0], *y = (const type *)data[1]; \
        for (int64_t i = 0; i < n && equal; i++) equal = x[i * stride[0]] == y[i * stride[1]]; \
    } while (0)

static void equal_inner(void *context, char *data[], const int64_t stride[], int64_t n)
{
    comparison *c = context;
    if (!c->holds) return;
    bool equal = true;
    const lm_dtypeinfo *info = &lm_dtypes[c->dtype[0]];
    if (info->kind != 'f' && stride[0] == 1 && stride[1] == 1) equal = !memcmp(data[0], data[1], (size_t)n * info->size);
    else if (c->dtype[0] == LM_FLOAT64) EQUAL(double);
    else if (c->dtype[0] == LM_FLOAT32) EQUAL(float);
    else if (info->size == 1) EQUAL(uint8_t);
    else if (info->size == 2) EQUAL(uint16_t);
    else if (info->size == 4) EQUAL(uint32_t);
    else EQUAL(uint64_t);
    c->holds = equal;
}

/* Never raises for what is not an array: == has no errors. */
static int array_eq(lua_State *L)
{
    const lm_array *a = lm_toarray(L, 1), *b = lm_toarray(L, 2);
    comparison c = {.holds = a && b && a->block->data && b->block->data && a->dtype == b->dtype && a->ndim == b->ndim &&
                             !memcmp(a->shape, b->shape, a->ndim * sizeof *a->shape)};
    if (c.holds) {
        lm_loop loop;
        c.dtype[0] = c.dtype[1] = a->dtype;
        lm_loopset(&loop, a->ndim, a->shape, 2, (const lm_array *[]){a, b});
        lm_looprun(&loop, equal_inner, &c);
    }
    lua_pushboolean(L, c.holds);
    return 1;
}

#define CHUNK 256

static void close_inner(void *context, char *data[], const int64_t stride[], int64_t n)
{
    comparison *c = context;
    double x[CHUNK], y[CHUNK];
    for (int64_t from = 0; from < n && c->holds; from += CHUNK) {
        int64_t m = n - from < CHUNK ? n - from : CHUNK;
        lm_casts[LM_FLOAT64][c->dtype[0]](x, 1, data[0], stride[0], m);
        lm_casts[LM_FLOAT64][c->dtype[1]](y, 1, data[1], stride[1], m);
        for (int k = 0; k < 2; k++) data[k] += m * stride[k] * lm_dtypes[c->dtype[k]].size;
        for (int64_t i = 0; i < m; i++)
            if (!(x[i] == y[i] || (isfinite(y[i]) && fabs(x[i] - y[i]) <= c->atol + c->rtol * fabs(y[i])))) c->holds = false;
    }
}

/* a:allclose(b[, rtol[, atol]]): |a - b| <= atol + rtol |b| everywhere; b an array or a number. NaN is close to nothing. */
static int array_allclose(lua_State *L)
{
    const lm_array *a = lm_checkarray(L, 1), *b;
    double number;
    lm_array scalar = {.data = (char *)&number, .size = 1, .dtype = LM_FLOAT64, .contiguous = true};
    if (lua_type(L, 2) == LUA_TNUMBER) {
        number = lua_tonumber(L, 2);
        b = &scalar;
    } else {
        b = lm_checkarray(L, 2);
    }
    comparison c = {true, {a->dtype, b->dtype}, luaL_optnumber(L, 3, 1e-5), luaL_optnumber(L, 4, 1e-8)};
    int64_t shape[LM_MAXDIM];
    int ndim = lm_broadcast(a->ndim, a->shape, b->ndim, b->shape, shape);
    if (ndim < 0) return lm_misfit(L, a->ndim, a->shape, b->ndim, b->shape);
    lm_loop loop;
    lm_loopset(&loop, ndim, shape, 2, (const lm_array *[]){a, b});
    lm_looprun(&loop, close_inner, &c);
    lua_pushboolean(L, c.holds);
    return 1;
}

const luaL_Reg lm_comparemethods[] = {{"allclose", array_allclose}, {NULL, NULL}};
const luaL_Reg lm_comparemetamethods[] = {{"__eq", array_eq}, {NULL, NULL}};
