/* Long values are sent while they are encoded, and decoded while they arrive.

   A rank that waits in recv for what one other rank of its machine sends next makes that known: an invitation. When the
   value of a blocking send to it outgrows an envelope, its first bytes go out in one that is marked as the beginning of a
   stream. The others follow in chunks on the second channel, under the stream's sequence number, for as long as the
   receiver takes them; what is left then comes at the end. The end may also say that the encoding had to change what
   was sent: then the whole follows once more; or that it failed: then there never was a message, and the receiver goes on
   waiting. */
#ifndef LM_CHUNKS_H
#define LM_CHUNKS_H

#include "message.h"
#include "wire.h"

/* --- sending --- */

/* The sink for the value of a send; the message begins behind a head in its buffer. */
lm_sink *lm_opensink(lua_State *L, lm_comm *c, const lm_outgoing *o);

/* Begins to send what the sink did not take. */
void lm_closesink(lua_State *L, lm_outgoing *o, const lm_buffer *b);

/* --- receiving --- */

/* Makes known, until it is taken back, that this rank waits for the next message from a rank; false: it does not, since
   that is not on this machine, may be any, or another receive might be given the message. */
bool lm_invite(const lm_comm *c, int source, int tag);
void lm_uninvite(void);

/* The envelope e, which begins a stream, has come: pushes the value, decoded while it arrives, and sets the length of the
   message. Errors raise when all is taken. False: there never was a message. */
bool lm_receivestream(lua_State *L, lm_comm *c, const char *call, lm_arrival from, const lm_envelope *e, size_t *bytes);

#endif
