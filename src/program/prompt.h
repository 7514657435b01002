/* Where the prompt's lines come from and where what it shows goes. */
#ifndef LM_PROMPT_H
#define LM_PROMPT_H

#include <lua.h>
#include <stdbool.h>

/* Whether somebody sits at a terminal that this job reads from. Collective. */
bool lm_atterminal(void);

/* Writes all of the text to where the prompt is. */
void lm_show(const char *text, size_t size);

int luaopen_prompt(lua_State *L);

#endif
