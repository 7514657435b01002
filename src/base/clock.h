/* Seconds of a clock that runs evenly, the same for all processes of a machine. */
#ifndef LM_CLOCK_H
#define LM_CLOCK_H

#include <time.h>

static inline double lm_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#endif
