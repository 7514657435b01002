/* Views: other headers over the same memory. */
#include "array.h"

#include <string.h>

static lm_array *view_of(lua_State *L, int arg)
{
    lm_checkarray(L, arg);
    return lm_newview(L, arg);
}

/* Narrows dimension d to first … last by step, as string.sub reads them. */
static void view_narrow(lm_array *v, int d, lua_Integer first, lua_Integer last, lua_Integer step)
{
    int64_t n = v->shape[d];
    if (first < 0) first = first < -n ? 1 : n + first + 1;
    else if (first == 0) first = 1;
    if (last > n) last = n;
    else if (last < 0) last = last < -n ? 0 : n + last + 1;
    int64_t count = first > last ? 0 : (last - first) / step + 1;
    if (count > 0) v->data += (first - 1) * v->stride[d] * lm_dtypes[v->dtype].size;
    v->shape[d] = count;
    if (count > 1) v->stride[d] *= step;
}

/* Field i of the range table at index, an integer. */
static lua_Integer range_field(lua_State *L, int arg, int i, lua_Integer otherwise)
{
    int whole = 1;
    lua_Integer value = otherwise;
    if (lua_rawgeti(L, arg, i) != LUA_TNIL) value = lua_tointegerx(L, -1, &whole);
    if (!whole) {
        const char *got = luaL_tolstring(L, -1, NULL);
        luaL_argerror(L, arg, lua_pushfstring(L, "entry %d of the range is %s, expected an integer", i, got));
    }
    lua_pop(L, 1);
    return value;
}

static int array_slice(lua_State *L)
{
    int given = lua_gettop(L) - 1;
    lm_array *v = view_of(L, 1);
    if (lua_type(L, 2) != LUA_TTABLE) {
        luaL_argcheck(L, v->ndim > 0, 1, "a 0-d array has nothing to slice");
        lua_Integer first = luaL_checkinteger(L, 2), last = given < 2 ? -1 : luaL_optinteger(L, 3, -1);
        lua_Integer step = given < 3 ? 1 : luaL_optinteger(L, 4, 1);
        if (step < 1) return luaL_argerror(L, 4, lua_pushfstring(L, "step is %I, expected 1 or more", step));
        view_narrow(v, 0, first, last, step);
        lm_settle(v);
        return 1;
    }
    if (given > v->ndim)
        return luaL_error(L, "%d ranges for an array of shape %s", given, lm_pushshape(L, v->ndim, v->shape));
    for (int d = 0; d < given; d++) {
        luaL_checktype(L, d + 2, LUA_TTABLE);
        lua_Integer first = range_field(L, d + 2, 1, 1), last = range_field(L, d + 2, 2, -1);
        lua_Integer step = range_field(L, d + 2, 3, 1);
        if (step < 1) return luaL_argerror(L, d + 2, lua_pushfstring(L, "step is %I, expected 1 or more", step));
        view_narrow(v, d, first, last, step);
    }
    lm_settle(v);
    return 1;
}

/* The view at dimension d's position given at arg 2: one dimension less. */
static int view_pick(lua_State *L, int d, const char *what)
{
    const lm_array *a = lm_checkarray(L, 1);
    if (a->ndim < 2)
        return luaL_error(L, "an array of shape %s has no %ss", lm_pushshape(L, a->ndim, a->shape), what);
    lua_Integer i = luaL_checkinteger(L, 2);
    if (a->shape[d] == 0) return luaL_argerror(L, 2, lua_pushfstring(L, "%s %I is out of range: there are none", what, i));
    if (i < 1 || i > a->shape[d])
        return luaL_argerror(L, 2, lua_pushfstring(L, "%s %I is out of range 1 to %I", what, i, (lua_Integer)a->shape[d]));
    lm_array *v = view_of(L, 1);
    v->data += (i - 1) * v->stride[d] * lm_dtypes[v->dtype].size;
    v->ndim--;
    memmove(v->shape + d, v->shape + d + 1, (size_t)(v->ndim - d) * sizeof *v->shape);
    memmove(v->stride + d, v->stride + d + 1, (size_t)(v->ndim - d) * sizeof *v->stride);
    lm_settle(v);
    return 1;
}

static int array_row(lua_State *L) { return view_pick(L, 0, "row"); }
static int array_col(lua_State *L) { return view_pick(L, 1, "column"); }

/* a:t() has the dimensions in reverse order, a:t(2, 3, 1) in this one. */
static int array_t(lua_State *L)
{
    const lm_array *a = lm_checkarray(L, 1);
    int given = lua_gettop(L) - 1;
    unsigned seen = 0;
    if (given > 0 && given != a->ndim)
        return luaL_error(L, "%d %s for an array of shape %s", given, given == 1 ? "axis" : "axes",
                          lm_pushshape(L, a->ndim, a->shape));
    lm_array *v = view_of(L, 1);
    for (int d = 0; d < a->ndim; d++) {
        int from = a->ndim - 1 - d;
        if (given > 0) {
            luaL_checkinteger(L, d + 2);
            from = lm_checkaxis(L, d + 2, a);
            if (seen & 1u << from) luaL_argerror(L, d + 2, lua_pushfstring(L, "axis %d is given twice", from + 1));
            seen |= 1u << from;
        }
        v->shape[d] = a->shape[from];
        v->stride[d] = a->stride[from];
    }
    lm_settle(v);
    return 1;
}

/* a:reshape{2, -1} or a:reshape(2, -1): one -1 takes what is left. */
static int array_reshape(lua_State *L)
{
    const lm_array *a = lm_checkarray(L, 1);
    if (lua_type(L, 2) != LUA_TTABLE) {
        int n = lua_gettop(L) - 1;
        luaL_checkinteger(L, 2);
        lua_createtable(L, n, 0);
        for (int i = 1; i <= n; i++) {
            lua_pushvalue(L, i + 1);
            lua_rawseti(L, -2, i);
        }
        lua_replace(L, 2);
    }
    lua_settop(L, 2);
    int open = 0, n = lua_rawlen(L, 2) > LM_MAXDIM ? 0 : (int)lua_rawlen(L, 2);
    int64_t others = 1, shape[LM_MAXDIM];
    lua_createtable(L, n, 0);
    for (int d = 1; d <= n; d++) {
        int whole;
        lua_rawgeti(L, 2, d);
        lua_Integer extent = lua_tointegerx(L, -1, &whole);
        if (whole && extent == -1) {
            luaL_argcheck(L, !open, 2, "more than one dimension is -1");
            open = d;
        } else if (whole && extent >= 0 && __builtin_mul_overflow(others, extent, &others)) {
            return luaL_argerror(L, 2, "the shape has too many elements");
        }
        lua_rawseti(L, 3, d);
    }
    if (open) {
        lua_pushinteger(L, others ? a->size / others : 0);
        lua_rawseti(L, 3, open);
    }
    if (n) lua_replace(L, 2);
    int ndim = lm_checkshape(L, 2, shape);
    int64_t size = 1;
    for (int d = 0; d < ndim; d++)
        if (__builtin_mul_overflow(size, shape[d], &size)) size = -1;
    const char *from = lm_pushshape(L, a->ndim, a->shape);
    if (size != a->size)
        return luaL_argerror(L, 2, lua_pushfstring(L, "cannot reshape %I elements of shape %s into %s",
                                                   (lua_Integer)a->size, from, lm_pushshape(L, ndim, shape)));
    if (!a->contiguous)
        return luaL_error(L, "cannot reshape a view of shape %s that is not contiguous: copy() it first", from);
    lm_array *v = view_of(L, 1);
    v->ndim = (unsigned char)ndim;
    int64_t stride = 1;
    for (int d = ndim - 1; d >= 0; d--) {
        v->shape[d] = shape[d];
        v->stride[d] = stride;
        stride *= shape[d] > 0 ? shape[d] : 1;
    }
    lm_settle(v);
    return 1;
}

const luaL_Reg lm_viewmethods[] = {
    {"slice", array_slice}, {"row", array_row},         {"col", array_col},
    {"t", array_t},         {"reshape", array_reshape}, {NULL, NULL},
};
