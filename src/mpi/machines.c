#include "machines.h"

#include "progress.h"
#include "talk.h"

#include <mpi.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* In whiles: for how long a machine must have stood still before it says so, and for how long again each time it is asked.
   It is asked twice: should the network fail for a moment, what arrives after that is taken in meanwhile. */
#define BEFORE 2
#define AFTER 8
#define ROUNDS 2

/* Kinds of notes: each is about an epoch, its `map`, and `first` is the round. Behind STANDS are the machine's rows. */
enum { STILL, ASK, STANDS, MOVES };

/* What the first machine knows of the others. */
typedef struct machine {
    uint32_t still; /* the epoch in which it stands still, 0: it moves */
    bool stands;    /* it has done so for as long as it was asked to */
} machine;

static lm_talk firsts = {.comm = MPI_COMM_NULL}; /* of the first ranks of the machines */
static int machines, self, own; /* how many, the number of this one, and of its ranks */
static uint32_t epoch = 1;      /* counts how often this machine began to stand still */
static int whiles;              /* that it has stood still in this epoch */
static uint32_t told;           /* the last epoch that the first machine has heard of */
static lm_note asked;           /* of the first machine to this one, or on it to the others; about 0: nothing */
static int asked_at, passed;    /* whiles at that time; rounds since the first machine last began */
static bool answered;
static machine *others;
static lm_row *all;

void lm_startmachines(bool first, int ranks)
{
    int rank, size;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    MPI_Comm_split(MPI_COMM_WORLD, first ? 0 : MPI_UNDEFINED, rank, &firsts.comm);
    if (!first) return;
    MPI_Comm_rank(firsts.comm, &self);
    MPI_Comm_size(firsts.comm, &machines);
    own = ranks;
    others = calloc((size_t)machines, sizeof *others);
    all = calloc((size_t)size, sizeof *all);
}

void lm_endmachines(void)
{
    if (firsts.comm == MPI_COMM_NULL) return;
    lm_leavetalk(&firsts);
    MPI_Comm_free(&firsts.comm);
    free(others);
    free(all);
}

static lm_note note_of(uint32_t kind, uint32_t about, int64_t round)
{
    return (lm_note){.kind = kind, .map = about, .first = round};
}

static void take_in(const lm_post *p)
{
    machine *m = &others[p->rank];
    switch (p->note.kind) {
    case ASK:
        asked = p->note;
        asked_at = whiles;
        answered = false;
        break;
    case STILL: m->still = p->note.map; break;
    case STANDS:
        m->stands = m->stands || p->note.first == asked.first;
        for (size_t at = 0; at < p->note.bytes; at += sizeof *all) {
            lm_row row;
            memcpy(&row, p->bytes + at, sizeof row);
            all[row.rank] = row;
        }
        break;
    case MOVES:
        if (p->note.map == m->still) m->still = asked.map = 0;
    }
}

/* Another machine than the first. */
static void answer(const lm_row *(*rows)(void))
{
    if (whiles >= BEFORE && told != epoch) lm_sendnote(&firsts, 0, note_of(STILL, told = epoch, 0));
    if (asked.map && asked.map != epoch) {
        lm_sendnote(&firsts, 0, note_of(MOVES, asked.map, 0));
        asked.map = 0;
    } else if (asked.map && !answered && whiles >= asked_at + AFTER) {
        lm_note stands = note_of(STANDS, epoch, asked.first);
        lm_sendpost(&firsts, 0, lm_newpost(&stands, rows(), sizeof(lm_row) * (size_t)own));
        answered = true;
    }
}

/* The first machine: true when all machines have stood still in every round. */
static bool ask(void)
{
    bool still = whiles >= BEFORE, stand = asked.map == epoch && whiles >= asked_at + AFTER;
    for (int i = 1; i < machines; i++) {
        still = still && others[i].still;
        stand = stand && others[i].still && others[i].stands;
    }
    if (asked.map != epoch) passed = 0;
    else if (!stand || ++passed == ROUNDS) return stand;
    if (!still) return false;
    asked = note_of(ASK, epoch, asked.first + 1);
    asked_at = whiles;
    for (int i = 1; i < machines; i++) {
        others[i].stands = false;
        lm_sendnote(&firsts, i, note_of(ASK, others[i].still, asked.first));
    }
    return false;
}

const lm_row *lm_hear(bool changes, bool still, const lm_row *(*rows)(void))
{
    if (firsts.comm == MPI_COMM_NULL || !others || !all) return NULL;
    unsigned idle = lm_idle;
    lm_idle = 0; /* MPI looks here, too: not in vain */
    if (changes && whiles > 0) {
        epoch++;
        whiles = 0;
    }
    whiles += still;
    for (lm_post *p; (p = lm_nextpost(&firsts)); free(p)) take_in(p);
    bool found = false;
    if (self > 0) answer(rows);
    else found = ask();
    lm_idle = idle;
    if (!found) return NULL;
    const lm_row *mine = rows();
    for (int i = 0; i < own; i++) all[mine[i].rank] = mine[i];
    return all;
}
