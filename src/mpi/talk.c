#include "talk.h"

#include "session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

lm_post *lm_newpost(const lm_note *note, const void *bytes, size_t size)
{
    lm_post *p = malloc(sizeof *p + size);
    if (!p) {
        fputs("luampi: not enough memory for a note to another rank\n", stderr);
        lm_abort(1);
    }
    *p = (lm_post){.request = MPI_REQUEST_NULL, .note = *note};
    p->note.bytes = size;
    if (bytes) memcpy(p->bytes, bytes, size);
    return p;
}

/* A post's message: the note and the bytes behind it. */
static int message_size(const lm_post *p) { return (int)(sizeof p->note + p->note.bytes); }

void lm_sendpost(lm_talk *t, int rank, lm_post *p)
{
    p->rank = rank;
    MPI_Isend(&p->note, message_size(p), MPI_BYTE, rank, 0, t->comm, &p->request);
    p->next = t->outgoing;
    t->outgoing = p;
}

void lm_sendnote(lm_talk *t, int rank, lm_note note) { lm_sendpost(t, rank, lm_newpost(&note, NULL, 0)); }

/* Frees the posts in the list that are away. */
static void reap(lm_post **list)
{
    for (lm_post **at = list; *at;) {
        lm_post *p = *at;
        int done;
        MPI_Test(&p->request, &done, MPI_STATUS_IGNORE);
        if (done) {
            *at = p->next;
            free(p);
        } else {
            at = &p->next;
        }
    }
}

static lm_post *left; /* by talks that are no more; MPI may still need them */

lm_post *lm_nextpost(lm_talk *t)
{
    reap(&left);
    reap(&t->outgoing);
    int there, size;
    MPI_Message message;
    MPI_Status status;
    MPI_Improbe(MPI_ANY_SOURCE, 0, t->comm, &there, &message, &status);
    if (!there) return NULL;
    MPI_Get_count(&status, MPI_BYTE, &size);
    lm_post *p = lm_newpost(&(lm_note){0}, NULL, (size_t)size - sizeof(lm_note));
    MPI_Mrecv(&p->note, size, MPI_BYTE, &message, MPI_STATUS_IGNORE);
    p->rank = status.MPI_SOURCE;
    return p;
}

void lm_endtalk(lm_talk *t)
{
    while (t->outgoing) reap(&t->outgoing);
}

void lm_leavetalk(lm_talk *t)
{
    lm_post **last = &left;
    while (*last) last = &(*last)->next;
    *last = t->outgoing;
    t->outgoing = NULL;
}
