#include "error.h"

#include <lauxlib.h>
#include <mpi.h>

void lm_mpi(lua_State *L, int code, const char *call)
{
    if (code == MPI_SUCCESS) return;
    char text[MPI_MAX_ERROR_STRING] = "unknown error";
    int length;
    MPI_Error_string(code, text, &length);
    luaL_error(L, "%s: %s", call, text);
}
