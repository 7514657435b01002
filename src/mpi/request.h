/* Requests: what isend, irecv and the nonblocking collectives return. An open request is kept alive with all it uses,
   and goes on while its rank waits in any call. */
#ifndef LM_REQUEST_H
#define LM_REQUEST_H

#include "message.h"
#include "turn.h"

typedef struct lm_mark {
    lm_block *block; /* NULL: nothing marked */
    lm_flight flight;
} lm_mark;

typedef struct lm_request {
    const lm_kind *kind;
    struct lm_request *next, **link; /* in the list of open ones, or of finished ones */
    lua_State *L;            /* the main thread: its allocator */
    enum { LM_NOTHING, LM_SENDS, LM_RECEIVES, LM_COLLECTS } type;
    enum { LM_WAITS, LM_MOVES, LM_COMPLETE } state; /* for the envelope, for the payload; then MPI is done with it */
    enum { LM_UNMADE, LM_MAKING, LM_MADE, LM_SPOILED } result; /* user value 2 is it, or for the last why there is none */
    bool observed;  /* the script has seen it complete */
    bool refused, cancelled, no_memory;
    unsigned era;   /* how many interruptions were before it */
    bool abandoned; /* by an interruption: it may never complete */
    bool closed;    /* by its finalizer */
    int code;       /* MPI's, of what went wrong in the background */
    const char *call;
    const char *peer;
    int rank, tag;
    char place[64]; /* script line that made it */
    lm_comm *c;
    lm_outgoing out;
    MPI_Request mpi;        /* until it is pending, as are those of out */
    int parts;              /* how many are pending */
    lm_array *array;        /* received into; NULL: a value, or a collective without a result here */
    char *room;             /* where the body or the result arrives: the array's own memory, or packed */
    lm_envelope *envelope;
    lm_buffer *buffer;      /* of a value: what is sent, or room for its payload */
    lm_arrival from;
    void (*finish)(lua_State *L, struct lm_request *r, int index); /* completes the result of a collective; may raise */
    lm_mark marks[2];
    lm_turn *turn; /* of a collective */
} lm_request;

/* Pushes a request that nothing has been started for. `comm` is the communicator's stack index. */
lm_request *lm_newrequest(lua_State *L, int comm, const char *call, const char *peer, int rank, int tag);

/* Marks an array's memory as in use by the request at the top of the stack, and keeps the array at `index` alive. */
void lm_markarray(lua_State *L, lm_request *r, int index, bool receiving);

/* Keeps the value on top of the stack alive as long as the request below it, and pops it. */
void lm_keep(lua_State *L);

/* Opens a collective's request, which waits for its turn; that is asked for. */
void lm_openturn(lua_State *L, lm_request *r, lm_turn *t, bool compares);

/* Its turn has begun with r->mpi, or nothing if that is null. */
void lm_requestbegun(lm_request *r, int code);

/* The request at `index`, NULL when it is none. */
lm_request *lm_testrequest(lua_State *L, int index);

/* Whether nothing more will happen to the request. */
static inline bool lm_requestover(const lm_request *r) { return r->state == LM_COMPLETE || r->abandoned; }

/* Waits until it is over. */
void lm_waitrequest(lua_State *L, lm_request *r);

/* Pushes value and status of the request at `index`, which is over; raises what went wrong on the way. → 2 */
int lm_pushresult(lua_State *L, int index, lm_request *r);

/* Whether requests are open that only other ranks can end; those that no script has waited for count as missed. */
bool lm_missrequests(void);

/* For a recovery: receives that wait are cancelled; whether all that moves has moved; and collectives that not every
   rank began are left, with their arrays in use for ever. */
void lm_droprequests(void);
bool lm_requestsmoved(void);
void lm_abandonrequests(void);

void luaopen_request(lua_State *L);      /* adds isend … to the communicators of the module on top of the stack */
void luaopen_request_list(lua_State *L); /* adds waitall … to that module */

#endif
