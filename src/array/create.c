/* Making arrays, filling them, and turning them into Lua's tables and strings. */
#include "convert.h"

#include <float.h>
#include <limits.h>
#include <math.h>
#include <string.h>

/* --- constructors --------------------------------------------------------------------------------------- */

/* Pushes the array of the shape at arg 1 and the dtype at `dtypearg`. */
static lm_array *create_shaped(lua_State *L, int dtypearg)
{
    int64_t shape[LM_MAXDIM];
    int ndim = lm_checkshape(L, 1, shape);
    return lm_newarray(L, lm_checkdtype(L, dtypearg, LM_FLOAT64), ndim, shape);
}

static int create_empty(lua_State *L)
{
    create_shaped(L, 2);
    return 1;
}

static int create_zeros(lua_State *L)
{
    lm_array *a = create_shaped(L, 2);
    memset(a->data, 0, lm_bytes(a));
    return 1;
}

static int create_ones(lua_State *L)
{
    lm_array *a = create_shaped(L, 2);
    lua_pushinteger(L, 1);
    lm_assign(L, a, lua_gettop(L));
    lua_pop(L, 1);
    return 1;
}

static int create_full(lua_State *L)
{
    lua_settop(L, 3);
    lm_array *a = create_shaped(L, 3);
    lm_assign(L, a, 2);
    return 1;
}

static int create_eye(lua_State *L)
{
    lua_Integer n = luaL_checkinteger(L, 1);
    luaL_argcheck(L, n >= 0, 1, "the size of a matrix is an integer from 0");
    int64_t shape[2] = {n, n};
    lm_array *a = lm_newarray(L, lm_checkdtype(L, 2, LM_FLOAT64), 2, shape);
    memset(a->data, 0, lm_bytes(a));
    lm_array diagonal = *a;
    diagonal.ndim = 1;
    diagonal.stride[0] = n + 1;
    lm_settle(&diagonal);
    lua_pushinteger(L, 1);
    lm_assign(L, &diagonal, lua_gettop(L));
    lua_pop(L, 1);
    return 1;
}

/* Whole numbers on all three places make an int64 range, exact over the whole of int64. */
static int create_range(lua_State *L)
{
    lua_settop(L, 4);
    if (lua_isnil(L, 3)) {
        lua_pushinteger(L, 1);
        lua_replace(L, 3);
    }
    int64_t count;
    if (lua_isinteger(L, 1) && lua_isinteger(L, 2) && lua_isinteger(L, 3)) {
        lua_Integer first = lua_tointeger(L, 1), last = lua_tointeger(L, 2), step = lua_tointeger(L, 3);
        luaL_argcheck(L, step != 0, 3, "step is 0");
        uint64_t span = step > 0 ? (uint64_t)last - (uint64_t)first : (uint64_t)first - (uint64_t)last;
        uint64_t by = step > 0 ? (uint64_t)step : -(uint64_t)step;
        bool none = step > 0 ? first > last : first < last;
        if (!none && span / by >= INT64_MAX / 8) return luaL_error(L, "not enough memory");
        count = none ? 0 : (int64_t)(span / by) + 1;
        lm_array *a = lm_newarray(L, LM_INT64, 1, &count);
        int64_t *data = (int64_t *)a->data;
        for (int64_t i = 0; i < count; i++) data[i] = (int64_t)((uint64_t)first + (uint64_t)i * (uint64_t)step);
    } else {
        lua_Number first = luaL_checknumber(L, 1), last = luaL_checknumber(L, 2), step = luaL_checknumber(L, 3);
        luaL_argcheck(L, step != 0 && isfinite(step), 3, "step must be finite and not 0");
        luaL_argcheck(L, isfinite(first), 1, "must be finite");
        luaL_argcheck(L, isfinite(last), 2, "must be finite");
        /* a last that is a whole number of steps away but for rounding is reached */
        double steps = floor((last - first) / step * (1 + 4 * DBL_EPSILON));
        if (steps >= 0x1p60) return luaL_error(L, "not enough memory");
        count = steps < 0 ? 0 : (int64_t)steps + 1;
        lm_array *a = lm_newarray(L, LM_FLOAT64, 1, &count);
        double *data = (double *)a->data;
        for (int64_t i = 0; i < count; i++) data[i] = first + (double)i * step;
        if (count && (step > 0 ? data[count - 1] > last : data[count - 1] < last)) data[count - 1] = last;
    }
    const lm_array *a = lm_toarray(L, -1);
    lm_dtype dtype = lm_checkdtype(L, 4, a->dtype);
    if (dtype != a->dtype) lm_newcopy(L, lua_gettop(L), dtype);
    return 1;
}

static int create_linspace(lua_State *L)
{
    lua_settop(L, 4);
    lua_Number first = luaL_checknumber(L, 1), last = luaL_checknumber(L, 2);
    int64_t n = luaL_checkinteger(L, 3);
    luaL_argcheck(L, n >= 0, 3, "the number of points is an integer from 0");
    lm_array *a = lm_newarray(L, LM_FLOAT64, 1, &n);
    double *data = (double *)a->data, step = n > 1 ? (last - first) / (double)(n - 1) : 0;
    for (int64_t i = 0; i < n; i++) data[i] = first + (double)i * step;
    if (n > 1) data[n - 1] = last;
    lm_dtype dtype = lm_checkdtype(L, 4, LM_FLOAT64);
    if (dtype != LM_FLOAT64) lm_newcopy(L, lua_gettop(L), dtype);
    return 1;
}

/* --- nested tables -------------------------------------------------------------------------------------- */

/* Pushes "value[2][3]" for the place that `at` counts from 0, `depth` deep. */
static const char *of_place(lua_State *L, const int64_t *at, int depth)
{
    lua_pushliteral(L, "value");
    for (int d = 0; d < depth; d++) {
        lua_pushfstring(L, "[%I]", (lua_Integer)at[d] + 1);
        lua_concat(L, 2);
    }
    return lua_tostring(L, -1);
}

/* Lists in lists, so many deep, and in the innermost either numbers or arrays; they go into an array. */
typedef struct nest {
    lm_array *into;
    int lists;
    bool arrays;
    int64_t at[LM_MAXDIM];
} nest;

/* The number on top of the stack. */
static void of_number(lua_State *L, const nest *n, char *to)
{
    const lm_dtypeinfo *info = &lm_dtypes[n->into->dtype];
    int whole = 1;
    if (lua_type(L, -1) != LUA_TNUMBER)
        luaL_error(L, "%s is %s, expected a number", of_place(L, n->at, n->lists),
                   lm_toarray(L, -1) ? "an array" : luaL_typename(L, -1));
    lua_Number x = lua_tonumber(L, -1);
    if (info->kind != 'f') lua_tointegerx(L, -1, &whole);
    if (!whole)
        luaL_error(L, "%s is %f, expected a number that %s holds", of_place(L, n->at, n->lists), x, info->name);
    lm_setelement(L, -1, n->into->dtype, to);
}

/* The array on top of the stack: all dimensions behind those of the lists. */
static void of_array(lua_State *L, const nest *n, char *to)
{
    const lm_array *from = lm_toarray(L, -1);
    lm_array part = *n->into;
    part.ndim -= n->lists;
    part.data = to;
    memmove(part.shape, part.shape + n->lists, part.ndim * sizeof *part.shape);
    memmove(part.stride, part.stride + n->lists, part.ndim * sizeof *part.stride);
    lm_settle(&part);
    if (!from)
        luaL_error(L, "%s is %s, expected an array as before", of_place(L, n->at, n->lists), luaL_typename(L, -1));
    if (!from->block->data) luaL_error(L, "%s: the array's memory was freed", of_place(L, n->at, n->lists));
    if (from->ndim != part.ndim || memcmp(from->shape, part.shape, part.ndim * sizeof *part.shape)) {
        const char *shape = lm_pushshape(L, from->ndim, from->shape);
        luaL_error(L, "%s has shape %s, expected %s as in the arrays before", of_place(L, n->at, n->lists), shape,
                   lm_pushshape(L, part.ndim, part.shape));
    }
    lm_convert(&part, from);
}

/* The list on top of the stack, d deep, and what is in it. */
static void of_list(lua_State *L, nest *n, int d, char *to)
{
    const lm_array *a = n->into;
    lua_Unsigned entries = lua_rawlen(L, -1);
    if (entries != (lua_Unsigned)a->shape[d])
        luaL_error(L, "%s has %I entries, expected %I as in the lists before", of_place(L, n->at, d), (lua_Integer)entries,
                   (lua_Integer)a->shape[d]);
    for (int64_t i = 0; i < a->shape[d]; i++, to += a->stride[d] * lm_dtypes[a->dtype].size) {
        n->at[d] = i;
        int type = lua_rawgeti(L, -1, i + 1);
        if (d < n->lists - 1) {
            if (type != LUA_TTABLE)
                luaL_error(L, "%s is %s, expected a list", of_place(L, n->at, d + 1), luaL_typename(L, -1));
            of_list(L, n, d + 1, to);
        } else if (n->arrays) {
            of_array(L, n, to);
        } else {
            of_number(L, n, to);
        }
        lua_pop(L, 1);
    }
}

/* The dtype that holds all arrays in the lists on top of the stack, and this one. */
static lm_dtype of_dtype(lua_State *L, lm_dtype dtype, int lists)
{
    lua_Integer n = (lua_Integer)lua_rawlen(L, -1);
    for (lua_Integer i = 1; i <= n; i++) {
        int type = lua_rawgeti(L, -1, i);
        const lm_array *a = lm_toarray(L, -1);
        if (a) dtype = lm_promote(dtype, a->dtype);
        else if (type == LUA_TTABLE && lists > 1) dtype = of_dtype(L, dtype, lists - 1);
        lua_pop(L, 1);
    }
    return dtype;
}

static int create_of(lua_State *L)
{
    lua_settop(L, 2);
    lm_dtype dtype = lm_checkdtype(L, 2, LM_FLOAT64);
    const lm_array *first = lm_toarray(L, 1);
    if (first) {
        lm_checkarray(L, 1);
        lm_newcopy(L, 1, lua_isnil(L, 2) ? first->dtype : dtype);
        return 1;
    }
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checkstack(L, 2 * LM_MAXDIM, NULL);
    int64_t shape[2 * LM_MAXDIM];
    nest n = {.lists = 0};
    lua_pushvalue(L, 1);
    while (lua_type(L, -1) == LUA_TTABLE && n.lists < LM_MAXDIM) {
        shape[n.lists++] = (int64_t)lua_rawlen(L, -1);
        lua_rawgeti(L, -1, 1);
        lua_remove(L, -2);
    }
    bool deeper = lua_type(L, -1) == LUA_TTABLE;
    int ndim = n.lists;
    first = lm_toarray(L, -1);
    if (first) {
        n.arrays = true;
        memcpy(shape + ndim, first->shape, first->ndim * sizeof *shape);
        ndim += first->ndim;
    }
    if (deeper || ndim > LM_MAXDIM)
        return luaL_argerror(L, 1, "lists nest deeper than 8, the most dimensions an array has");
    bool promote = n.arrays && lua_isnil(L, 2);
    if (promote) dtype = first->dtype;
    lua_settop(L, 1);
    if (promote) dtype = of_dtype(L, dtype, n.lists);
    n.into = lm_newarray(L, dtype, ndim, shape);
    lua_pushvalue(L, 1);
    of_list(L, &n, 0, n.into->data);
    lua_pop(L, 1);
    return 1;
}

/* Pushes dimension d of the array at `data` as a list, or the element. */
static void push_table(lua_State *L, const lm_array *a, int d, const char *data)
{
    if (d == a->ndim) {
        lm_pushelement(L, a->dtype, data);
        return;
    }
    int64_t n = a->shape[d];
    lua_createtable(L, n > INT_MAX ? INT_MAX : (int)n, 0);
    for (int64_t i = 0; i < n; i++) {
        push_table(L, a, d + 1, data + i * a->stride[d] * lm_dtypes[a->dtype].size);
        lua_rawseti(L, -2, i + 1);
    }
}

static int array_totable(lua_State *L)
{
    const lm_array *a = lm_checkarray(L, 1);
    luaL_checkstack(L, LM_MAXDIM + 4, NULL);
    push_table(L, a, 0, a->data);
    return 1;
}

/* --- copies --------------------------------------------------------------------------------------------- */

static int array_copy(lua_State *L)
{
    const lm_array *a = lm_checkarray(L, 1);
    lm_newcopy(L, 1, a->dtype);
    return 1;
}

static int array_as(lua_State *L)
{
    const lm_array *a = lm_checkarray(L, 1);
    luaL_checkstring(L, 2);
    lm_newcopy(L, 1, lm_checkdtype(L, 2, a->dtype));
    return 1;
}

static int array_copyfrom(lua_State *L)
{
    lm_array *a = lm_checkarray(L, 1);
    lm_checkarray(L, 2);
    lm_assign(L, a, 2);
    lua_settop(L, 1);
    return 1;
}

static int array_bytes(lua_State *L)
{
    lua_settop(L, 1);
    const lm_array *a = lm_checkarray(L, 1);
    a = lm_pushpacked(L, 1, a->dtype);
    lua_pushlstring(L, a->data, lm_bytes(a));
    return 1;
}

/* array.concat{a, b, …}: along the first dimension, the dtypes promoted. */
static int create_concat(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    lua_Integer n = (lua_Integer)lua_rawlen(L, 1);
    luaL_argcheck(L, n > 0, 1, "a list of at least one array expected");
    lm_array first = {.ndim = 0};
    for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(L, 1, i);
        const lm_array *a = lm_toarray(L, -1);
        if (!a || !a->block->data)
            return luaL_argerror(L, 1, lua_pushfstring(L, "entry %I is %s, expected an array", i,
                                                       a ? "freed" : luaL_typename(L, -1)));
        if (a->ndim == 0) return luaL_argerror(L, 1, lua_pushfstring(L, "entry %I is 0-d", i));
        if (i == 1) {
            first = *a;
        } else {
            if (a->ndim != first.ndim || memcmp(a->shape + 1, first.shape + 1, (a->ndim - 1u) * sizeof *a->shape)) {
                const char *shape = lm_pushshape(L, a->ndim, a->shape);
                return luaL_argerror(L, 1, lua_pushfstring(L, "entry %I of shape %s does not fit entry 1 of shape %s", i,
                                                           shape, lm_pushshape(L, first.ndim, first.shape)));
            }
            first.dtype = lm_promote(first.dtype, a->dtype);
            if (__builtin_add_overflow(first.shape[0], a->shape[0], &first.shape[0]))
                return luaL_error(L, "not enough memory");
        }
        lua_pop(L, 1);
    }
    lm_array *joined = lm_newarray(L, first.dtype, first.ndim, first.shape);
    lm_array part = *joined;
    int64_t room = joined->shape[0];
    for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(L, 1, i);
        const lm_array *a = lm_toarray(L, -1);
        if (!a || a->shape[0] > room || !a->block->data) return luaL_argerror(L, 1, "the list changed meanwhile");
        room -= part.shape[0] = a->shape[0];
        lm_settle(&part);
        if (a->ndim != part.ndim || memcmp(a->shape, part.shape, part.ndim * sizeof *a->shape)) return luaL_argerror(L, 1, "the list changed meanwhile");
        lm_convert(&part, a);
        part.data += lm_bytes(&part);
        lua_pop(L, 1);
    }
    return 1;
}

/* --- functions over the elements ------------------------------------------------------------------------ */

/* The next place in row-major order; false after the last. */
static bool next_place(const lm_array *a, int64_t *at)
{
    for (int d = a->ndim - 1; d >= 0; d--) {
        if (++at[d] < a->shape[d]) return true;
        at[d] = 0;
    }
    return false;
}

static char *element_at(const lm_array *a, const int64_t *at)
{
    int64_t offset = 0;
    for (int d = 0; d < a->ndim; d++) offset += at[d] * a->stride[d];
    return a->data + offset * lm_dtypes[a->dtype].size;
}

/* What a function returned for an element, on top of the stack, into the array; pops it. */
static void store_result(lua_State *L, lm_array *a, const int64_t *at)
{
    int whole = 1, type = lua_type(L, -1);
    if (type != LUA_TNUMBER)
        luaL_error(L, "the function returned a %s for element %s, expected a number", lua_typename(L, type),
                   of_place(L, at, a->ndim) + 5);
    lua_Number x = lua_tonumber(L, -1);
    if (lm_dtypes[a->dtype].kind != 'f') lua_tointegerx(L, -1, &whole);
    if (!whole)
        luaL_error(L, "the function returned %f for element %s: %s cannot hold it", x, of_place(L, at, a->ndim) + 5,
                   lm_dtypes[a->dtype].name);
    if (!a->block->data) luaL_error(L, "the array's memory was freed");
    lm_checkwrite(L, a);
    lm_setelement(L, -1, a->dtype, element_at(a, at));
    lua_pop(L, 1);
}

static int array_fill(lua_State *L)
{
    lua_settop(L, 2);
    lm_array *a = lm_checkarray(L, 1);
    if (!lua_isfunction(L, 2)) {
        luaL_argexpected(L, lua_type(L, 2) == LUA_TNUMBER, 2, "number or function");
        lm_assign(L, a, 2);
    } else if (a->size > 0) {
        int64_t at[LM_MAXDIM] = {0};
        do {
            lua_pushvalue(L, 2);
            for (int d = 0; d < a->ndim; d++) lua_pushinteger(L, at[d] + 1);
            lua_call(L, a->ndim, 1);
            store_result(L, a, at);
        } while (next_place(a, at));
    }
    lua_settop(L, 1);
    return 1;
}

static int array_map(lua_State *L)
{
    lua_settop(L, 3);
    const lm_array *a = lm_checkarray(L, 1);
    luaL_checkany(L, 2);
    lm_array *result = lm_newarray(L, lm_checkdtype(L, 3, a->dtype), a->ndim, a->shape);
    int64_t at[LM_MAXDIM] = {0};
    if (a->size == 0) return 1;
    do {
        lm_checkarray(L, 1);
        lua_pushvalue(L, 2);
        lm_pushelement(L, a->dtype, element_at(a, at));
        lua_call(L, 1, 1);
        store_result(L, result, at);
    } while (next_place(a, at));
    return 1;
}

const luaL_Reg lm_createfunctions[] = {
    {"empty", create_empty}, {"zeros", create_zeros},       {"ones", create_ones},     {"full", create_full},
    {"eye", create_eye},     {"of", create_of},             {"range", create_range},   {"linspace", create_linspace},
    {"concat", create_concat}, {NULL, NULL},
};

const luaL_Reg lm_createmethods[] = {
    {"copy", array_copy},   {"as", array_as},     {"copyfrom", array_copyfrom}, {"bytes", array_bytes},
    {"totable", array_totable}, {"fill", array_fill}, {"map", array_map},       {NULL, NULL},
};
