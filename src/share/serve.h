#ifndef LM_SERVE_H
#define LM_SERVE_H

#include <lua.h>

void luaopen_serve(lua_State *L); /* makes the module mpi.serve, which mpi.pool is built on; pushes nothing */

#endif
