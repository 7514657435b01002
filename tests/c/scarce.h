/* For tests of what happens when memory runs out. */
#ifndef SCARCE_H
#define SCARCE_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

/* An allocator that counts the bytes out and, once armed, refuses an allocation and all after it: a single refusal
   would be hidden by Lua's emergency collection. */
typedef struct memory {
    size_t out;
    bool armed;
    long left; /* allocations still granted when armed */
} memory;

static void *memory_alloc(void *ud, void *p, size_t old, size_t new)
{
    memory *m = ud;
    if (!p) old = 0;
    if (new == 0) {
        m->out -= old;
        free(p);
        return NULL;
    }
    if (m->armed && (!p || new > old) && m->left-- <= 0) return NULL;
    void *q = realloc(p, new);
    if (q) m->out += new - old;
    return q;
}

#define fail(what, n) fail_in(__FILE__, what, n)

static void fail_in(const char *test, const char *what, long n)
{
    fprintf(stderr, "%s: with %ld allocations granted: %s\n", test, n, what);
    exit(1);
}

#endif
