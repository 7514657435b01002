#include "terminal.h"

#include <fcntl.h>
#include <lauxlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int terminal_width(int fd)
{
    struct winsize size;
    return ioctl(fd, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

/* columns() → the width of the terminal, or nil. Under mpirun standard output is a pseudo-terminal without a size. */
static int terminal_columns(lua_State *L)
{
    int columns = terminal_width(STDOUT_FILENO);
    if (columns == 0) {
        int fd = open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC);
        if (fd >= 0) {
            columns = terminal_width(fd);
            close(fd);
        }
    }
    if (columns > 0) lua_pushinteger(L, columns);
    else lua_pushnil(L);
    return 1;
}

static const luaL_Reg functions[] = {
    {"columns", terminal_columns},
    {NULL, NULL},
};

int luaopen_terminal(lua_State *L)
{
    luaL_newlib(L, functions);
    return 1;
}
