/* Deadlocks: a board in shared memory on which every rank of a machine writes what it is waiting for. When all of the
   job's ranks have looked in vain for a while, none of them can ever go on: that is told, and the job ended. A job
   that spans machines has no board. */
#ifndef LM_DEADLOCK_H
#define LM_DEADLOCK_H

#include <stdbool.h>
#include <stddef.h>

void lm_startboard(void); /* collective, after MPI_Init */
void lm_endboard(void);   /* collective */

/* Opens a new wait of this rank: `text` says in what; `leaving`: the rank has finished, with os.exit(0) if `asked`. */
void lm_board(const char *text, bool leaving, bool asked);

/* Counts a look in vain; now and then reads the whole board. Does not return from a deadlock. */
void lm_look(double now);

#endif
