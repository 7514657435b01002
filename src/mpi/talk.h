/* Notes between ranks, of a map or of the machines of a job: short messages, some with bytes behind them, that nobody
   waits for. They are sent in the background, and taken in whenever a rank looks: between tasks, while it waits, and by
   ticks inside of tasks. */
#ifndef LM_TALK_H
#define LM_TALK_H

#include <mpi.h>
#include <stdint.h>
#include <stddef.h>

typedef struct lm_note {
    uint32_t map; /* number of the map it belongs to, or of what else it is about; others are out of date */
    uint32_t kind;
    int64_t first, count;
    double seconds;
    uint64_t bytes; /* that follow */
} lm_note;

typedef struct lm_post {
    struct lm_post *next;
    MPI_Request request;
    int rank; /* whom it is from, or for */
    lm_note note;
    char bytes[];
} lm_post;

typedef struct lm_talk {
    MPI_Comm comm;
    lm_post *outgoing;
} lm_talk;

/* A post of the talk's owner, who frees it unless it is sent. Ends the job when memory is out. */
lm_post *lm_newpost(const lm_note *note, const void *bytes, size_t size);

void lm_sendpost(lm_talk *t, int rank, lm_post *p);
void lm_sendnote(lm_talk *t, int rank, lm_note note);

/* The next post that has come, or NULL. Lets go of those that were sent. */
lm_post *lm_nextpost(lm_talk *t);

/* Waits until all that was sent is away. */
void lm_endtalk(lm_talk *t);

/* Waits for nothing and calls nothing of MPI: what is not away yet is let go of when another talk goes on. */
void lm_leavetalk(lm_talk *t);

#endif
