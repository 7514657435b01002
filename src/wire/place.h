/* Where in a value the encoder is, and the error that names it. */
#ifndef LM_PLACE_H
#define LM_PLACE_H

#include <lua.h>

/* One for each table and function the encoder is inside of, linked to the one around it. */
typedef struct lm_place {
    struct lm_place *outer;
    enum { LM_ITEM, LM_VALUE, LM_KEY, LM_UPVALUE } what;
    int slot;       /* stack index of the key (LM_VALUE) or of the function (LM_UPVALUE) */
    lua_Integer at; /* LM_ITEM: the position; LM_UPVALUE: its number */
} lm_place;

/* Raises "cannot send <what> at value.jobs[3].co"; the places are of no use afterwards. */
_Noreturn void lm_refuse(lua_State *L, lm_place *innermost, const char *what);

#endif
