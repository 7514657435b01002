/* Stopping what a script does, wherever it is, so that all ranks can go on with something else: for the prompt and the
   test runner. What is to be stopped runs by interrupt.run; afterwards all ranks meet.

   In a guarded program every wait for others is one that can be left. A receive is cancelled. A send becomes an orphan,
   which the receiving rank takes when the ranks meet. A collective begins with an agreement; a rank that waits in one
   leaves it when the ranks that did not come have joined it just to say so: then it ends the same way for all. */
#ifndef LM_INTERRUPT_H
#define LM_INTERRUPT_H

#include "comm.h"

/* The sum of words on c's second channel that opens a collective of guarded ranks; a third word is for
   this use. False: some rank is not coming. */
bool lm_sumguarded(lua_State *L, lm_comm *c, uint64_t words[3], const char *call);

int luaopen_interrupt(lua_State *L); /* pushes the module mpi.interrupt */

#endif
