#include "lib.h"

#include "array.h"
#include "buffer.h"
#include "collective.h"
#include "comm.h"
#include "handout.h"
#include "isolate.h"
#include "interrupt.h"
#include "journal.h"
#include "modules.h"
#include "op.h"
#include "p2p.h"
#include "recover.h"
#include "request.h"
#include "serve.h"
#include "session.h"
#include "status.h"
#include "terminal.h"
#include "tick.h"
#include "topology.h"
#include "wire.h"

#include <string.h>

/* Loader of a Lua module compiled into the binary; upvalue 1 is its row in lm_modules. It is loaded when a script first
   needs it, and would be half there if that were stopped now. */
static int lib_load(lua_State *L)
{
    const lm_module *m = lua_touserdata(L, lua_upvalueindex(1));
    if (luaL_loadbufferx(L, m->text, m->size, m->chunkname, "t") != LUA_OK) return lua_error(L);
    lua_pushvalue(L, 1);
    lm_holdticks();
    int status = lua_pcall(L, 1, 1, 0);
    lm_releaseticks();
    return status == LUA_OK ? 1 : lua_error(L);
}

/* source(name): the text of a module compiled in, or nil; source(): the list of their names. */
static int lib_source(lua_State *L)
{
    const char *name = luaL_optstring(L, 1, NULL);
    if (!name) lua_newtable(L);
    for (const lm_module *m = lm_modules; m->name; m++) {
        if (!name) {
            lua_pushstring(L, m->name);
            lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
        } else if (strcmp(m->name, name) == 0) {
            lua_pushlstring(L, m->text, m->size);
            return 1;
        }
    }
    if (name) lua_pushnil(L);
    return 1;
}

/* require "mpi.source" */
static int lib_load_source(lua_State *L)
{
    lua_pushcfunction(L, lib_source);
    return 1;
}

/* What Lua modules compiled in require. */
static const luaL_Reg parts[] = {
    {"mpi.interrupt", luaopen_interrupt},
    {"mpi.isolate.core", luaopen_isolate},
    {"mpi.journal.core", luaopen_journal},
    {"mpi.source", lib_load_source},
    {"mpi.terminal", luaopen_terminal},
    {NULL, NULL},
};

void lm_preload(lua_State *L)
{
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
    for (const lm_module *m = lm_modules; m->name; m++) {
        lua_pushlightuserdata(L, (void *)m);
        lua_pushcclosure(L, lib_load, 1);
        lua_setfield(L, -2, m->name);
    }
    luaL_setfuncs(L, parts, 0);
    lua_pop(L, 1);
}

/* Runs a module compiled in, with the table on top of the stack as its argument. */
static void lib_run(lua_State *L, const char *name)
{
    const lm_module *m = lm_modules;
    while (strcmp(m->name, name)) m++;
    if (luaL_loadbufferx(L, m->text, m->size, m->chunkname, "t") != LUA_OK) lua_error(L);
    lua_pushvalue(L, -2);
    lua_call(L, 1, 0);
}

int luaopen_mpi(lua_State *L)
{
    lm_beginsession();
    lm_preload(L);
    luaopen_tick(L);
    luaopen_recover(L);
    luaopen_buffer(L);
    luaopen_status(L);
    lua_newtable(L);
    luaopen_session(L);
    luaopen_array(L);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_pushvalue(L, -2);
    lua_setfield(L, -2, "mpi.array"); /* require "mpi.array", and it travels by name */
    lua_pop(L, 1);
    lua_setfield(L, -2, "array");
    luaopen_comm(L);
    luaopen_op(L);
    luaopen_wire(L);
    luaopen_p2p(L);
    luaopen_request(L);
    luaopen_request_list(L);
    luaopen_collective(L);
    luaopen_collective_values(L);
    luaopen_collective_reduce(L);
    luaopen_topology(L);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    luaopen_handout(L);
    lua_setfield(L, -2, "mpi.handout");
    lua_pop(L, 1);
    luaopen_serve(L);
    lib_run(L, "mpi.comm");
    lib_run(L, "mpi.gantt");
    return 1;
}
