#ifndef LM_LIB_H
#define LM_LIB_H

#include <lua.h>

int luaopen_mpi(lua_State *L);

#endif
