/* The wire: any Lua value as bytes, and back. Knows nothing of MPI: both directions are pure functions of the value
   or the bytes (and of the modules that are loaded). */
#ifndef LM_WIRE_H
#define LM_WIRE_H

#include "buffer.h"

/* Appends the value at index. What cannot travel raises before, naming the place: "cannot send a thread at
   value.jobs[3].co"; the buffer is then as it was. Runs no Lua code. */
void lm_encode(lua_State *L, int index, lm_buffer *b);

/* Who takes the first bytes of a message while the rest is still encoded. */
typedef struct lm_sink {
    size_t step;        /* asked each time about so many bytes have come */
    size_t taken;       /* bytes so far */
    bool contradicted;  /* one of those has changed since: only the message as a whole is right */
    size_t (*take)(struct lm_sink *s, const char *bytes, size_t n); /* the next ones; returns how many it takes */
    void (*give_up)(struct lm_sink *s); /* there will be no message: an error is raised next */
} lm_sink;

/* lm_encode for a sink, which may have taken some of the message when it returns. All of it is in the buffer. */
void lm_encodeto(lua_State *L, int index, lm_buffer *b, lm_sink *sink);

/* Pushes the value whose encoding these n bytes are. Any other bytes raise "not a message: …": no crash, no memory
   beyond a small multiple of n, no time beyond linear. */
void lm_decode(lua_State *L, const char *bytes, size_t n);

/* Where more of a message comes from. */
typedef struct lm_source {
    lm_buffer *b; /* what is here */
    bool (*more)(lua_State *L, struct lm_source *s); /* appends to b; false: that was all; may raise */
} lm_source;

/* lm_decode of a message that may still be on its way. */
void lm_decodefrom(lua_State *L, lm_source *source);

void luaopen_wire(lua_State *L); /* adds register (and what tests need) to the table on top of the stack */

#endif
