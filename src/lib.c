#include "lib.h"

#include "array.h"
#include "buffer.h"
#include "collective.h"
#include "comm.h"
#include "modules.h"
#include "op.h"
#include "p2p.h"
#include "session.h"
#include "status.h"
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

static void lib_preload(lua_State *L)
{
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
    for (const lm_module *m = lm_modules; m->name; m++) {
        lua_pushlightuserdata(L, (void *)m);
        lua_pushcclosure(L, lib_load, 1);
        lua_setfield(L, -2, m->name);
    }
    lua_pop(L, 1);
}

int luaopen_mpi(lua_State *L)
{
    lm_beginsession();
    lib_preload(L);
    luaopen_buffer(L);
    luaopen_status(L);
    lua_newtable(L);
    luaopen_session(L);
    luaopen_array(L);
    lua_setfield(L, -2, "array");
    luaopen_comm(L);
    luaopen_op(L);
    luaopen_wire(L);
    luaopen_p2p(L);
    luaopen_collective(L);
    luaopen_collective_values(L);
    return 1;
}
