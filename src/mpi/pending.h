/* What MPI has under way for open requests: all its handles in one array, looked at all at once, so that a thousand
   open requests cost a look hardly more than one. */
#ifndef LM_PENDING_H
#define LM_PENDING_H

#include <lua.h>
#include <mpi.h>
#include <stdbool.h>

struct lm_request;

/* Makes sure that two more handles find room; raises when memory is out. */
void lm_reservepending(lua_State *L);

/* Keeps room for n more handles that will be pended later, or no longer when n is negative. */
void lm_holdpending(int n);

/* Gives a handle into keeping, unless it is null: returns whether it was one. */
bool lm_pend(struct lm_request *r, MPI_Request *handle);

/* Looks at all; `ended` hears of each handle that MPI is done with, and may pend another in its place. */
void lm_poll(void);

/* The same, called each time MPI looks for something to do: the more there are the more seldom, so that many open
   requests do not slow other messages down. */
void lm_pollseldom(void);

void lm_onended(void (*ended)(struct lm_request *r, int code, const MPI_Status *status));

/* Cancels the only handle of a request. The code is MPI's, the status that of the end it found. */
int lm_cancelpending(struct lm_request *r, MPI_Status *status);

/* Lets go of the handles of a request that will never end. */
void lm_droppending(struct lm_request *r);

#endif
