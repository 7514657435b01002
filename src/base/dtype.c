#include "dtype.h"

#include <lauxlib.h>
#include <stdint.h>
#include <string.h>

const lm_dtypeinfo lm_dtypes[LM_DTYPES] = {
    [LM_FLOAT64] = {"float64", "<f8", 'f', 8}, [LM_FLOAT32] = {"float32", "<f4", 'f', 4},
    [LM_INT8] = {"int8", "|i1", 'i', 1},       [LM_INT16] = {"int16", "<i2", 'i', 2},
    [LM_INT32] = {"int32", "<i4", 'i', 4},     [LM_INT64] = {"int64", "<i8", 'i', 8},
    [LM_UINT8] = {"uint8", "|u1", 'u', 1},     [LM_UINT16] = {"uint16", "<u2", 'u', 2},
    [LM_UINT32] = {"uint32", "<u4", 'u', 4},   [LM_UINT64] = {"uint64", "<u8", 'u', 8},
};

lm_dtype lm_checkdtype(lua_State *L, int arg, lm_dtype otherwise)
{
    if (lua_isnoneornil(L, arg)) return otherwise;
    if (lua_type(L, arg) == LUA_TNUMBER)
        luaL_argerror(L, arg, lua_pushfstring(L, "a dtype expected, got the number %s; a shape of several dimensions is a "
                                              "list, as {2, 3}", luaL_tolstring(L, arg, NULL)));
    const char *name = luaL_checkstring(L, arg);
    for (int d = 0; d < LM_DTYPES; d++)
        if (!strcmp(name, lm_dtypes[d].name)) return (lm_dtype)d;
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    for (int d = 0; d < LM_DTYPES; d++) {
        if (d) luaL_addchar(&b, ' ');
        luaL_addstring(&b, lm_dtypes[d].name);
    }
    luaL_pushresult(&b);
    return (lm_dtype)luaL_argerror(L, arg, lua_pushfstring(L, "unknown dtype '%s'; known are: %s", name, lua_tostring(L, -1)));
}

lm_dtype lm_promote(lm_dtype a, lm_dtype b)
{
    const lm_dtypeinfo *x = &lm_dtypes[a], *y = &lm_dtypes[b];
    if (x->kind == y->kind) return x->size >= y->size ? a : b;
    if (x->kind == 'f') return x->size == 8 || y->size <= 2 ? a : LM_FLOAT64;
    if (y->kind == 'f') return lm_promote(b, a);
    if (x->kind == 'u') return lm_promote(b, a);
    if (x->size > y->size) return a;
    return y->size == 1 ? LM_INT16 : y->size == 2 ? LM_INT32 : y->size == 4 ? LM_INT64 : LM_FLOAT64;
}

void lm_pushelement(lua_State *L, lm_dtype dtype, const void *p)
{
    switch (dtype) {
    case LM_FLOAT64: lua_pushnumber(L, *(const double *)p); break;
    case LM_FLOAT32: lua_pushnumber(L, *(const float *)p); break;
    case LM_INT8: lua_pushinteger(L, *(const int8_t *)p); break;
    case LM_INT16: lua_pushinteger(L, *(const int16_t *)p); break;
    case LM_INT32: lua_pushinteger(L, *(const int32_t *)p); break;
    case LM_INT64: lua_pushinteger(L, *(const int64_t *)p); break;
    case LM_UINT8: lua_pushinteger(L, *(const uint8_t *)p); break;
    case LM_UINT16: lua_pushinteger(L, *(const uint16_t *)p); break;
    case LM_UINT32: lua_pushinteger(L, *(const uint32_t *)p); break;
    default: lua_pushinteger(L, (lua_Integer)*(const uint64_t *)p); break;
    }
}

void lm_setelement(lua_State *L, int arg, lm_dtype dtype, void *p)
{
    if (lm_dtypes[dtype].kind == 'f') {
        lua_Number x = luaL_checknumber(L, arg);
        if (dtype == LM_FLOAT64) *(double *)p = x;
        else *(float *)p = (float)x;
        return;
    }
    lua_Integer i = luaL_checkinteger(L, arg);
    memcpy(p, &i, lm_dtypes[dtype].size); /* little-endian: the low bytes, so integers wrap */
}
