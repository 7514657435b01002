#include "session.h"

#include "object.h"
#include "progress.h"
#include "tick.h"

#include <errno.h>
#include <math.h>
#include <mpi.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define VERSION "0.1.0"

/* How long a rank that leaves with an error waits for the others to leave as well, in seconds. */
#define GRACE 1.0

/* The exit code of a program that left something open, when LUAMPI_STRICT=1 asks for it. */
#define UNTIDY 4

static int (*enders[2][4])(void); /* before and after the ranks meet at the end */
static MPI_Comm leaving = MPI_COMM_NULL; /* where the ranks meet at the end */

/* --- beginning and end ------------------------------------------------------------------------------------ */

bool lm_ended, lm_isolated;

/* An exit status as the shell will see it: 0 stays, all others lie in 1..125. */
static int clamp(int status) { return status == 0 ? 0 : status < 1 ? 1 : status > 125 ? 125 : status; }

void (*lm_onabort)(void);

void lm_abort(int status)
{
    fflush(NULL);
    if (lm_onabort) lm_onabort();
    if (lm_isolated) _exit(clamp(status));
    leaving = MPI_COMM_NULL;
    MPI_Abort(MPI_COMM_WORLD, clamp(status));
    _exit(clamp(status));
}

static int session_tidy(bool met)
{
    int lines = 0;
    for (int i = 0; enders[met][i]; i++) lines += enders[met][i]();
    return lines;
}

/* Runs when the process exits in any way that is not a crash. The ranks meet; one that leaves with an error and finds
   the others still at work ends the job, so that nobody waits for it for ever. */
static void session_end(int status, void *unused)
{
    (void)unused;
    int finalized, met = 0;
    MPI_Finalized(&finalized);
    if (finalized || leaving == MPI_COMM_NULL) return;
    fflush(NULL);
    int lines = status == 0 ? session_tidy(false) : 0;
    MPI_Request request;
    lm_wait(NULL, "the end of its program: other ranks are still running", NULL, 0, -1);
    lm_waits.leaving = lm_ended ? LM_ENDED : clamp(status);
    MPI_Ibarrier(leaving, &request);
    if (status == 0) {
        MPI_Wait(&request, MPI_STATUS_IGNORE);
    } else {
        double end = MPI_Wtime() + GRACE;
        while (!met && MPI_Wtime() < end) MPI_Test(&request, &met, MPI_STATUS_IGNORE);
        if (!met) lm_abort(status);
    }
    if (status == 0) lines += session_tidy(true);
    leaving = MPI_COMM_NULL;
    lm_endboard();
    MPI_Finalize();
    const char *strict = getenv("LUAMPI_STRICT");
    if (lines > 0 && strict && !strcmp(strict, "1")) _exit(UNTIDY);
    if (clamp(status) != status) _exit(clamp(status));
}

void lm_atend(int (*end)(void), bool met)
{
    int i = 0;
    while (enders[met][i] && enders[met][i] != end) i++;
    enders[met][i] = end;
}

void lm_beginsession(void)
{
    int initialized;
    MPI_Initialized(&initialized);
    if (leaving != MPI_COMM_NULL) return;
    if (!initialized) {
        setenv("OMPI_MCA_btl_self_eager_limit", "4096", 0); /* an envelope to oneself need not be waited for */
        MPI_Init(NULL, NULL); /* one thread: any other level makes Open MPI lock, at a third of a small call's time */
        on_exit(session_end, NULL);
    }
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN);
    MPI_Comm_dup(MPI_COMM_WORLD, &leaving);
    lm_startboard();
    lm_startprogress();
}

void lm_fail(void)
{
    const char *job = getenv("PMIX_NAMESPACE"), *daemon = getenv("OMPI_MCA_orte_local_daemon_uri");
    int s = job ? socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0) : -1;
    if (s < 0) return;
    /* an abstract address belongs to whoever binds it first, and goes with the process */
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int n = snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "luampi/%s/%.70s", job, daemon ? daemon : "");
    socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
    if (bind(s, (struct sockaddr *)&address, length) == 0 || errno != EADDRINUSE) return;
    sleep(5);
}

const char *lm_version(void)
{
    static char text[64 + MPI_MAX_LIBRARY_VERSION_STRING] = "luampi " VERSION "  (" LUA_VERSION ", ";
    size_t at = strlen("luampi " VERSION "  (" LUA_VERSION ", ");
    int length;
    MPI_Get_library_version(text + at, &length);
    strcpy(text + at + strcspn(text + at, ","), ")");
    return text;
}

/* --- functions of the module ------------------------------------------------------------------------------ */

static int session_wtime(lua_State *L)
{
    lua_pushnumber(L, MPI_Wtime());
    return 1;
}

static int session_sleep(lua_State *L)
{
    lua_Number s = luaL_checknumber(L, 1);
    if (!(s >= 0 && s < 1e9)) luaL_argerror(L, 1, "seconds from 0 to 1e9 expected");
    for (double end = MPI_Wtime() + s, left = s; left > 0; left = end - MPI_Wtime()) {
        double slice = lm_ticking() > 0 && lm_ticking() < left ? lm_ticking() : left;
        nanosleep(&(struct timespec){(time_t)slice, (long)((slice - floor(slice)) * 1e9)}, NULL);
        lm_tick(L);
    }
    return 0;
}

static int session_getpid(lua_State *L)
{
    lua_pushinteger(L, getpid());
    return 1;
}

static int session_processor_name(lua_State *L)
{
    char name[MPI_MAX_PROCESSOR_NAME];
    int length;
    MPI_Get_processor_name(name, &length);
    lua_pushlstring(L, name, (size_t)length);
    return 1;
}

static int session_cores(lua_State *L)
{
    lua_pushinteger(L, sysconf(_SC_NPROCESSORS_ONLN));
    return 1;
}

static int session_abort(lua_State *L)
{
    if (lm_isolated) return luaL_error(L, "a task in isolation cannot end the job");
    lm_abort((int)luaL_optinteger(L, 1, 1));
}

static const luaL_Reg functions[] = {
    {"wtime", session_wtime},
    {"sleep", session_sleep},
    {"getpid", session_getpid},
    {"processor_name", session_processor_name},
    {"cores", session_cores},
    {"abort", session_abort},
    {NULL, NULL},
};

void luaopen_session(lua_State *L)
{
    luaL_setfuncs(L, functions, 0);
    lua_pushliteral(L, VERSION);
    lua_setfield(L, -2, "version");
    char text[MPI_MAX_LIBRARY_VERSION_STRING];
    int length;
    MPI_Get_library_version(text, &length);
    text[strcspn(text, ",")] = 0;
    lua_pushstring(L, text);
    lua_setfield(L, -2, "library_version");
}
