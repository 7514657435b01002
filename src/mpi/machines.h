/* What the machines of a job tell one another of deadlocks: the first rank of each machine tells that of the first
   machine when all of its ranks stand still. When all machines do, they are asked whether they still do so some time
   later, which leaves messages that are under way the time to arrive. */
#ifndef LM_MACHINES_H
#define LM_MACHINES_H

#include <stdbool.h>

/* What a rank waits in, or else that it has finished. */
typedef struct lm_row {
    int rank, leaving;
    char text[110];
} lm_row;

/* Collective over all ranks; `ranks` is how many this machine has. */
void lm_startmachines(bool first, int ranks);
void lm_endmachines(void);

/* Called time and again by the first rank of a machine that waits: whether something has changed on it, or nothing has
   for another while; `rows` tells what its ranks wait in. Returns the rows of all ranks, by rank, when none can go on. */
const lm_row *lm_hear(bool changes, bool still, const lm_row *(*rows)(void));

#endif
