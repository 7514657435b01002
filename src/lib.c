/* The module: what require "mpi" returns. */
#include "lib.h"

#include "array.h"
#include "buffer.h"
#include "modules.h"
#include "wire.h"

/* Loader of a Lua module compiled into the binary; upvalue 1 is its row in lm_modules. */
static int lib_load(lua_State *L)
{
    const lm_module *m = lua_touserdata(L, lua_upvalueindex(1));
    if (luaL_loadbufferx(L, m->text, m->size, m->chunkname, "t") != LUA_OK) return lua_error(L);
    lua_pushvalue(L, 1);
    lua_call(L, 1, 1);
    return 1;
}

int luaopen_mpi(lua_State *L)
{
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
    for (const lm_module *m = lm_modules; m->name; m++) {
        lua_pushlightuserdata(L, (void *)m);
        lua_pushcclosure(L, lib_load, 1);
        lua_setfield(L, -2, m->name);
    }
    lua_pop(L, 1);
    luaopen_buffer(L);
    lua_newtable(L);
    luaopen_wire(L);
    luaopen_array(L);
    lua_setfield(L, -2, "array");
    return 1;
}
