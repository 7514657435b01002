/* Stopping what this rank runs: who asks, who is told, and the error that the running code gets. In a guarded program
   every wait for others can be left:

       while (!there yet) if (lm_stopping()) lm_raisestop(L, true);

   once what MPI has under way is cancelled, or left to the recovery. */
#ifndef LM_STOP_H
#define LM_STOP_H

#include <lua.h>
#include <mpi.h>
#include <stdbool.h>

/* Set on every rank of the job or on none: waits can be left. */
extern bool lm_guarded;

/* Whether this rank runs something that can be stopped, is to stop it, and has begun to since the last meeting. */
bool lm_running(void);
bool lm_stopping(void);
bool lm_stopped(void);

/* Raises "interrupted in comm:recv(source=1) at script.lua:3", the wait being lm_waits; outside of a wait
   "interrupted at script.lua:3". */
int lm_raisestop(lua_State *L, bool waiting);

/* Asks every rank to stop what it runs, from any place but a signal handler; `stuck`: because no rank can go on. */
void lm_stop(bool stuck);

/* Set by who knows the terminal: whether the person asked to stop. Called often, also in signal handlers. */
extern bool (*lm_stopasked)(void);

/* The program is guarded from now on; `control` has the ranks of MPI_COMM_WORLD. */
void lm_startstops(MPI_Comm control);

/* Around what can be stopped, and when all ranks have met after it. */
void lm_beginrun(void);
void lm_endrun(lua_State *L, bool failed);
void lm_nextrun(void);

#endif
