/* The terminal the program was started from, if any. */
#ifndef LM_TERMINAL_H
#define LM_TERMINAL_H

#include <lua.h>

int luaopen_terminal(lua_State *L); /* require "mpi.terminal" */

#endif
