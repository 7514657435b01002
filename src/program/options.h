/* The command line. */
#ifndef LM_OPTIONS_H
#define LM_OPTIONS_H

#include <stdbool.h>

typedef struct lm_options {
    int script;          /* index of the script in argv; argc: none */
    bool version, warnings, no_environment;
    bool interactive, strict; /* -i, --strict */
    bool pool;           /* rank 0 runs the script, the others serve */
    bool statements;     /* there are -e or -l: argv[1] … argv[script - 1] has them in order */
} lm_options;

/* Reads the options; also sets what --check and --watch say, and runs what needs no Lua: --help, --version, errors, and
   -n, which starts the job anew under mpirun. Returns only when the script is to be run. */
lm_options lm_readoptions(int argc, char **argv);

/* Whether a session at the prompt may come. */
static inline bool lm_maybeprompt(const lm_options *o, int argc)
{
    return o->interactive || (o->script == argc && !o->statements && !o->version);
}

/* Whether this is rank 0, also before MPI starts. */
bool lm_isrank0(void);

/* The argument of a statement option in argv[i] ("-e stat" or "-estat"), moving i on; NULL: not such an option. */
const char *lm_statement(char **argv, int *i);

#endif
