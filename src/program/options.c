#include "options.h"

#include "agree.h"
#include "progress.h"
#include "session.h"

#include <errno.h>
#include <lua.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "usage: luampi [options] [script [args]]\n"
    "       mpirun -n 4 luampi [options] [script [args]]\n"
    "Runs a Lua script on every rank. Without a script: at a terminal a prompt on rank 0, whose lines every rank runs;\n"
    "else what standard input holds.\n"
    "\n"
    "  -n N            start N ranks with mpirun, as this machine needs it\n"
    "  --hostfile F    with -n: the hosts, as mpirun takes them\n"
    "  -m              the script runs on rank 0 only, with a global 'pool' of all ranks; the others serve it\n"
    "  -e stat         execute the string 'stat'\n"
    "  -l mod          require library 'mod' into global 'mod'\n"
    "  -l g=mod        require library 'mod' into global 'g'\n"
    "  -i              the prompt after the script and without a terminal; what is piped in shows its results only\n"
    "  -v              show version information\n"
    "  -E              ignore environment variables\n"
    "  -W              turn warnings on\n"
    "  --check=WHEN    compare the ranks' collective calls: first (1000 on a communicator), all, none\n"
    "  --watch S       a rank that waits longer than S seconds says so (60; 0: never)\n"
    "  --strict        with -i and without a terminal: exit with 1 when a line failed\n"
    "  -h, --help, --version\n"
    "  --              stop handling options\n"
    "  -               stop handling options and execute standard input";

bool lm_isrank0(void)
{
    const char *rank = getenv("OMPI_COMM_WORLD_RANK");
    return !rank || !strcmp(rank, "0");
}

/* Rank 0 speaks for all, unless mpirun started several command lines at once. The ranks meet before they end, since
   mpirun ends the others as soon as one has. */
static _Noreturn void refuse(const char *format, const char *what)
{
    const char *lines = getenv("OMPI_NUM_APP_CTX");
    if (lm_isrank0() || (lines && strcmp(lines, "1"))) {
        fputs("luampi: ", stderr);
        fprintf(stderr, format, what);
        fputs("\nluampi --help lists the options\n", stderr);
    }
    if (getenv("OMPI_COMM_WORLD_SIZE")) lm_beginsession();
    exit(2);
}

static _Noreturn void say(const char *text)
{
    if (lm_isrank0()) puts(text);
    exit(0);
}

/* The value of option `name` in argv[*i]: "--name=value" or "--name value". NULL: another option. */
static const char *long_value(int argc, char **argv, int *i, const char *name)
{
    size_t n = strlen(name);
    if (strncmp(argv[*i], name, n)) return NULL;
    if (argv[*i][n] == '=') return argv[*i] + n + 1;
    if (argv[*i][n]) return NULL;
    if (*i + 1 >= argc) refuse("'%s' needs argument", name);
    return argv[++*i];
}

static void read_check(const char *value)
{
    if (!strcmp(value, "first")) lm_checking = LM_CHECK_FIRST;
    else if (!strcmp(value, "all")) lm_checking = LM_CHECK_ALL;
    else if (!strcmp(value, "none")) lm_checking = LM_CHECK_NONE;
    else refuse("--check is first, all or none, not '%s'", value);
}

static void read_watch(const char *value)
{
    char *end;
    lm_watch = strtod(value, &end);
    if (end == value || *end || !(lm_watch >= 0)) refuse("--watch takes seconds, not '%s'", value);
}

/* Becomes mpirun, which starts this program anew with the same arguments. */
static _Noreturn void launch(const char *ranks, const char *hostfile, char **rest, int count)
{
    char *end;
    long n = strtol(ranks, &end, 10);
    if (end == ranks || *end || n < 1) refuse("-n takes a number of ranks, not '%s'", ranks);
    if (getenv("OMPI_COMM_WORLD_SIZE")) refuse("%s", "-n starts mpirun, but this already runs under mpirun");
    static char self[4096];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (length < 0) refuse("cannot find this program: %s", strerror(errno));
    static const char *const forwarded[] = {"LUA_INIT", "LUA_INIT_5_4", "LUA_PATH", "LUA_PATH_5_4", "LUA_CPATH", "LUA_CPATH_5_4"};
    const char **command = malloc(sizeof *command * (size_t)(count + 32));
    int k = 0;
    command[k++] = "mpirun";
    command[k++] = "-n";
    command[k++] = ranks;
    if (hostfile) {
        command[k++] = "--hostfile";
        command[k++] = hostfile;
    } else {
        command[k++] = "--oversubscribe"; /* changes nothing while there are cores enough */
    }
    for (size_t i = 0; i < sizeof forwarded / sizeof *forwarded; i++) {
        if (!getenv(forwarded[i])) continue;
        command[k++] = "-x";
        command[k++] = forwarded[i];
    }
    setenv("HWLOC_HIDE_ERRORS", "2", 0); /* a container without /sys is no reason for a line a rank */
    if (geteuid() == 0) {
        setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
        setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
    }
    command[k++] = self;
    for (int i = 0; i < count; i++) command[k++] = rest[i];
    command[k] = NULL;
    execvp("mpirun", (char **)command);
    fprintf(stderr, "luampi: cannot start mpirun: %s; is Open MPI installed and on PATH?\n", strerror(errno));
    exit(2);
}

const char *lm_statement(char **argv, int *i)
{
    const char *option = argv[*i];
    if (option[0] != '-' || (option[1] != 'e' && option[1] != 'l')) return NULL;
    return option[2] ? option + 2 : argv[++*i];
}

lm_options lm_readoptions(int argc, char **argv)
{
    lm_options o = {0};
    const char *ranks = NULL, *hostfile = NULL, *value;
    char **rest = malloc(sizeof *rest * (size_t)(argc + 1)); /* what the ranks are started with */
    int kept = 0, i;
    for (i = 1; i < argc; i++) {
        char *option = argv[i];
        int first = i;
        if (option[0] != '-' || !option[1]) break; /* a script, or - */
        if (!strcmp(option, "--")) {
            rest[kept++] = argv[i++];
            break;
        }
        if (!strcmp(option, "--help") || !strcmp(option, "-h")) say(help);
        if (!strcmp(option, "--version")) say(lm_version());
        if ((value = long_value(argc, argv, &i, "--hostfile"))) { hostfile = value; continue; }
        else if ((value = long_value(argc, argv, &i, "--check"))) read_check(value);
        else if ((value = long_value(argc, argv, &i, "--watch"))) read_watch(value);
        else if (option[1] == 'n') {
            ranks = option[2] ? option + 2 : argv[++i];
            if (!ranks) refuse("'%s' needs argument", "-n");
            continue;
        } else if (option[1] == 'e' || option[1] == 'l') {
            const char *statement = lm_statement(argv, &i);
            if (!statement || (!option[2] && *statement == '-')) refuse("'%s' needs argument", option);
            o.statements = true;
        } else if (!strcmp(option, "-i")) o.interactive = true;
        else if (!strcmp(option, "--strict")) o.strict = true;
        else if (!strcmp(option, "-m")) o.pool = true;
        else if (!strcmp(option, "-v")) o.version = true;
        else if (!strcmp(option, "-E")) o.no_environment = true;
        else if (!strcmp(option, "-W")) o.warnings = true;
        else refuse("unrecognized option '%s'", option);
        while (first <= i) rest[kept++] = argv[first++];
    }
    o.script = i;
    while (i < argc) rest[kept++] = argv[i++];
    if (o.pool && o.script >= argc) refuse("%s", "-m needs a script; - is standard input");
    if (hostfile && !ranks) refuse("%s", "--hostfile goes with -n");
    if (ranks) launch(ranks, hostfile, rest, kept);
    free(rest);
    return o;
}
