/* For tests of the wire: values made by Lua code. */
#ifndef CHUNK_H
#define CHUNK_H

#include "array.h"
#include "buffer.h"
#include "wire.h"

#include <lualib.h>
#include <string.h>

/* Pushes the n results of the chunk, which gets an array with this many rows and columns, and finds of the module mpi
   what the wire brings. */
static int chunk_run(lua_State *L, const char *chunk, int64_t rows, int64_t columns, int n)
{
    luaL_openlibs(L);
    luaopen_buffer(L);
    lua_newtable(L);
    luaopen_wire(L);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_pushvalue(L, -2);
    lua_setfield(L, -2, "mpi");
    lua_pushvalue(L, -2);
    lua_setglobal(L, "mpi");
    if (luaL_loadstring(L, chunk)) return lua_error(L);
    lm_array *a = lm_newarray(L, LM_FLOAT64, 2, (int64_t[]){rows, columns});
    memset(a->data, 0, lm_bytes(a));
    lua_call(L, 1, n);
    return n;
}

#endif
