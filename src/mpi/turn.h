/* Nonblocking collectives take turns. Each asks at once whether every rank makes the same call; it begins when all have
   agreed and those before it have begun, as this must be in one order on every rank. Where the ranks differ they tell
   one another what each wanted, and no data moves. One that does not ask begins at once, on a channel where this is the
   order of the script, as it is for the making of communicators. */
#ifndef LM_TURN_H
#define LM_TURN_H

#include "agree.h"

struct lm_request;

typedef struct lm_turn {
    struct lm_turn *next; /* behind it on the same communicator */
    struct lm_request *request;
    lm_comm *c;
    lm_intent intent;
    uint64_t remainder;   /* zero when summed up over ranks whose blocks fit */
    int (*begin)(struct lm_turn *t, MPI_Comm comm); /* starts the request's MPI call; its code */
    uint64_t words[3];    /* what the ranks sum up */
    enum { LM_ASKS, LM_UNASKED, LM_AGREED, LM_DIFFER, LM_STOPPED } answer;
    bool begun;
    char *texts; /* what each rank wanted, when they differ */
} lm_turn;

/* Queues a turn whose request is open, and asks; or begins it, where it need not. */
void lm_taketurn(lm_turn *t, bool compares);

/* The ranks have answered. Raises nothing: also called while MPI waits. */
void lm_answered(lm_turn *t);

/* Waits until all nonblocking collectives on c have ended: Open MPI goes on with them when the communicator is gone. */
void lm_endturns(lua_State *L, lm_comm *c, const char *call);

/* Forgets those that have not begun. */
void lm_leaveturns(lm_comm *c);

#endif
