/* One element at a time, rows, and what an array says of itself. */
#include "array.h"

#include <string.h>

/* Metamethods are out of a script's reach (__metatable): their first argument is an array. */

static int index_freed(lua_State *L) { return luaL_error(L, "the array's memory was freed"); }

static int index_range(lua_State *L, lua_Integer i, int64_t n)
{
    if (n == 0) return luaL_error(L, "index %I is out of range: the array has no rows", i);
    lua_Debug at;
    if (i == n + 1 && lua_getstack(L, 1, &at) && lua_getinfo(L, "S", &at) && *at.what == 'C') { /* ipairs of Lua, which goes on to nil */
        luaL_where(L, 2);
        lua_pushfstring(L, "index %I is out of range 1 to %I; the loop over an array is a:ipairs()", i, (lua_Integer)n);
        lua_concat(L, 2);
        return lua_error(L);
    }
    return luaL_error(L, "index %I is out of range 1 to %I", i, (lua_Integer)n);
}

/* The key at 2 as an integer; a string of digits is one, as anywhere in Lua's libraries. False for other strings. */
static bool index_key(lua_State *L, lua_Integer *i)
{
    int whole;
    *i = lua_tointegerx(L, 2, &whole);
    if (whole) return true;
    if (lua_type(L, 2) == LUA_TNUMBER) luaL_error(L, "index %f is not an integer", lua_tonumber(L, 2));
    if (lua_type(L, 2) != LUA_TSTRING) luaL_error(L, "an array is indexed by integers, got %s", luaL_typename(L, 2));
    return false;
}

/* Pushes a 1-D, 2-D … array's element or row number i, counted from 0 and in range. */
static void push_row(lua_State *L, int index, int64_t i)
{
    const lm_array *a = lm_toarray(L, index);
    char *data = a->data + i * a->stride[0] * lm_dtypes[a->dtype].size;
    if (a->ndim == 1) {
        lm_pushelement(L, a->dtype, data);
        return;
    }
    lm_array *row = lm_newview(L, index);
    row->data = data;
    row->ndim--;
    memmove(row->shape, row->shape + 1, row->ndim * sizeof *row->shape);
    memmove(row->stride, row->stride + 1, row->ndim * sizeof *row->stride);
    lm_settle(row);
}

/* a[i] for everything but the common case. Methods are upvalue 1. */
static int index_slow(lua_State *L, const lm_array *a)
{
    lua_Integer i;
    if (lua_type(L, 2) == LUA_TSTRING) {
        lua_pushvalue(L, 2);
        if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL) return 1;
        if (!lua_isnumber(L, 2)) {
            lua_pushliteral(L, "an array");
            lua_pushvalue(L, 2);
            lua_pushvalue(L, lua_upvalueindex(1));
            lm_callmodule(L, "mpi.missing", "complain", 3, 0);
        }
    }
    if (!index_key(L, &i)) return 0;
    if (!a->block->data) return index_freed(L);
    if (a->ndim == 0) return luaL_error(L, "a 0-d array has no index: use a:get()");
    if (i < 1 || i > a->shape[0]) return index_range(L, i, a->shape[0]);
    push_row(L, 1, i - 1);
    return 1;
}

static int array_index(lua_State *L)
{
    const lm_array *a = lua_touserdata(L, 1);
    if (!lua_isinteger(L, 2) || a->ndim != 1) return index_slow(L, a);
    uint64_t i = (uint64_t)lua_tointegerx(L, 2, NULL) - 1;
    if (i >= (uint64_t)a->shape[0] || !a->block->data) return index_slow(L, a);
    if (a->dtype == LM_FLOAT64) lua_pushnumber(L, ((const double *)a->data)[(int64_t)i * a->stride[0]]);
    else lm_pushelement(L, a->dtype, a->data + (int64_t)i * a->stride[0] * lm_dtypes[a->dtype].size);
    return 1;
}

/* The value at arg into the element at p, with a message that fits an assignment. */
static void index_store(lua_State *L, int arg, lm_dtype dtype, void *p)
{
    if (!lua_isnumber(L, arg))
        luaL_error(L, "cannot put a %s into an array of %s", luaL_typename(L, arg), lm_dtypes[dtype].name);
    if (lm_dtypes[dtype].kind != 'f' && !lua_isinteger(L, arg)) {
        int whole;
        lua_tointegerx(L, arg, &whole);
        if (!whole) luaL_error(L, "cannot put %f into an array of %s", lua_tonumber(L, arg), lm_dtypes[dtype].name);
    }
    lm_setelement(L, arg, dtype, p);
}

/* Raises when the element there must not be written; its neighbours may be on their way. */
static void check_element(lua_State *L, const lm_array *a, char *p)
{
    if (!a->block->guarded) return;
    lm_array element = *a;
    element.data = p;
    element.ndim = 0;
    element.size = 1;
    lm_checkwrite(L, &element);
}

/* a[i] = v likewise. */
__attribute__((noinline)) static int newindex_slow(lua_State *L, const lm_array *a)
{
    lua_Integer i;
    if (!index_key(L, &i)) return luaL_error(L, "an array has no field '%s' to set", lua_tostring(L, 2));
    if (!a->block->data) return index_freed(L);
    if (a->ndim == 0) return luaL_error(L, "a 0-d array has no index: use a:set(v)");
    if (i < 1 || i > a->shape[0]) return index_range(L, i, a->shape[0]);
    if (a->ndim == 1) {
        char *p = a->data + (i - 1) * a->stride[0] * lm_dtypes[a->dtype].size;
        check_element(L, a, p);
        index_store(L, 3, a->dtype, p);
        return 0;
    }
    push_row(L, 1, i - 1);
    lm_assign(L, lm_toarray(L, -1), 3);
    return 0;
}

static int array_newindex(lua_State *L)
{
    const lm_array *a = lua_touserdata(L, 1);
    int whole, number;
    uint64_t i = (uint64_t)lua_tointegerx(L, 2, &whole) - 1;
    lua_Number x = lua_tonumberx(L, 3, &number);
    if (!(whole & number) || a->ndim != 1 || a->dtype != LM_FLOAT64 || i >= (uint64_t)a->shape[0] || a->block->guarded)
        return newindex_slow(L, a);
    ((double *)a->data)[(int64_t)i * a->stride[0]] = x;
    return 0;
}

/* --- any number of dimensions --------------------------------------------------------------------------- */

/* The element at the indices from argument 2 on; as many as the array has dimensions. */
static char *index_element(lua_State *L, const lm_array *a, int given)
{
    if (given != a->ndim)
        luaL_error(L, "%d %s for an array of shape %s", given, given == 1 ? "index" : "indices",
                   lm_pushshape(L, a->ndim, a->shape));
    int64_t offset = 0;
    for (int d = 0; d < a->ndim; d++) {
        lua_Integer i = luaL_checkinteger(L, d + 2);
        if (a->shape[d] == 0)
            luaL_argerror(L, d + 2, lua_pushfstring(L, "index %I is out of range: dimension %d is empty", i, d + 1));
        if (i < 1 || i > a->shape[d])
            luaL_argerror(L, d + 2, lua_pushfstring(L, "index %I is out of range 1 to %I", i, (lua_Integer)a->shape[d]));
        offset += (i - 1) * a->stride[d];
    }
    return a->data + offset * lm_dtypes[a->dtype].size;
}

static int array_get(lua_State *L)
{
    const lm_array *a = lm_checkarray(L, 1);
    lm_pushelement(L, a->dtype, index_element(L, a, lua_gettop(L) - 1));
    return 1;
}

static int array_set(lua_State *L)
{
    const lm_array *a = lm_checkarray(L, 1);
    int top = lua_gettop(L);
    luaL_argcheck(L, top >= 2, 2, "number expected, got no value");
    char *p = index_element(L, a, top - 2);
    check_element(L, a, p);
    lm_setelement(L, top, a->dtype, p);
    return 0;
}

/* --- what an array says of itself ----------------------------------------------------------------------- */

/* These read the header only: a freed array still knows its shape. */

static int array_len(lua_State *L)
{
    const lm_array *a = lm_check(L, 1, &lm_array_kind);
    if (a->ndim == 0) return luaL_error(L, "a 0-d array has no length");
    lua_pushinteger(L, a->shape[0]);
    return 1;
}

static int array_shape(lua_State *L)
{
    const lm_array *a = lm_check(L, 1, &lm_array_kind);
    for (int d = 0; d < a->ndim; d++) lua_pushinteger(L, a->shape[d]);
    return a->ndim;
}

static int array_ndim(lua_State *L)
{
    lua_pushinteger(L, ((lm_array *)lm_check(L, 1, &lm_array_kind))->ndim);
    return 1;
}

static int array_size(lua_State *L)
{
    lua_pushinteger(L, ((lm_array *)lm_check(L, 1, &lm_array_kind))->size);
    return 1;
}

static int array_dtype(lua_State *L)
{
    lua_pushstring(L, lm_dtypes[((lm_array *)lm_check(L, 1, &lm_array_kind))->dtype].name);
    return 1;
}

/* --- loops ---------------------------------------------------------------------------------------------- */

static int index_next(lua_State *L)
{
    const lm_array *a = lm_checkarray(L, 1);
    lua_Integer i = luaL_checkinteger(L, 2);
    if (a->ndim == 0 || i < 0 || i >= a->shape[0]) return 0;
    lua_pushinteger(L, i + 1);
    if (a->ndim == 1 && a->dtype == LM_FLOAT64) lua_pushnumber(L, ((const double *)a->data)[i * a->stride[0]]);
    else push_row(L, 1, i);
    return 2;
}

static int array_ipairs(lua_State *L)
{
    lm_checkarray(L, 1);
    lua_pushcfunction(L, index_next);
    lua_pushvalue(L, 1);
    lua_pushinteger(L, 0);
    return 3;
}

void lm_indexopen(lua_State *L)
{
    lua_pushvalue(L, -1);
    lua_pushcclosure(L, array_index, 1);
    lua_setfield(L, -3, "__index");
    lua_pushcfunction(L, array_newindex);
    lua_setfield(L, -3, "__newindex");
    lua_pushcfunction(L, array_len);
    lua_setfield(L, -3, "__len");
    lua_pushcfunction(L, array_ipairs);
    lua_setfield(L, -3, "__pairs");
}

const luaL_Reg lm_indexmethods[] = {
    {"get", array_get},     {"set", array_set},   {"shape", array_shape},   {"ndim", array_ndim},
    {"size", array_size},   {"dtype", array_dtype}, {"ipairs", array_ipairs}, {NULL, NULL},
};
