/* Long values are sent while they are encoded, and decoded while they arrive.

   When the value of a blocking send outgrows an envelope, its first bytes go out in one that is marked as the beginning
   of a stream. The others follow in chunks on the second channel, under the stream's sequence number, for as long as the
   receiver takes them; what is left then comes at the end. The end may also say that the encoding had to change what
   was sent: then the whole follows once more; or that it failed: then there never was a message. */
#ifndef LM_CHUNKS_H
#define LM_CHUNKS_H

#include "message.h"
#include "wire.h"

/* --- sending --- */

/* The sink for the value of a send; the message begins behind a head in its buffer. */
lm_sink *lm_opensink(lua_State *L, lm_comm *c, const lm_outgoing *o);

/* Begins to send what the sink did not take. */
void lm_closesink(lua_State *L, lm_outgoing *o, const lm_buffer *b);

/* --- receiving: the envelope e, which begins a stream, has come --- */

/* Pushes the value, decoded while it arrives, unless a send of the same call is pending: that is completed first.
   Sets the length of the message. Errors raise when all is taken. False: there never was a message. */
bool lm_receivestream(lua_State *L, lm_comm *c, const char *call, lm_arrival from, const lm_envelope *e, lm_outgoing *pending,
                      size_t *bytes);

/* Pushes a buffer with all of the message; NULL, and nothing is pushed: there never was one. */
lm_buffer *lm_collectstream(lua_State *L, lm_comm *c, const char *call, lm_arrival from, const lm_envelope *e);

/* The first step of doing that in the background: begins to receive the next chunk. MPI's code. */
int lm_startchunk(lm_comm *c, uint32_t sequence, lm_arrival from, lm_envelope *chunk, MPI_Request *request);

/* Appends the body of the envelope or chunk; false when memory is out. */
bool lm_keepbody(lua_State *L, lm_buffer *b, const lm_envelope *e);

#endif
