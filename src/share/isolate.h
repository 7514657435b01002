/* A task in a forked child of its rank: whatever it does there, the rank and its MPI stay as they are. */
#ifndef LM_ISOLATE_H
#define LM_ISOLATE_H

#include <lua.h>

int luaopen_isolate(lua_State *L); /* require "mpi.isolate.core" */

#endif
