/* What a receive or a probe tells of a message: status.source, status.tag, status.count, status.cancelled. */
#ifndef LM_STATUS_H
#define LM_STATUS_H

#include "object.h"

#include <stdint.h>

typedef struct lm_status {
    const lm_kind *kind;
    int source, tag;
    int64_t count; /* elements of an array, bytes of a value */
    bool cancelled;
} lm_status;

lm_status *lm_pushstatus(lua_State *L, int source, int tag, int64_t count);
void luaopen_status(lua_State *L);

#endif
