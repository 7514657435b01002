/* What must go on while a script computes: a timer's signal sets a hook on the running thread of Lua, and the hook
   serves at the next instruction or call. Nothing is hooked, and nothing slower, between two ticks. */
#ifndef LM_TICK_H
#define LM_TICK_H

#include <lua.h>

/* What is served. It runs inside a hook, so it may use MPI and may raise, which the running code gets; it does not
   yield. Not called while an operator runs inside MPI, nor under a hook of the script's own (debug.sethook). */
typedef void (*lm_serve)(lua_State *L);

/* Has `serve` called about every `interval` seconds while Lua code or mpi.sleep runs, until lm_stoptick. Starting it
   anew changes the interval. */
void lm_starttick(lm_serve serve, double interval);
void lm_stoptick(lm_serve serve);

/* Serves what is due: for C functions of ours that take long. They are called again after at most lm_ticking()
   seconds, 0: nothing is to be served. */
void lm_tick(lua_State *L);
double lm_ticking(void);

/* The same between two looks of a wait, which goes on as if nothing had been. Where the wait may be left it must be
   possible to raise here, too. */
void lm_tickwaiting(lua_State *L);

/* Called by a serve before it raises, on the thread that gets the error: the serve is called again after some
   instructions, each time after half as many, down to one, on every thread that runs, so that no code goes on by
   catching errors. It ends when the serve raises nothing, or here. */
void lm_insist(lua_State *L, lm_serve serve);
void lm_relent(lua_State *L, lm_serve serve);

/* Around what must not be left half done: nothing is served between them. They nest. */
void lm_holdticks(void);
void lm_releaseticks(void);

/* Called in the timer's signal handler, or NULL. */
extern void (*lm_onsignal)(void);

/* The one that is served even while an operator runs inside MPI, so it must not use MPI; or NULL. */
extern lm_serve lm_onoperator;

/* The thread that resumed or closes this one, which runs; NULL: the main thread runs by itself. */
lua_State *lm_resumer(const lua_State *L);

/* The main thread, and threads as they run: coroutine.resume, wrap and close tell which one that is. */
void luaopen_tick(lua_State *L);

#endif
