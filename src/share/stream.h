/* Items that come one after another: rank `root` reads them, in chunks, and the others ask it for the next one, each
   while it still works at the one before. Root answers between its tasks and by ticks, from what it has read ahead. */
#ifndef LM_STREAM_H
#define LM_STREAM_H

#include "talk.h"

#include <stdbool.h>

enum { LM_WANT = 1, LM_CHUNK, LM_DONE, LM_STOP, LM_ASK, LM_GIVE, LM_COUNT }; /* kinds of notes */

typedef struct lm_stream {
    bool open;
    int root, rank, ranks;
    lm_post *current; /* the chunk this rank works at, or NULL */
    /* on root */
    lm_post *queue, **queue_end;
    int64_t read, retired;
    bool ended;       /* no more will be read */
    bool yields;      /* items are retired by hand, not when they are done */
    bool *waiting;    /* by rank: wants a chunk */
    int told;         /* ranks that know of the end */
    double seconds;   /* an item took of late */
    /* on the others */
    lm_post *arrived;
    bool asked, over;
} lm_stream;

/* `waiting` is room for a bool a rank. */
void lm_openstream(lm_stream *s, int root, int rank, int ranks, bool *waiting);
void lm_closestream(lm_stream *s);

/* Root: takes over a chunk that was read; answers who waits. */
void lm_offer(lm_stream *s, lm_talk *t, lm_post *chunk);

/* Root: nothing comes any more. With `drop` what was read and not begun is forgotten. */
void lm_endstream(lm_stream *s, lm_talk *t, uint32_t map, bool drop);

/* Takes in a note that concerns the stream; false: it does not. Keeps or frees the post when it does. */
bool lm_streamnote(lm_stream *s, lm_talk *t, lm_post *p);

/* The others: asks for a chunk unless that is done. */
void lm_want(lm_stream *s, lm_talk *t, uint32_t map);

/* Makes the next chunk the current one, if there is one here. */
bool lm_nextchunk(lm_stream *s);

#endif
