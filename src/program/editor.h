/* Line editing on the terminal, by libedit. */
#ifndef LM_EDITOR_H
#define LM_EDITOR_H

#include <lua.h>

/* edit(prompt[, complete]) → line, or nil and "end" or "interrupted". complete(before, after) is called for TAB with
   the text around the cursor and returns what to insert there, and what to show below the line or nil. */
int lm_edit(lua_State *L);

/* remember(line): as the history's latest. */
int lm_remember(lua_State *L);

#endif
