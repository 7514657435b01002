/* MPI's answers as Lua errors. */
#ifndef LM_ERROR_H
#define LM_ERROR_H

#include <lua.h>

/* Raises unless code is MPI_SUCCESS: "Recv: MPI_ERR_TAG: invalid tag". */
void lm_mpi(lua_State *L, int code, const char *call);

#endif
