/* The stock of items that the ranks of a node share during a map: ranges of items, and what is done.

   Items are counted in granules, from 1. A range is one atomic word, so that its owner and those who take from it
   agree without a lock; 0 says that nobody has looked at it yet in this map. */
#ifndef LM_STOCK_H
#define LM_STOCK_H

#include <mpi.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct lm_range {
    uint32_t first, end; /* empty when equal */
} lm_range;

static const lm_range lm_nothing = {1, 1};

typedef struct lm_slot {
    _Alignas(64) _Atomic uint64_t range;
    _Atomic int64_t done; /* items, for progress */
} lm_slot;

/* One map's half of the stock. */
typedef struct lm_sheet {
    _Alignas(64) _Atomic bool stop;
    _Atomic int64_t elsewhere; /* items done on other nodes, as far as it is known here */
    lm_slot common;
    lm_slot own[];
} lm_sheet;

typedef struct lm_stock {
    MPI_Win window; /* MPI_WIN_NULL: a single rank's */
    char *memory;
    size_t half;
    int ranks; /* on this node */
} lm_stock;

#define LM_GRANULES (UINT32_MAX - 1)

/* Makes the stock of the ranks in `node`. Collective; MPI's code. */
int lm_newstock(lm_stock *b, MPI_Comm node);
int lm_freestock(lm_stock *b); /* collective */

/* The sheet of a map, by its number. Whoever is first on the node clears the one of the next map meanwhile: all ranks
   have left the map before. */
lm_sheet *lm_sheetof(const lm_stock *b, uint32_t map);
void lm_clearsheet(const lm_stock *b, uint32_t map);

/* Takes up to n granules from the front of a slot, whose range is `initial` when nobody has looked at it yet; the
   result is empty when there are none. */
lm_range lm_takefront(lm_slot *s, lm_range initial, uint32_t n);

/* Takes the further half, rounded up. */
lm_range lm_takehalf(lm_slot *s, lm_range initial);

/* What is left in a slot. */
lm_range lm_left(lm_slot *s, lm_range initial);

/* Puts a range into the caller's own slot, which is empty. */
void lm_putrange(lm_slot *s, lm_range r);

static inline uint32_t lm_length(lm_range r) { return r.end - r.first; }

#endif
