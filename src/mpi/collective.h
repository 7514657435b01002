/* Collectives. Values and arrays share the reading of arguments: a mistake is kept, not raised, so that every rank can
   raise it. */
#ifndef LM_COLLECTIVE_H
#define LM_COLLECTIVE_H

#include "comm.h"
#include "op.h"

/* Keeps the first mistake: pushes "bad argument #2 to 'Bcast' (…)" as luaL_argerror words it. */
void lm_mistake(lua_State *L, const char **mistake, int arg, const char *call, const char *format, ...);

/* The root at arg, 0 when none is given; or a mistake. */
int lm_readroot(lua_State *L, int arg, const lm_comm *c, const char *call, const char **mistake);

/* The operator at arg, or a mistake. */
lm_opid lm_readop(lua_State *L, int arg, const char *call, const char **mistake);

/* All add to the module on top of the stack and to its communicators' methods. */
void luaopen_collective(lua_State *L);        /* of arrays, and barrier */
void luaopen_collective_values(lua_State *L); /* of any values */
void luaopen_collective_reduce(lua_State *L); /* that combine any values */

#endif
