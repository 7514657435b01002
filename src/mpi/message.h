/* Messages between two ranks.

   A message is an envelope of at most 4000 bytes: a head that says what it is, and the body when it fits. A longer
   body follows as the payload, on the communicator's second channel under the sequence number as tag. A receive takes
   the envelope into room for the longest one, so nothing can overflow, and knows kind, dtype and size before the
   user's memory is touched. Long values may also travel as streams, see chunks.h. */
#ifndef LM_MESSAGE_H
#define LM_MESSAGE_H

#include "array.h"
#include "buffer.h"
#include "comm.h"

typedef enum lm_content {
    LM_VALUE, LM_ARRAY,
    LM_STREAM, /* the beginning of a value, in the envelope; behind it come */
    LM_MORE,   /* chunks of it, and one of */
    LM_LAST,   /* the last chunk, */
    LM_REST,   /* the payload behind it is the rest, */
    LM_WHOLE,  /* the payload behind it is the whole value, which what came before is not, */
    LM_NEVER   /* it could not be encoded: there is no message */
} lm_content;

typedef struct lm_head {
    uint8_t content, dtype;
    uint32_t sequence; /* counts the messages from this sender to this receiver */
    uint64_t bytes;    /* of the body, or of this part of it */
} lm_head;

#define LM_EAGER 4000
#define LM_ROOM (LM_EAGER - sizeof(lm_head))

typedef struct lm_envelope {
    lm_head head;
    char body[LM_ROOM];
} lm_envelope;

/* Where a message came from. */
typedef struct lm_arrival {
    int source, tag;
} lm_arrival;

/* --- sending --- */

typedef enum lm_mode {
    LM_STANDARD, LM_SYNCHRONOUS, /* both block until the envelope is away */
    LM_CONCURRENT, LM_SYNCHRONOUS_CONCURRENT
} lm_mode;

/* A send under way: its envelope, and the payload behind it. */
typedef struct lm_outgoing {
    const char *call;
    int dest, tag;
    lm_mode mode;
    MPI_Request parts[2];
} lm_outgoing;

/* Where a message of this C function is encoded until its send is complete: shared memory or the given one, but memory
   of its own, pushed, in a guarded program, where the send may outlive the function. */
lm_buffer *lm_sendbuffer(lua_State *L);
lm_envelope *lm_sendenvelope(lua_State *L, lm_envelope *local);

/* Begins to send the value at index, encoded into b, which must stay as it is until the completion. In two steps: once
   it is encoded, sending it needs no memory. */
void lm_sendvalue(lua_State *L, lm_comm *c, lm_outgoing *o, int index, lm_buffer *b);
void lm_encodebody(lua_State *L, int index, lm_buffer *b);
void lm_sendbody(lua_State *L, lm_comm *c, lm_outgoing *o, const lm_buffer *b);

/* What MPI is to send of an array: its own memory, or a packed copy of a strided one, which is pushed; else nil is. */
const void *lm_arraybody(lua_State *L, const lm_array *a);

/* Begins to send an array. It, its body and the envelope must stay as they are until the completion. */
void lm_sendarray(lua_State *L, lm_comm *c, lm_outgoing *o, const lm_array *a, const void *body, lm_envelope *e);

/* The head of the next message to dest. */
lm_head lm_newhead(lm_comm *c, lm_content content, lm_dtype dtype, size_t bytes, int dest);

/* Begins to send a body that did not fit into its envelope. */
void lm_sendpayload(lua_State *L, lm_comm *c, lm_outgoing *o, const void *body, const lm_head *head);

lm_outgoing lm_outgoingto(const char *call, int dest, int tag, lm_mode mode);

/* Waits for the end of a send; NULL is none. */
void lm_completesend(lua_State *L, lm_outgoing *o);

/* --- receiving --- */

/* Takes the next envelope that matches; the communicator is at stack index `comm`, and `pending` (or NULL) a send of
   the same call, completed before an error is raised. What comes may be a stream if `streams`. */
lm_arrival lm_takeenvelope(lua_State *L, int comm, lm_comm *c, const char *call, int source, int tag, lm_envelope *e,
                           lm_outgoing *pending, bool streams);

/* Receives the body behind an envelope: into exactly head->bytes of room, or (drain) into nothing, so that the sender
   of a message nobody wants goes on; `room` is then LM_EAGER bytes. MPI's code. */
int lm_takepayload(lm_comm *c, const lm_head *head, lm_arrival from, void *room);
int lm_drain(lm_comm *c, const lm_head *head, lm_arrival from);
int lm_startpayload(lm_comm *c, const lm_head *head, lm_arrival from, void *room, MPI_Request *request);
int lm_startdrain(lm_comm *c, const lm_head *head, lm_arrival from, void *room, MPI_Request *request);

/* Elements of an array, bytes of a value. */
int64_t lm_countof(const lm_head *head);

/* Whether the message may go into the array; NULL: whether it is a value. Else the reason, pushed as text. */
bool lm_acceptable(const lm_head *head, const lm_array *a);
const char *lm_pushrefusal(lua_State *L, const char *call, const lm_head *head, lm_arrival from, const lm_array *a);

/* --- letters: envelopes opened by a probe, until a receive takes them --- */

typedef struct lm_letter {
    struct lm_letter *next;
    lm_arrival from;
    lm_envelope envelope;
} lm_letter;

/* Opens a message that a probe matched and keeps it. */
lm_letter *lm_openletter(lua_State *L, int comm, lm_comm *c, MPI_Message *message, const MPI_Status *status, const char *call,
                         lm_outgoing *pending);

/* The letter that a receive must take first, or NULL. */
lm_letter *lm_matchletter(lua_State *L, int comm, lm_comm *c, int source, int tag, const char *call, lm_outgoing *pending);

/* Moves a letter into e and forgets it. */
lm_arrival lm_takeletter(lua_State *L, int comm, lm_comm *c, lm_letter *l, lm_envelope *e);

#endif
