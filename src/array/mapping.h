/* A file's bytes as read-only memory. */
#ifndef LM_MAPPING_H
#define LM_MAPPING_H

#include "array.h"

/* Pushes a userdata with a block for `bytes` bytes (not 0) of the file from `offset` on. It lasts as long as the userdata;
   where the file becomes shorter meanwhile, it reads as zeros and counts as freed. NULL and errno when it cannot be. */
lm_block *lm_pushmapping(lua_State *L, int fd, uint64_t offset, size_t bytes);

void lm_mappingopen(lua_State *L);

#endif
