/* The Lua modules compiled into the binary; the table is written when the build is generated. */
#ifndef LM_MODULES_H
#define LM_MODULES_H

#include <stddef.h>

typedef struct lm_module {
    const char *name, *chunkname, *text;
    size_t size;
} lm_module;

extern const lm_module lm_modules[]; /* ends with a NULL name */

#endif
