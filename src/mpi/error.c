#include "error.h"

#include <lauxlib.h>
#include <mpi.h>
#include <stdio.h>
#include <string.h>

void lm_mpi(lua_State *L, int code, const char *call)
{
    if (code == MPI_SUCCESS) return;
    char text[MPI_MAX_ERROR_STRING] = "unknown error";
    int length;
    MPI_Error_string(code, text, &length);
    luaL_error(L, "%s: %s", call, text);
}

bool lm_place(lua_State *L, char *text, size_t room)
{
    lua_Debug at;
    *text = 0;
    for (int level = 0; lua_getstack(L, level, &at); level++) {
        if (!lua_getinfo(L, "Sl", &at) || at.currentline <= 0) continue;
        if (!strncmp(at.source, "@mpi/", 5)) continue; /* a module compiled in: its caller is meant */
        snprintf(text, room, "%s:%d", at.short_src, at.currentline);
        return true;
    }
    return false;
}
