#include "stream.h"

#include <stdlib.h>
#include <string.h>

void lm_openstream(lm_stream *s, int root, int rank, int ranks, bool *waiting)
{
    *s = (lm_stream){.open = true, .root = root, .rank = rank, .ranks = ranks, .waiting = waiting};
    s->queue_end = &s->queue;
    memset(waiting, 0, (size_t)ranks);
}

static lm_post *queue_pop(lm_stream *s)
{
    lm_post *p = s->queue;
    if (!p) return NULL;
    s->queue = p->next;
    if (!s->queue) s->queue_end = &s->queue;
    return p;
}

void lm_closestream(lm_stream *s)
{
    for (lm_post *p; (p = queue_pop(s));) free(p);
    free(s->arrived);
    free(s->current);
    *s = (lm_stream){0};
}

/* Gives the ranks that wait what there is. */
static void stream_answer(lm_stream *s, lm_talk *t, uint32_t map)
{
    for (int i = 1; i < s->ranks && (s->queue || s->ended); i++) {
        int rank = (s->root + i) % s->ranks;
        if (!s->waiting[rank]) continue;
        s->waiting[rank] = false;
        lm_post *p = queue_pop(s);
        if (p) {
            lm_sendpost(t, rank, p);
        } else {
            lm_sendnote(t, rank, (lm_note){.map = map, .kind = LM_CHUNK});
            s->told++;
        }
    }
}

void lm_offer(lm_stream *s, lm_talk *t, lm_post *chunk)
{
    s->read += chunk->note.count;
    chunk->next = NULL;
    *s->queue_end = chunk;
    s->queue_end = &chunk->next;
    stream_answer(s, t, chunk->note.map);
}

void lm_endstream(lm_stream *s, lm_talk *t, uint32_t map, bool drop)
{
    s->ended = true;
    if (drop)
        for (lm_post *p; (p = queue_pop(s));) free(p);
    stream_answer(s, t, map);
}

bool lm_streamnote(lm_stream *s, lm_talk *t, lm_post *p)
{
    switch (p->note.kind) {
    case LM_WANT: s->waiting[p->rank] = true; stream_answer(s, t, p->note.map); break;
    case LM_DONE:
        if (!s->yields) s->retired += p->note.count;
        s->seconds = p->note.seconds;
        break;
    case LM_CHUNK:
        s->arrived = p;
        return true;
    default: return false;
    }
    free(p);
    return true;
}

void lm_want(lm_stream *s, lm_talk *t, uint32_t map)
{
    if (s->asked || s->over) return;
    lm_sendnote(t, s->root, (lm_note){.map = map, .kind = LM_WANT});
    s->asked = true;
}

bool lm_nextchunk(lm_stream *s)
{
    free(s->current);
    s->current = NULL;
    if (s->rank == s->root) {
        s->current = queue_pop(s);
    } else if (s->arrived) {
        s->asked = false;
        s->current = s->arrived;
        s->arrived = NULL;
        if (s->current->note.count) return true;
        s->over = true;
        free(s->current);
        s->current = NULL;
    }
    return s->current != NULL;
}
