#include "machines.h"

#include "progress.h"
#include "session.h"

#include <mpi.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* In whiles: for how long a machine must have stood still before it says so, and for how long again each time it is asked.
   It is asked twice: should the network fail for a moment, what arrives after that is taken in meanwhile. */
#define BEFORE 2
#define AFTER 8
#define ROUNDS 2

typedef struct note {
    enum { STILL, ASK, STANDS, MOVES } kind;
    uint32_t epoch, round;
} note;

/* A note on its way: for STANDS with the rows of the machine. */
typedef struct post {
    struct post *next;
    MPI_Request request;
    note note;
    lm_row rows[];
} post;

/* What the first machine knows of the others. */
typedef struct machine {
    uint32_t still; /* the epoch in which it stands still, 0: it moves */
    bool stands;    /* it has done so for as long as it was asked to */
} machine;

static MPI_Comm firsts = MPI_COMM_NULL; /* the first ranks of the machines */
static int machines, self, own;         /* how many, the number of this one, and of its ranks */
static post *outgoing;
static uint32_t epoch = 1; /* counts how often this machine began to stand still */
static int whiles;         /* that it has stood still in this epoch */
static uint32_t told;      /* the last epoch that the first machine has heard of */
static note asked;         /* of the first machine to this one, or on the first machine to the others; epoch 0: nothing */
static int asked_at, passed; /* whiles at that time; rounds since the first machine last began */
static bool answered;
static machine *others;
static lm_row *all;

void lm_startmachines(bool first, int ranks)
{
    int rank, size;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    MPI_Comm_split(MPI_COMM_WORLD, first ? 0 : MPI_UNDEFINED, rank, &firsts);
    if (!first) return;
    MPI_Comm_rank(firsts, &self);
    MPI_Comm_size(firsts, &machines);
    own = ranks;
    others = calloc((size_t)machines, sizeof *others);
    all = calloc((size_t)size, sizeof *all);
}

/* Frees the posts that are away. */
static void reap(void)
{
    for (post **at = &outgoing; *at;) {
        post *p = *at;
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

void lm_endmachines(void)
{
    if (firsts == MPI_COMM_NULL) return;
    reap();
    MPI_Comm_free(&firsts);
    free(others);
    free(all);
}

/* Without memory nothing is told, and no deadlock found. */
static void tell(int to, note n, const lm_row *rows)
{
    size_t bytes = rows ? sizeof *rows * (size_t)own : 0;
    post *p = malloc(sizeof *p + bytes);
    if (!p) return;
    p->note = n;
    if (rows) memcpy(p->rows, rows, bytes);
    MPI_Isend(&p->note, (int)(sizeof p->note + bytes), MPI_BYTE, to, 0, firsts, &p->request);
    p->next = outgoing;
    outgoing = p;
}

static void take_in(int from, const post *p, size_t count)
{
    machine *m = &others[from];
    switch (p->note.kind) {
    case ASK:
        asked = p->note;
        asked_at = whiles;
        answered = false;
        break;
    case STILL: m->still = p->note.epoch; break;
    case STANDS:
        m->stands = m->stands || p->note.round == asked.round;
        for (size_t i = 0; i < count; i++) all[p->rows[i].rank] = p->rows[i];
        break;
    case MOVES:
        if (p->note.epoch == m->still) m->still = asked.epoch = 0;
    }
}

static void take_posts(void)
{
    for (;;) {
        int there, size;
        MPI_Message message;
        MPI_Status status;
        MPI_Improbe(MPI_ANY_SOURCE, 0, firsts, &there, &message, &status);
        if (!there) return;
        MPI_Get_count(&status, MPI_BYTE, &size);
        size_t bytes = (size_t)size - sizeof(note);
        post *p = malloc(sizeof *p + bytes);
        if (!p) lm_abort(1);
        MPI_Mrecv(&p->note, size, MPI_BYTE, &message, MPI_STATUS_IGNORE);
        take_in(status.MPI_SOURCE, p, bytes / sizeof *p->rows);
        free(p);
    }
}

/* Another machine than the first. */
static void answer(const lm_row *(*rows)(void))
{
    if (whiles >= BEFORE && told != epoch) tell(0, (note){STILL, told = epoch, 0}, NULL);
    if (asked.epoch && asked.epoch != epoch) {
        tell(0, (note){MOVES, asked.epoch, 0}, NULL);
        asked.epoch = 0;
    } else if (asked.epoch && !answered && whiles >= asked_at + AFTER) {
        tell(0, (note){STANDS, epoch, asked.round}, rows());
        answered = true;
    }
}

/* The first machine: true when all machines have stood still in every round. */
static bool ask(void)
{
    bool still = whiles >= BEFORE, stand = asked.epoch == epoch && whiles >= asked_at + AFTER;
    for (int i = 1; i < machines; i++) {
        still = still && others[i].still;
        stand = stand && others[i].still && others[i].stands;
    }
    if (asked.epoch != epoch) passed = 0;
    else if (!stand || ++passed == ROUNDS) return stand;
    if (!still) return false;
    asked = (note){ASK, epoch, asked.round + 1};
    asked_at = whiles;
    for (int i = 1; i < machines; i++) {
        others[i].stands = false;
        tell(i, (note){ASK, others[i].still, asked.round}, NULL);
    }
    return false;
}

const lm_row *lm_hear(bool changes, bool still, const lm_row *(*rows)(void))
{
    if (firsts == MPI_COMM_NULL || !others || !all) return NULL;
    unsigned idle = lm_idle;
    lm_idle = 0; /* MPI looks here, too: not in vain */
    if (changes && whiles > 0) {
        epoch++;
        whiles = 0;
    }
    whiles += still;
    reap();
    take_posts();
    bool found = false;
    if (self > 0) answer(rows);
    else found = ask();
    lm_idle = idle;
    if (!found) return NULL;
    const lm_row *mine = rows();
    for (int i = 0; i < own; i++) all[mine[i].rank] = mine[i];
    return all;
}
