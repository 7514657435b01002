/* Cartesian topologies: ranks on a grid. A communicator that has one is made by comm:cart. */
#ifndef LM_TOPOLOGY_H
#define LM_TOPOLOGY_H

#include "comm.h"

#define LM_MAXGRID 16 /* dimensions */

/* This rank's neighbours in MPI's order, for each dimension the lower, then the higher; PROC_NULL beyond a border.
   Returns how many. Raises, and so on all ranks, where the communicator has no topology. */
int lm_neighbours(lua_State *L, const lm_comm *c, const char *call, int peers[2 * LM_MAXGRID]);

void luaopen_topology(lua_State *L); /* adds to the module on top of the stack and to its communicators' methods */

#endif
