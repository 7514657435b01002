/* The wire: any Lua value as bytes, and back. Knows nothing of MPI: both directions are pure functions of the value
   or the bytes (and of the modules that are loaded). */
#ifndef LM_WIRE_H
#define LM_WIRE_H

#include "buffer.h"

/* Appends the value at index. What cannot travel raises before, naming the place: "cannot send a thread at
   value.jobs[3].co"; the buffer is then as it was. Runs no Lua code. */
void lm_encode(lua_State *L, int index, lm_buffer *b);

/* Pushes the value whose encoding these n bytes are. Any other bytes raise "not a message: …": no crash, no memory
   beyond a small multiple of n, no time beyond linear. */
void lm_decode(lua_State *L, const char *bytes, size_t n);

void luaopen_wire(lua_State *L); /* adds register (and what tests need) to the table on top of the stack */

#endif
