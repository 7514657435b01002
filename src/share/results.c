/* What maps do with items and results that Lua alone would do slowly, or not at all. */
#include "array.h"
#include "handout.h"
#include "op.h"

#include <limits.h>
#include <string.h>

/* list(n): a table with room for n entries and n itself. */
static int results_list(lua_State *L)
{
    lua_Integer n = luaL_checkinteger(L, 1);
    lua_createtable(L, n <= INT_MAX ? (int)n : 0, 1);
    lua_pushinteger(L, n);
    lua_setfield(L, -2, "n");
    return 1;
}

/* The next first and last from the list of segments at index, from entry s on. */
static void segment_get(lua_State *L, int index, lua_Integer s, lua_Integer *first, lua_Integer *last)
{
    lua_rawgeti(L, index, s);
    lua_rawgeti(L, index, s + 1);
    *first = lua_tointeger(L, -2);
    *last = lua_tointeger(L, -1);
    lua_pop(L, 2);
}

/* numbers(values, n, segments): the n entries that the segments (first, last, first, last …) are as they are in memory,
   as an int64 array, and whether they are floats; nil unless all are integers or all are floats. */
static int results_numbers(lua_State *L)
{
    int64_t n = luaL_checkinteger(L, 2), k = 0;
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checktype(L, 3, LUA_TTABLE);
    lua_Integer first, last, ends = (lua_Integer)lua_rawlen(L, 3);
    segment_get(L, 3, 1, &first, &last);
    if (lua_rawgeti(L, 1, first) != LUA_TNUMBER) return 0;
    bool floats = !lua_isinteger(L, -1);
    char *to = lm_newarray(L, LM_INT64, 1, &n)->data;
    for (lua_Integer s = 1; s < ends; s += 2) {
        segment_get(L, 3, s, &first, &last);
        if (last - first >= n - k) return luaL_error(L, "there are more results than items");
        for (lua_Integer i = first; i <= last; i++, k++, to += 8) {
            lua_rawgeti(L, 1, i);
            if (lua_isinteger(L, -1) == floats || (floats && lua_type(L, -1) != LUA_TNUMBER)) return 0;
            if (floats) memcpy(to, &(lua_Number){lua_tonumber(L, -1)}, 8);
            else memcpy(to, &(lua_Integer){lua_tointeger(L, -1)}, 8);
            lua_pop(L, 1);
        }
    }
    if (k < n) return luaL_error(L, "there are more items than results");
    lua_pushboolean(L, floats);
    return 2;
}

/* place(results, values, segments[, floats]): the values, a list or what numbers made of one, go where the segments say:
   first, last, first, last … */
static int results_put(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checktype(L, 3, LUA_TTABLE);
    const lm_array *a = lm_toarray(L, 2);
    if (!a) luaL_checktype(L, 2, LUA_TTABLE);
    bool floats = lua_toboolean(L, 4);
    lua_Integer k = 0, n = (lua_Integer)lua_rawlen(L, 3);
    for (lua_Integer s = 1; s < n; s += 2) {
        lua_Integer first, last;
        segment_get(L, 3, s, &first, &last);
        if (a && last - first >= a->size - k) return luaL_error(L, "there are more items than results");
        for (lua_Integer i = first; i <= last; i++, k++) {
            lua_Number x;
            if (!a) {
                lua_rawgeti(L, 2, k + 1);
            } else if (floats) {
                memcpy(&x, a->data + 8 * k, 8);
                lua_pushnumber(L, x);
            } else {
                lua_pushinteger(L, ((int64_t *)(void *)a->data)[k]);
            }
            lua_rawseti(L, 1, i);
        }
    }
    return 0;
}

/* random(): the state of math.random as a string; random(state): puts it back. The state is the upvalue of that
   function; nil when another one took its place. */
static int results_random(lua_State *L)
{
    lua_getglobal(L, "math");
    if (lua_istable(L, -1) && lua_getfield(L, -1, "random") == LUA_TFUNCTION && lua_iscfunction(L, -1) && lua_getupvalue(L, -1, 1) &&
        lua_type(L, -1) == LUA_TUSERDATA) {
        size_t size = lua_rawlen(L, -1), given;
        const char *state = lua_tolstring(L, 1, &given);
        if (state && given == size) memcpy(lua_touserdata(L, -1), state, size);
        lua_pushlstring(L, lua_touserdata(L, -1), size);
        return 1;
    }
    return 0;
}

static int results_is_array(lua_State *L)
{
    lua_pushboolean(L, lm_toarray(L, 1) != NULL);
    return 1;
}

/* is_operator(op): whether it combines values */
static int results_is_operator(lua_State *L)
{
    lua_settop(L, 1);
    lua_pushboolean(L, lm_testop(L, 1) <= LM_FUNCTION);
    return 1;
}

/* combine(op, a, b) */
static int results_combine(lua_State *L)
{
    lua_settop(L, 3);
    lm_combine(L, lm_testop(L, 1), 1);
    return 1;
}

/* copy_rows(a, segments, s, skip, piece, pack) → s, skip: rows of a go into the piece (pack is true), or come from it
   (false), or nothing moves (nil). Which rows: segments is a list of first, last, first, last …; the piece begins in the
   segment at s, whose first `skip` rows went before, and ends where the results say. */
static int results_copy_rows(lua_State *L)
{
    lm_array *a = lm_checkarray(L, 1), *piece = lm_checkarray(L, 5);
    lua_Integer s = luaL_checkinteger(L, 3), skip = luaL_checkinteger(L, 4);
    bool moves = !lua_isnil(L, 6), pack = lua_toboolean(L, 6);
    size_t row = piece->shape[0] ? lm_bytes(piece) / (size_t)piece->shape[0] : 0;
    if (moves && !pack) lm_checkwrite(L, a);
    for (int64_t at = 0; at < piece->shape[0];) {
        lua_rawgeti(L, 2, s);
        lua_rawgeti(L, 2, s + 1);
        int64_t first = lua_tointeger(L, -2) + skip, last = lua_tointeger(L, -1), n = piece->shape[0] - at;
        lua_pop(L, 2);
        if (first < 1 || last > a->shape[0] || last < first) return luaL_error(L, "the rows are not the array's");
        if (n > last - first + 1) n = last - first + 1;
        if (moves && a->contiguous) {
            char *in_array = a->data + (size_t)(first - 1) * row, *in_piece = piece->data + (size_t)at * row;
            memcpy(pack ? in_piece : in_array, pack ? in_array : in_piece, (size_t)n * row);
        } else if (moves) {
            lm_array *from = lm_newview(L, 1);
            from->data += (first - 1) * from->stride[0] * lm_dtypes[a->dtype].size;
            from->shape[0] = n;
            lm_settle(from);
            if (pack) lm_pack(from, piece->data + (size_t)at * row);
            else lm_unpack(from, piece->data + (size_t)at * row);
            lua_pop(L, 1);
        }
        at += n;
        bool ended = first + n > last;
        skip = ended ? 0 : skip + n;
        if (ended) s += 2;
    }
    lua_pushinteger(L, s);
    lua_pushinteger(L, skip);
    return 2;
}

const luaL_Reg lm_resultfunctions[] = {
    {"list", results_list},
    {"numbers", results_numbers},
    {"place", results_put},
    {"copy_rows", results_copy_rows},
    {"random", results_random},
    {"is_array", results_is_array},
    {"is_operator", results_is_operator},
    {"combine", results_combine},
    {NULL, NULL},
};
