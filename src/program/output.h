/* Whole lines on standard output, from all ranks. */
#ifndef LM_OUTPUT_H
#define LM_OUTPUT_H

#include <lua.h>

void lm_startoutput(void);          /* collective, after MPI_Init */
void luaopen_output(lua_State *L);  /* replaces print */

#endif
