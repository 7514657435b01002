/* What a rank does next of the granules in its node's stock, and how many at a time. */
#ifndef LM_SCHEDULE_H
#define LM_SCHEDULE_H

#include "stock.h"

typedef enum lm_order { LM_DYNAMIC, LM_BLOCKS, LM_STATIC, LM_CYCLIC } lm_order; /* LM_BLOCKS: dynamic, beginning as if static */

typedef struct lm_schedule {
    /* of the communicator */
    int rank, size;  /* of all */
    int first;       /* place of the node's first rank among all, node by node */
    int slot, ranks; /* of this rank in the stock; how many there are */
    /* of the map under way */
    lm_sheet *sheet;
    lm_order order;
    bool automatic;
    int64_t n, granule, chunks; /* items; items in a granule; granules */
    int64_t next;               /* LM_CYCLIC: granule, from 0 */
    double takes, shares;       /* granules taken from the own and from the common range at a time */
} lm_schedule;

/* n items are there to be taken; chunk 0: as many at a time as the ranks' speed asks for. */
void lm_startschedule(lm_schedule *s, lm_order order, int64_t n, int64_t chunk);

/* The granules to do now, or none. */
lm_range lm_nextrange(lm_schedule *s);

/* What a rank of another node gets that asks. */
lm_range lm_giverange(lm_schedule *s);

/* Whether more than this rank does at a time has come from another node: then it is in the own range. */
bool lm_stockup(lm_schedule *s, lm_range r);

/* After `seconds` for so many items: how many to take next. */
void lm_adapt(lm_schedule *s, int64_t items, double seconds);

/* Whether this rank has taken items that others may take from it. */
bool lm_holdsitems(const lm_schedule *s);

/* Whether ranks may do what was first meant for others. */
static inline bool lm_shifts(const lm_schedule *s) { return s->order == LM_DYNAMIC || s->order == LM_BLOCKS; }

#endif
