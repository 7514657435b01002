/* Stopping what a script does, wherever it is, so that all ranks can go on with something else: for the prompt and the
   test runner. What is to be stopped runs by interrupt.run; afterwards all ranks meet.

   In a guarded program every wait for others is one that can be left. A receive is cancelled. A send becomes an orphan,
   which the receiving rank takes when the ranks meet. A collective begins with an agreement; a rank that waits in one
   leaves it when the ranks that did not come have joined it just to say so: then it ends the same way for all. */
#ifndef LM_INTERRUPT_H
#define LM_INTERRUPT_H

#include "comm.h"

/* Set on every rank of the job or on none: waits can be left. */
extern bool lm_guarded;

/* Whether this rank is to stop what it runs. */
bool lm_stopping(void);

/* Whether this rank runs something that can be stopped. */
bool lm_running(void);

/* Raises "interrupted in comm:recv(source=1) at script.lua:3", the wait being lm_waits; outside of a wait
   "interrupted at script.lua:3". */
int lm_raisestop(lua_State *L, bool waiting);

/* Asks every rank to stop what it runs, from any place but a signal handler; `stuck`: because no rank can go on. */
void lm_stop(bool stuck);

/* Set by who knows the terminal: whether the person asked to stop. Called often, also in signal handlers. */
extern bool (*lm_stopasked)(void);

/* The reduction (MAX) of words on c's second channel that opens a collective of guarded ranks; a third word is for
   this use. False: some rank is not coming. */
bool lm_reduceguarded(lua_State *L, lm_comm *c, uint64_t words[3], const char *call);

int luaopen_interrupt(lua_State *L); /* pushes the module mpi.interrupt */

#endif
