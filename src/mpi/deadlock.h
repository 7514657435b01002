/* Deadlocks: a board in shared memory on which every rank of a machine writes what it is waiting for. When all of the
   job's ranks have looked in vain for a while, none of them can ever go on: that is told, and the job ended. A job
   that spans machines has no board. */
#ifndef LM_DEADLOCK_H
#define LM_DEADLOCK_H

#include <stdbool.h>
#include <stddef.h>

void lm_startboard(void); /* collective, after MPI_Init */
void lm_endboard(void);   /* collective */

/* What a rank on the board does besides waiting for others. */
enum { LM_RUNNING = -2, LM_ENDED = -1 }; /* else it leaves by os.exit with this status */

/* Opens a new wait of this rank: `text` says in what. */
void lm_board(const char *text, int leaving);

/* Counts a look, and says whether data is under way to this rank, which is no deadlock however long it takes; now and
   then reads the whole board. Does not return from a deadlock. */
void lm_look(double now, bool moving);

#endif
