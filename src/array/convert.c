#include "convert.h"
#include "loop.h"

#include <string.h>

/* Each dtype with its C type and the function that a float goes through on its way there. */
#define EACH_DTYPE(X, ...) \
    X(LM_FLOAT64, double, AS_IS, __VA_ARGS__) X(LM_FLOAT32, float, AS_IS, __VA_ARGS__) \
    X(LM_INT8, int8_t, whole, __VA_ARGS__) X(LM_INT16, int16_t, whole, __VA_ARGS__) \
    X(LM_INT32, int32_t, whole, __VA_ARGS__) X(LM_INT64, int64_t, whole, __VA_ARGS__) \
    X(LM_UINT8, uint8_t, whole, __VA_ARGS__) X(LM_UINT16, uint16_t, whole, __VA_ARGS__) \
    X(LM_UINT32, uint32_t, whole, __VA_ARGS__) X(LM_UINT64, uint64_t, whole64, __VA_ARGS__)

/* The same once more: a macro is not expanded inside itself. */
#define EACH_SOURCE(X, ...) \
    X(LM_FLOAT64, double, float, __VA_ARGS__) X(LM_FLOAT32, float, float, __VA_ARGS__) \
    X(LM_INT8, int8_t, int, __VA_ARGS__) X(LM_INT16, int16_t, int, __VA_ARGS__) \
    X(LM_INT32, int32_t, int, __VA_ARGS__) X(LM_INT64, int64_t, int, __VA_ARGS__) \
    X(LM_UINT8, uint8_t, int, __VA_ARGS__) X(LM_UINT16, uint16_t, int, __VA_ARGS__) \
    X(LM_UINT32, uint32_t, int, __VA_ARGS__) X(LM_UINT64, uint64_t, int, __VA_ARGS__)

static inline int64_t whole(double x) { return x >= -0x1p63 && x < 0x1p63 ? (int64_t)x : INT64_MIN; }
static inline uint64_t whole64(double x) { return x >= 0x1p63 && x < 0x1p64 ? (uint64_t)x : (uint64_t)whole(x); }

#define AS_IS(x) (x)
#define FROM_float(T, through, x) (T)through(x)
#define FROM_int(T, through, x) (T)(x)

#define CAST(S, stype, skind, D, dtype, through) \
    static void cast_##D##_##S(void *to, int64_t ts, const void *from, int64_t fs, int64_t n) \
    { \
        dtype *restrict t = to; \
        const stype *restrict f = from; \
        if (ts == 1 && fs == 1) \
            for (int64_t i = 0; i < n; i++) t[i] = FROM_##skind(dtype, through, f[i]); \
        else \
            for (int64_t i = 0; i < n; i++) t[i * ts] = FROM_##skind(dtype, through, f[i * fs]); \
    }
#define CASTS_TO(D, dtype, through, ...) EACH_SOURCE(CAST, D, dtype, through)
EACH_DTYPE(CASTS_TO, )

#define ENTRY(S, stype, skind, D) [S] = cast_##D##_##S,
#define ROW(D, dtype, through, ...) [D] = {EACH_SOURCE(ENTRY, D)},
lm_castfn *const lm_casts[LM_DTYPES][LM_DTYPES] = {EACH_DTYPE(ROW, )};

static void convert_inner(void *context, char *data[], const int64_t stride[], int64_t n)
{
    (*(lm_castfn **)context)(data[0], stride[0], data[1], stride[1], n);
}

void lm_convert(lm_array *to, const lm_array *from)
{
    if (to->dtype == from->dtype && to->contiguous && from->contiguous && to->size == from->size) {
        if (to->size) memcpy(to->data, from->data, lm_bytes(to));
        return;
    }
    lm_loop loop;
    lm_castfn *cast = lm_casts[to->dtype][from->dtype];
    lm_loopset(&loop, to->ndim, to->shape, 2, (const lm_array *[]){to, from});
    lm_looprun(&loop, convert_inner, &cast);
}

lm_array *lm_newcopy(lua_State *L, int index, lm_dtype dtype)
{
    const lm_array *a = lm_toarray(L, index);
    lm_array *copy = lm_newarray(L, dtype, a->ndim, a->shape);
    lm_convert(copy, a);
    return copy;
}

const lm_array *lm_pushpacked(lua_State *L, int index, lm_dtype dtype)
{
    const lm_array *a = lm_toarray(L, index);
    if (!a->contiguous || a->dtype != dtype) return lm_newcopy(L, index, dtype);
    lua_pushvalue(L, index);
    return a;
}

void lm_assign(lua_State *L, lm_array *to, int arg)
{
    lm_array *from = lm_toarray(L, arg);
    if (!from) {
        lm_element element;
        if (lua_type(L, arg) != LUA_TNUMBER) luaL_typeerror(L, arg, "number or mpi.array");
        lm_setelement(L, arg, to->dtype, &element);
        lm_checkwrite(L, to);
        lm_array scalar = {.data = (char *)&element, .size = 1, .dtype = to->dtype, .contiguous = true};
        lm_convert(to, &scalar);
        return;
    }
    lm_checkarray(L, arg);
    int64_t shape[LM_MAXDIM];
    if (lm_broadcast(to->ndim, to->shape, from->ndim, from->shape, shape) != to->ndim ||
        memcmp(shape, to->shape, to->ndim * sizeof *shape))
        lm_misfit(L, to->ndim, to->shape, from->ndim, from->shape);
    if (lm_tangled(to, from)) from = lm_newcopy(L, arg, from->dtype);
    lm_checkwrite(L, to);
    if (to->data != from->data) lm_convert(to, from);
}
