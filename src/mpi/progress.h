/* Waiting politely: MPI's blocking calls spin; here a rank that has waited a moment naps between looks, and one that
   waits very long says where. Both hang on Open MPI's progress loop, so every blocking MPI call waits this way at no
   cost while messages flow. */
#ifndef LM_PROGRESS_H
#define LM_PROGRESS_H

#include "deadlock.h"

#include <lua.h>

/* What this rank is about to wait in; read only when the waiting takes long. */
typedef struct lm_waiting {
    lua_State *L; /* whose current line is the place; NULL: the program is leaving */
    const char *call; /* a method of communicators, or a full name: "mpi.pool", "future:get" */
    const char *peer; /* "source", "dest", "root", or NULL */
    int rank, tag;    /* of the peer; tag < 0: none to speak of */
    int leaving;      /* as the board takes it */
    bool moving;      /* for a payload that its sender has begun to send: not for ever, and with data to move */
    bool serving;     /* for work, which may take any time to come: nothing to speak of */
    bool limited;     /* for some time only: no part of a deadlock */
} lm_waiting;

extern lm_waiting lm_waits;
extern unsigned lm_idle; /* looks in vain since lm_wait */

/* Ends what must not be left half done when this rank turns to another call, or NULL. */
extern void (*lm_unsettled)(void);

/* Called before every MPI call that may block. */
static inline void lm_wait(lua_State *L, const char *call, const char *peer, int rank, int tag)
{
    if (lm_unsettled) lm_unsettled();
    lm_waits = (lm_waiting){L, call, peer, rank, tag, .leaving = LM_RUNNING};
    lm_idle = 0;
}

/* The same before waiting for a payload. */
static inline void lm_waitmoving(lua_State *L, const char *call, const char *peer, int rank, int tag)
{
    lm_wait(L, call, peer, rank, tag);
    lm_waits.moving = true;
}

/* Payloads that are under way in the background. */
extern unsigned lm_moves;

/* What the calls that wait now belong to, "map", or NULL; and the longest nap between looks, in seconds: where many wait
   for one another and someone for them, it may be shorter for a while. */
extern const char *lm_within;
extern double lm_longest_nap;
#define LM_NAP 1e-3

/* "comm:recv(source=1, tag=11) at script.lua:14": the wait. Reads the Lua stack but runs nothing. */
const char *lm_waitplace(char *text, size_t room);

/* What a rank that has waited a moment does between its naps, or NULL. It returns whether a long wait is of interest. */
extern bool (*lm_onwait)(void);

/* What goes on while MPI waits, or NULL; called each time MPI looks for something to do, also from calls it makes. */
extern void (*lm_background)(void);

/* The same of the maps under way, which answer other ranks while this one waits. */
extern void (*lm_serving)(void);

/* Seconds after which a waiting rank says so, doubled each time; 0 is never. */
extern double lm_watch;

void lm_startprogress(void); /* after MPI_Init */

#endif
