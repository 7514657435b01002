/* The module: what require "mpi" returns. */
#ifndef LM_LIB_H
#define LM_LIB_H

#include <lua.h>

/* Starts MPI when it is not running, and is collective then. */
__attribute__((visibility("default"))) int luaopen_mpi(lua_State *L);

/* Makes the Lua modules compiled in known to require. */
void lm_preload(lua_State *L);

#endif
