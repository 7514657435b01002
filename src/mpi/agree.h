/* Agreement: before a collective moves data the ranks compare what each is about to do. They do so on the second
   channel: where one compares and another does not, both wait, and no data is mistaken for other data. */
#ifndef LM_AGREE_H
#define LM_AGREE_H

#include "comm.h"

typedef struct lm_intent {
    const char *call;    /* "Allreduce" */
    const char *op;      /* operator's name, or NULL */
    int root;            /* < 0: none */
    int dtype;           /* < 0: values */
    int64_t count;       /* elements that must be equal on every rank; < 0: none */
    uint64_t also;       /* anything else that must be equal, compared but not shown */
    const char *mistake; /* the error this rank alone sees, or NULL */
    bool varies;         /* blocks of different sizes: this rank's own rows, and the counts it passes, or NULL */
    int64_t rows;
    const int *counts;
} lm_intent;

/* One without root, dtype and count. */
static inline lm_intent lm_plainintent(const char *call, uint64_t also, const char *mistake)
{
    return (lm_intent){.call = call, .root = -1, .dtype = -1, .count = -1, .also = also, .mistake = mistake};
}

enum lm_checking { LM_CHECK_FIRST, LM_CHECK_ALL, LM_CHECK_NONE };
extern enum lm_checking lm_checking;

/* Whether the next call on c is compared. */
bool lm_compares(const lm_comm *c, bool always);

/* Collective. Raises the same error on every rank when the intents differ or a rank made a mistake. Compares the first
   calls of a communicator (or all, or none), and in any case when `always` is set; where nothing is compared, a
   mistake raises on its own rank. */
void lm_agree(lua_State *L, lm_comm *c, const lm_intent *intent, bool always);

/* The parts of it, for calls that cannot wait for the others. What a rank adds to a sum that is zero when all ranks have
   the same intent, and hardly ever otherwise. */
uint64_t lm_share(const lm_comm *c, const lm_intent *intent);

/* Makes the hash of another number out of one. */
static inline uint64_t lm_mix(uint64_t h, uint64_t x)
{
    h = (h ^ x) * UINT64_C(0x9E3779B97F4A7C15);
    return h ^ h >> 29;
}

/* Every rank tells what it was about to do, "comm:Allreduce(float64[4], op=SUM) at script.lua:14", or its mistake. The
   request is that of *texts, which the caller frees, when it has ended. Collective on c->later; MPI's code. */
int lm_telltexts(const lm_comm *c, const lm_intent *intent, const char *place, char **texts, MPI_Request *request);

/* Raises them: the mistakes, or all if there is none. */
int lm_raisetexts(lua_State *L, int size, const char *texts);

#endif
