#ifndef LM_P2P_H
#define LM_P2P_H

#include <lua.h>

void luaopen_p2p(lua_State *L); /* adds the methods to the communicators of the module on top of the stack */

#endif
