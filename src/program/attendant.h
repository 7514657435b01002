/* A thread on rank 0 that attends to a line while it runs, whatever the ranks are busy with: it shows what they print
   when that takes longer than a second, ends what takes longer than it may, and listens for Ctrl-C. */
#ifndef LM_ATTENDANT_H
#define LM_ATTENDANT_H

#include <lua.h>

int luaopen_attendant(lua_State *L);

#endif
