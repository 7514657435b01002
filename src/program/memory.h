/* Memory for the many small objects of a Lua state. */
#ifndef LM_MEMORY_H
#define LM_MEMORY_H

#include <lua.h>

/* Lets the state take its small objects from a pool, the process's only one: all states are of one thread. */
void lm_usepool(lua_State *L);

#endif
