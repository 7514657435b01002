/* MPI's answers as Lua errors, and where in a script they belong. */
#ifndef LM_ERROR_H
#define LM_ERROR_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

/* Raises unless code is MPI_SUCCESS: "Recv: MPI_ERR_TAG: invalid tag". */
void lm_mpi(lua_State *L, int code, const char *call);

/* Writes the current script line, "script.lua:14", or nothing and false. Runs and allocates nothing. */
bool lm_place(lua_State *L, char *text, size_t room);

#endif
