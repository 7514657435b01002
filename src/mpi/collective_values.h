/* What collectives of Lua values are made of: a call, the value it takes along, and the two ways of a value that
   reductions need. */
#ifndef LM_COLLECTIVE_VALUES_H
#define LM_COLLECTIVE_VALUES_H

#include "buffer.h"
#include "collective.h"

typedef struct lm_valuecall {
    lua_State *L;
    lm_comm *c;
    const char *name;
    const char *mistake; /* this rank's, which all will raise; or NULL */
    int root;            /* < 0: none */
    lm_opid op;
    struct block *blocks; /* memory for those of all ranks, where they are many; or NULL */
} lm_valuecall;

/* One encoded value, or the message that says why there is none: bytes of a buffer from `at` on. */
typedef struct lm_parcel {
    size_t at, size;
    bool failed;
} lm_parcel;

/* The call of this name on the communicator at arg 1, with the root at root_arg unless that is 0. */
lm_valuecall lm_begincall(lua_State *L, const char *name, int root_arg);

/* All ranks make the same call without a mistake, or raise; with `always` also when calls are no longer compared. */
void lm_agreecall(lm_valuecall *k, bool always);

/* Pushes a buffer of this call's own: a finalizer may use the shared one while MPI is at work. */
lm_buffer *lm_ownbuffer(lua_State *L);

/* Appends the encoding of the value at index to b, or the message of the failure. */
lm_parcel lm_encodeparcel(lua_State *L, int index, lm_buffer *b);

/* Appends the message of the error on top of the stack, and pops it. Never raises: without memory for all of it the
   buffer takes what it has room for. */
lm_parcel lm_messageparcel(lua_State *L, lm_buffer *b);

/* Pushes the message of a parcel that failed; else NULL, and nothing is pushed. */
const char *lm_parcelmistake(lua_State *L, const lm_parcel *p, const lm_buffer *b);

/* Pushes what the root of a gathering needs of memory, nil elsewhere: before the ranks agree, for nothing may raise until
   all is here. */
void lm_gathermemory(lm_valuecall *k, int root);

/* Gathers this rank's parcel at root, and pushes the list there, nil elsewhere. Raises when no rank waits for this one. */
void lm_gathervalues(lm_valuecall *k, int root, const lm_parcel *p, const lm_buffer *b);

/* Sends the root's parcel to all; elsewhere pushes the value (or the message, then returns false). Raises at the end. */
bool lm_bcastvalue(lm_valuecall *k, int root, const lm_parcel *p, const lm_buffer *b);

#endif
