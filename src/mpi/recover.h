/* After an interruption: messages that nobody took are taken, sends end, and the communicators are made anew, so that
   nothing of what was stopped meets what comes. */
#ifndef LM_RECOVER_H
#define LM_RECOVER_H

#include "message.h"

/* Leaves a send under way to the next recovery, with all values of the running C function, which keep its memory. */
void lm_orphan(lua_State *L, const lm_outgoing *o);

/* Has `leave` called at a recovery: to forget what an interruption has ended. */
void lm_atrecovery(void (*leave)(void));

/* Collective over `control`, which has the ranks of MPI_COMM_WORLD. */
void lm_recover(lua_State *L, MPI_Comm control);

void luaopen_recover(lua_State *L); /* pushes nothing */

#endif
