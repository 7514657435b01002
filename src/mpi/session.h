/* MPI's life in this process: begun with the module, ended with the process, however that ends. */
#ifndef LM_SESSION_H
#define LM_SESSION_H

#include <lua.h>
#include <stdbool.h>

/* "luampi 0.1.0  (Lua 5.4, Open MPI v4.1.4)". */
const char *lm_version(void);

/* Starts MPI unless it runs already. Collective. */
void lm_beginsession(void);

/* Has `end` called when the program ends well, before the ranks meet for the last time or (met) after it: it ends what
   was left open, writes a line of each, and returns how many lines there were. */
void lm_atend(int (*end)(void), bool met);

/* Ends the whole job at once; lm_onabort, if any, is called first. */
extern void (*lm_onabort)(void);
_Noreturn void lm_abort(int status);

/* Set when the program has come to its end by itself: a status of 0 is then no os.exit(0). */
extern bool lm_ended;

/* Set in a forked child that runs one task: it has no part in MPI, and must not call it. */
extern bool lm_isolated;

/* Whether this rank is the first of its job on this machine to fail: only that one speaks. The others wait here until
   the first one's abort ends them. */
void lm_fail(void);

void luaopen_session(lua_State *L); /* adds wtime, sleep, abort … to the module on top of the stack */

#endif
