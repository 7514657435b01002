/* Communicators. Each is three of MPI's. What the ranks have agreed on may be of any length and has to meet receives made
   for it; what they have not agreed on may meet what it does not fit, and is short. So they go apart:
   comm      envelopes, collectives of values, and nonblocking ones that are not compared;
   payload   what no receive of the user's may match: payloads that do not fit into an envelope, under their sequence
             number, blocks that few ranks send to one another in collectives of values, under tags behind those,
             comparisons, and the blocking collectives of arrays that are always compared;
   later     nonblocking collectives that are compared, and blocking ones of arrays that need not be. */
#ifndef LM_COMM_H
#define LM_COMM_H

#include "object.h"

#include <mpi.h>
#include <stdint.h>

/* A communicator as MPI knows it; outlives the object unless it is freed. */
typedef struct lm_commrecord {
    struct lm_commrecord *next;
    struct lm_comm *object; /* NULL when collected */
    MPI_Comm comm, payload, later; /* MPI_COMM_NULL: an interruption ended it */
    uint64_t id;            /* the same on all of its ranks, no other's; 0: of one rank */
    int rank, size;
    long agreed;            /* collectives compared between ranks so far */
    int letters;            /* opened by a probe, not received */
    bool excused;           /* nothing is told: not the script's own, or an interruption may have kept it from freeing it */
    const char *named;      /* "mpi.COMM_WORLD", "mpi.COMM_SELF" or NULL */
    char place[64];         /* script line that made it */
} lm_commrecord;

struct lm_comm;

/* What is done with what another part keeps in a communicator's `kept`. */
typedef struct lm_keeper {
    void (*free)(lua_State *L, struct lm_comm *c); /* before the communicator is freed. Collective */
    void (*leave)(struct lm_comm *c);              /* after an interruption: what ranks share is left as it is */
} lm_keeper;

typedef struct lm_comm {
    const lm_kind *kind;
    lm_commrecord *record;
    MPI_Comm comm, payload, later; /* MPI_COMM_NULL when freed; the payload's stays while requests are open */
    int rank, size;
    uint32_t *sent;    /* messages sent so far, by destination: their sequence numbers; lives in user value 1 */
    uint32_t *posted, *taken; /* envelopes sent and received so far, by rank; live there as well */
    struct lm_letter *letters; /* opened by a probe, not yet received; kept alive by the table in user value 2 */
    struct lm_turn *turns, *last_turn; /* nonblocking collectives that have not begun, in their order */
    bool beginning;          /* the first of them is handed to MPI just now */
    unsigned collects;       /* nonblocking collectives that have not ended */
    unsigned receives;       /* nonblocking ones that wait for their envelope */
    unsigned requests;       /* open ones of any kind */
    const lm_keeper *keeper; /* NULL: nothing is kept */
    void *kept;              /* lives in user value 3 */
    const char *mapping;     /* the call whose tasks are under way: nothing else may use the communicator; or NULL */
} lm_comm;

/* Set while a Lua operator of a reduction of arrays runs, mostly inside an MPI call: no other call may start then. */
extern bool lm_in_operator;

/* Raises where MPI must not be called: in an operator, and in an isolated task. */
void lm_checkmpi(lua_State *L);

/* The communicator at arg; a freed one raises. For calls that communicate: in a map's task, and where lm_checkmpi does,
   they raise as well. */
lm_comm *lm_checkopen(lua_State *L, int arg);
lm_comm *lm_checkcomm(lua_State *L, int arg);

/* Raises: a task wants to use the communicator whose ranks are at work on its like. */
void lm_refusetask(lua_State *L, const lm_comm *c, const char *call);

/* A rank of c at arg (PROC_NULL too), named `what` in the message; none or nil gives `otherwise`. */
int lm_checkrank(lua_State *L, int arg, const lm_comm *c, const char *what, int otherwise);
int lm_checktag(lua_State *L, int arg, int otherwise);

/* Pushes a communicator made of `comm`, which it owns from then on. Collective. */
lm_comm *lm_newcomm(lua_State *L, MPI_Comm comm, const char *call);

/* The same for MPI_COMM_NULL too, where it pushes nil: this rank was left out. */
void lm_newcommornil(lua_State *L, MPI_Comm comm, const char *call);

/* Frees what lm_newcomm made. Collective. */
void lm_releasecomm(lua_State *L, lm_comm *c);

/* A request on c is over. The last one takes the channel along that payloads came on if c has been freed meanwhile;
   Open MPI frees a communicator without the other ranks. */
void lm_leavecomm(lm_comm *c);

/* The number of the next message to dest. */
#define LM_SEQUENCES ((uint32_t)1 << 30) /* there they wrap */
static inline uint32_t lm_nextsequence(lm_comm *c, int dest) { return c->sent[dest]++ % LM_SEQUENCES; }

/* All that were made and not freed, and the one with an id, or NULL. */
lm_commrecord *lm_firstrecord(void);
lm_commrecord *lm_findrecord(uint64_t id);

/* Makes the channels beside r->comm. Collective; MPI's code. */
int lm_makechannels(lm_commrecord *r);

/* Takes over what an interruption has made of the record: no messages have been sent or received. */
void lm_renewcomm(lm_comm *c);

void luaopen_comm(lua_State *L); /* adds constants, communicators and environment to the module on top of the stack */

#endif
