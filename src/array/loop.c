#include "loop.h"

#include <string.h>

int lm_broadcast(int na, const int64_t *a, int nb, const int64_t *b, int64_t *shape)
{
    int ndim = na > nb ? na : nb;
    for (int d = 0; d < ndim; d++) {
        int64_t x = d < ndim - na ? 1 : a[d - (ndim - na)], y = d < ndim - nb ? 1 : b[d - (ndim - nb)];
        if (x != y && x != 1 && y != 1) return -1;
        shape[d] = x == 1 ? y : x;
    }
    return ndim;
}

int lm_misfit(lua_State *L, int na, const int64_t *a, int nb, const int64_t *b)
{
    const char *left = lm_pushshape(L, na, a);
    return luaL_error(L, "shapes %s and %s do not fit", left, lm_pushshape(L, nb, b));
}

static int64_t operand_stride(const lm_array *a, int d, int ndim)
{
    d -= ndim - a->ndim;
    return d < 0 || a->shape[d] == 1 ? 0 : a->stride[d];
}

static void swap_dimensions(lm_loop *l, int d, int e)
{
    int64_t n = l->n[d], stride[LM_OPERANDS];
    memcpy(stride, l->stride[d], sizeof stride);
    memcpy(l->stride[d], l->stride[e], sizeof stride);
    memcpy(l->stride[e], stride, sizeof stride);
    l->n[d] = l->n[e];
    l->n[e] = n;
}

/* The dimensions longer than 1, in the shape's order. */
static void loop_begin(lm_loop *l, int ndim, const int64_t *shape, int operands, const lm_array *const arrays[])
{
    l->operands = operands;
    l->ndim = 0;
    for (int k = 0; k < operands; k++) {
        l->data[k] = arrays[k]->data;
        l->size[k] = lm_dtypes[arrays[k]->dtype].size;
    }
    for (int d = 0; d < ndim; d++) {
        if (shape[d] == 1) continue;
        l->n[l->ndim] = shape[d];
        for (int k = 0; k < operands; k++) l->stride[l->ndim][k] = operand_stride(arrays[k], d, ndim);
        l->ndim++;
    }
}

/* Joins neighbours that one stride runs through; leaves at least one dimension. */
static void loop_join(lm_loop *l)
{
    if (l->ndim == 0) {
        l->ndim = 1;
        l->n[0] = 1;
        for (int k = 0; k < l->operands; k++) l->stride[0][k] = 1;
        return;
    }
    int last = 0;
    for (int d = 1; d < l->ndim; d++) {
        bool joined = true;
        for (int k = 0; k < l->operands; k++) joined = joined && l->stride[last][k] == l->stride[d][k] * l->n[d];
        if (joined) l->n[last] *= l->n[d];
        else l->n[++last] = l->n[d];
        memmove(l->stride[last], l->stride[d], sizeof l->stride[d]);
    }
    l->ndim = last + 1;
}

void lm_loopset(lm_loop *l, int ndim, const int64_t *shape, int operands, const lm_array *const arrays[])
{
    loop_begin(l, ndim, shape, operands, arrays);
    /* the order does not matter to an element-wise loop: let the first operand's memory run in its own */
    for (int d = 1; d < l->ndim; d++)
        for (int e = d; e > 0 && l->stride[e][0] > l->stride[e - 1][0]; e--) swap_dimensions(l, e, e - 1);
    loop_join(l);
}

void lm_loopordered(lm_loop *l, const lm_array *a)
{
    loop_begin(l, a->ndim, a->shape, 1, &a);
    loop_join(l);
}

void lm_looprun(const lm_loop *l, lm_inner *inner, void *context)
{
    int64_t at[LM_MAXDIM] = {0};
    char *row[LM_OPERANDS], *data[LM_OPERANDS];
    for (int d = 0; d < l->ndim; d++)
        if (l->n[d] == 0) return;
    memcpy(row, l->data, sizeof row);
    for (int last = l->ndim - 1;;) {
        memcpy(data, row, sizeof data);
        inner(context, data, l->stride[last], l->n[last]);
        int d = last - 1;
        for (; d >= 0; d--) {
            for (int k = 0; k < l->operands; k++) row[k] += l->stride[d][k] * (int64_t)l->size[k];
            if (++at[d] < l->n[d]) break;
            at[d] = 0;
            for (int k = 0; k < l->operands; k++) row[k] -= l->n[d] * l->stride[d][k] * (int64_t)l->size[k];
        }
        if (d < 0) return;
    }
}
