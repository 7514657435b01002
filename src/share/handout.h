/* The hand-out of work: which rank does which items of a map.

   The ranks of a node share a stock in memory: a common range of items, of which every rank takes the next ones, and a
   range of each rank's own, of which idle ranks take from the far end. Nobody keeps the stock: taking is an atomic
   operation, so nobody waits for a rank that is busy. Between nodes ranges travel as notes (talk.h), and the items of a
   generator come from the rank that reads it (stream.h). */
#ifndef LM_HANDOUT_H
#define LM_HANDOUT_H

#include <lauxlib.h>
#include <lua.h>
#include <stdint.h>

/* How many maps this rank has begun; and the end, on this rank, of those begun since that are still under way, for who
   has stopped what ran, wherever it was. */
uint64_t lm_mapsbegun(void);
void lm_abandonmaps(uint64_t since);

/* Functions of the module mpi.handout besides the hand-out itself. */
extern const luaL_Reg lm_resultfunctions[];

void luaopen_handout(lua_State *L); /* makes the metatable; pushes the module mpi.handout */

#endif
