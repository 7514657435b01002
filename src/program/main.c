/* The program: bin/luampi. */
#include "attendant.h"
#include "capture.h"
#include "lib.h"
#include "memory.h"
#include "options.h"
#include "output.h"
#include "session.h"
#include "prompt.h"
#include "tty.h"

#include <errno.h>
#include <lauxlib.h>
#include <lualib.h>
#include <mpi.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static lua_State *running;

/* --- errors ----------------------------------------------------------------------------------------------- */

/* One write, so that the message arrives in one piece. */
static void complain(lua_State *L, const char *message)
{
    int rank, size;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    if (size > 1) lua_pushfstring(L, "rank %d: %s\n", rank, message);
    else lua_pushfstring(L, "luampi: %s\n", message);
    size_t length;
    const char *text = lua_tolstring(L, -1, &length);
    fflush(stdout);
    if (write(STDERR_FILENO, text, length) < 0) perror("luampi");
    lua_pop(L, 1);
}

/* An uncaught error on any rank ends the job. */
static _Noreturn void die(lua_State *L)
{
    fflush(NULL);
    lm_fail();
    complain(L, lua_tostring(L, -1));
    lm_abort(1);
}

/* The message of the error at index 1, with the traceback of the task it was raised in, when it is such an error. */
static const char *with_task(lua_State *L, const char *message)
{
    if (!lua_istable(L, 1)) return message;
    lua_pushliteral(L, "traceback");
    const char *stack = lua_rawget(L, 1) == LUA_TSTRING ? strstr(lua_tostring(L, -1), "\nstack traceback:") : NULL;
    if (!stack) return message;
    return lua_pushfstring(L, "%s\nstack traceback of the task:%s", message, stack + strlen("\nstack traceback:"));
}

static bool begins(const char *line, const char *with) { return !strncmp(line, with, strlen(with)); }

/* Pushes the message and the traceback: without the calls of modules compiled in, and without the call of error or a
   tail call on top, as the tracebacks of tasks and of the prompt are. */
static void push_trace(lua_State *L, const char *message)
{
    luaL_Buffer b;
    luaL_traceback(L, L, NULL, 1);
    const char *line = strchr(lua_tostring(L, -1), '\n');
    luaL_buffinit(L, &b);
    luaL_addstring(&b, message);
    luaL_addstring(&b, "\nstack traceback:");
    for (bool top = true; line;) {
        const char *next = strchr(line + 1, '\n');
        bool idle = begins(line, "\n\t[C]: in function 'error'") || begins(line, "\n\t(...tail calls...)");
        if (!begins(line, "\n\tmpi/") && !(top && idle)) {
            luaL_addlstring(&b, line, next ? (size_t)(next - line) : strlen(line));
            top = false;
        }
        line = next;
    }
    luaL_pushresult(&b);
}

static int message_handler(lua_State *L)
{
    const char *message = lua_tostring(L, 1);
    if (!message) {
        if (luaL_callmeta(L, 1, "__tostring") && lua_type(L, -1) == LUA_TSTRING) message = lua_tostring(L, -1);
        else message = lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, 1));
        message = with_task(L, message);
    }
    push_trace(L, message);
    return 1;
}

static void interrupt_hook(lua_State *L, lua_Debug *at)
{
    (void)at;
    lua_sethook(L, NULL, 0, 0);
    luaL_error(L, "interrupted!");
}

static void interrupt(int signal_number)
{
    signal(signal_number, SIG_DFL); /* a second one ends the process */
    lua_sethook(running, interrupt_hook, LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT, 1);
}

/* Calls the function below n arguments, as lua.c does; an error ends the job. */
static void call(lua_State *L, int n)
{
    int base = lua_gettop(L) - n;
    lua_pushcfunction(L, message_handler);
    lua_insert(L, base);
    running = L;
    signal(SIGINT, interrupt);
    int status = lua_pcall(L, n, 0, base);
    signal(SIGINT, SIG_DFL);
    if (status != LUA_OK) die(L);
    lua_remove(L, base);
}

/* --- the script ------------------------------------------------------------------------------------------- */

/* Reads the whole file; NULL and errno when that fails. */
static char *read_all(FILE *file, size_t *size)
{
    char *text = NULL;
    size_t capacity = 0;
    *size = 0;
    do {
        if (capacity - *size < BUFSIZ) text = realloc(text, capacity = capacity * 2 + 2 * BUFSIZ);
        *size += fread(text + *size, 1, capacity - *size, file);
    } while (!feof(file) && !ferror(file));
    return ferror(file) ? NULL : text;
}

/* Rank 0 reads the script and every rank gets its text; a script that cannot be read ends all with 2. */
static char *share_script(const char *path, size_t *size)
{
    int rank, world;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &world);
    long long length = -1;
    char *text = NULL;
    if (rank == 0) {
        FILE *file = strcmp(path, "-") ? fopen(path, "rb") : stdin;
        if (file) text = read_all(file, size);
        if (text) length = (long long)*size;
        else fprintf(stderr, "luampi: cannot read %s: %s\n", path, strerror(errno));
        if (file && file != stdin) fclose(file);
    }
    if (world == 1 && text) return text;
    MPI_Bcast(&length, 1, MPI_LONG_LONG, 0, MPI_COMM_WORLD);
    if (length < 0) exit(2);
    *size = (size_t)length;
    if (rank != 0) text = malloc(*size + 1);
    enum { PIECE = 1 << 30 };
    for (size_t at = 0; at < *size; at += PIECE)
        MPI_Bcast(text + at, *size - at < PIECE ? (int)(*size - at) : PIECE, MPI_BYTE, 0, MPI_COMM_WORLD);
    return text;
}

/* Pushes the function a script is. A first line that begins with # is for the shell. */
static void load_script(lua_State *L, const char *path)
{
    size_t size;
    char *text = share_script(path, &size);
    const char *from = text;
    if (size >= 3 && !memcmp(from, "\xEF\xBB\xBF", 3)) from += 3;
    if (from < text + size && *from == '#')
        while (from < text + size && *from != '\n') from++;
    lua_pushfstring(L, strcmp(path, "-") ? "@%s" : "=stdin", path);
    int status = luaL_loadbufferx(L, from, size - (size_t)(from - text), lua_tostring(L, -1), "t");
    free(text);
    lua_remove(L, -2);
    if (status == LUA_OK) return;
    int rank;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    if (rank == 0) fprintf(stderr, "luampi: %s\n", lua_tostring(L, -1));
    exit(1);
}

/* --- the run ---------------------------------------------------------------------------------------------- */

/* arg: the script at 0, its arguments from 1, what stands before it at negative indices. */
static void make_arg(lua_State *L, int argc, char **argv, int script)
{
    if (script == argc) script = 0;
    lua_createtable(L, argc - script, script + 1);
    for (int i = 0; i < argc; i++) {
        lua_pushstring(L, argv[i]);
        lua_rawseti(L, -2, i - script);
    }
    lua_setglobal(L, "arg");
}

static void run_init(lua_State *L)
{
    const char *name = "=LUA_INIT_5_4", *init = getenv(name + 1);
    if (!init) init = getenv((name = "=LUA_INIT") + 1);
    if (!init) return;
    if (init[0] == '@' ? luaL_loadfilex(L, init + 1, "t") : luaL_loadbufferx(L, init, strlen(init), name, "t")) die(L);
    call(L, 0);
}

/* -l mod, -l g=mod */
static void run_require(lua_State *L, const char *what)
{
    const char *equals = strchr(what, '='), *module = equals ? equals + 1 : what;
    lua_getglobal(L, "require");
    lua_pushstring(L, module);
    lua_pushcfunction(L, message_handler);
    lua_insert(L, -3);
    if (lua_pcall(L, 1, 1, -3) != LUA_OK) die(L);
    lua_remove(L, -2);
    if (equals) lua_pushlstring(L, what, (size_t)(equals - what));
    else lua_pushstring(L, what);
    lua_insert(L, -2);
    lua_pushglobaltable(L);
    lua_insert(L, -3);
    lua_settable(L, -3);
    lua_pop(L, 1);
}

static void run_statements(lua_State *L, char **argv, int script)
{
    for (int i = 1; i < script; i++) {
        char kind = argv[i][0] == '-' ? argv[i][1] : 0;
        const char *what = lm_statement(argv, &i);
        if (!what) continue;
        if (kind == 'l') {
            run_require(L, what);
            continue;
        }
        if (luaL_loadbufferx(L, what, strlen(what), "=(command line)", "t") != LUA_OK) die(L);
        call(L, 0);
    }
}

/* With `pool` rank 0 runs the script, and the others serve its pool. */
static void run_script(lua_State *L, int argc, char **argv, int script, bool pool)
{
    if (pool) {
        lua_getglobal(L, "require");
        lua_pushliteral(L, "mpi.pool");
        lua_call(L, 1, 1);
        lua_getfield(L, -1, "run_script");
        lua_remove(L, -2);
    }
    load_script(L, script < argc ? argv[script] : "-");
    int n = pool;
    for (int i = script + 1; i < argc; i++, n++) {
        luaL_checkstack(L, 1, "too many arguments to script");
        lua_pushstring(L, argv[i]);
    }
    call(L, n);
}

/* A state with all that scripts find in it. */
static lua_State *new_state(const lm_options *options, int argc, char **argv)
{
    lua_State *L = luaL_newstate();
    if (!L) {
        fputs("luampi: not enough memory\n", stderr);
        exit(1);
    }
#ifndef __SANITIZE_ADDRESS__ /* which is to see each object as one */
    lm_usepool(L);
#endif
    if (options->no_environment) {
        lua_pushboolean(L, 1);
        lua_setfield(L, LUA_REGISTRYINDEX, "LUA_NOENV");
    }
    luaL_openlibs(L);
    luaL_requiref(L, "mpi", luaopen_mpi, 1);
    lm_startoutput();
    luaopen_output(L);
    lua_getfield(L, -1, "COMM_WORLD");
    lua_setglobal(L, "comm");
    lua_getfield(L, -1, "array");
    lua_setglobal(L, "array");
    lua_getglobal(L, "require");
    lua_pushliteral(L, "mpi.program");
    lua_call(L, 1, 0);
    lua_settop(L, 0);
    make_arg(L, argc, argv, options->script);
    if (options->warnings) lua_warning(L, "@on", 0);
    return L;
}

/* What comes before script and prompt. */
static void run_first(lua_State *L, const lm_options *options, char **argv)
{
    if (!options->no_environment) run_init(L);
    run_statements(L, argv, options->script);
}

/* The prompt; *status becomes what the program ends with. Returns whether it wants to go on in a new state. */
static bool run_prompt(lua_State *L, bool at_terminal, bool strict, bool first, int *status)
{
    static const luaL_Reg modules[] = {
        {"mpi.capture", luaopen_capture}, {"mpi.prompt", luaopen_prompt}, {"mpi.attendant", luaopen_attendant}, {NULL, NULL},
    };
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
    luaL_setfuncs(L, modules, 0);
    lua_pushcfunction(L, message_handler);
    lua_getglobal(L, "require");
    lua_pushliteral(L, "mpi.repl");
    lua_call(L, 1, 1);
    lua_getfield(L, -1, "run");
    lua_createtable(L, 0, 3);
    lua_pushboolean(L, at_terminal);
    lua_setfield(L, -2, "atterminal");
    lua_pushboolean(L, strict);
    lua_setfield(L, -2, "strict");
    lua_pushboolean(L, first);
    lua_setfield(L, -2, "first");
    if (lua_pcall(L, 1, 2, 2) != LUA_OK) die(L);
    *status = (int)lua_tointeger(L, -1);
    bool again = !strcmp(lua_tostring(L, -2), "reset");
    lua_settop(L, 0);
    return again;
}

int main(int argc, char **argv)
{
    lm_options options = lm_readoptions(argc, argv);
    bool maybe = lm_maybeprompt(&options, argc);
    if (maybe && lm_isrank0()) lm_opentty();
    lua_State *L = new_state(&options, argc, argv);
    int status = 0;
    if (options.version) {
        int rank;
        MPI_Comm_rank(MPI_COMM_WORLD, &rank);
        if (rank == 0) puts(lm_version());
    }
    run_first(L, &options, argv);
    bool at_terminal = maybe && lm_atterminal(), prompt = options.interactive || at_terminal;
    if (options.script < argc || (maybe && !prompt)) run_script(L, argc, argv, options.script, options.pool);
    for (bool first = true; prompt && run_prompt(L, at_terminal, options.strict, first, &status); first = false) {
        lua_close(L);
        L = new_state(&options, argc, argv);
        run_first(L, &options, argv);
    }
    lua_close(L);
    lm_ended = status == 0;
    return status;
}
