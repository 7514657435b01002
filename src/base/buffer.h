/* A growing run of bytes. The memory comes from the state's allocator and belongs to a userdata, so that an error
   on the way leaves nothing behind. */
#ifndef LM_BUFFER_H
#define LM_BUFFER_H

#include "object.h"

typedef struct lm_buffer {
    const lm_kind *kind;
    char *data;
    size_t size, capacity;
} lm_buffer;

/* Pushes an empty buffer; its memory goes when it is collected or closed (lua_toclose). */
lm_buffer *lm_newbuffer(lua_State *L);

/* The same where no error may be raised: NULL, and nil is pushed, when memory is out. */
lm_buffer *lm_trybuffer(lua_State *L);

/* Gives the memory back before the collector would. */
void lm_closebuffer(lua_State *L, lm_buffer *b);

/* The buffer every encoding of this state shares, emptied. Valid until the next call. */
lm_buffer *lm_scratch(lua_State *L);

/* Pushes that buffer, with what it holds, to be the caller's own; encodings share another one from then on. */
lm_buffer *lm_keepscratch(lua_State *L);

/* Makes sure that n more bytes fit; false when memory is out, and the buffer is as it was. */
bool lm_reserve(lua_State *L, lm_buffer *b, size_t n);

/* Appends room for n bytes and returns it; raises "not enough memory" and leaves the buffer as it was. */
char *lm_grow(lua_State *L, lm_buffer *b, size_t n);

/* Gives back the memory behind the first n bytes. */
void lm_cutbuffer(lua_State *L, lm_buffer *b, size_t n);

void luaopen_buffer(lua_State *L); /* makes the metatable and the shared buffer; pushes nothing */

#endif
