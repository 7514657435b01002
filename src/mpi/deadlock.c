#include "deadlock.h"

#include "machines.h"
#include "session.h"

#include <mpi.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* How long nothing may have changed, in rounds in each of which every rank has looked so often: a rank that is computing
   does not look, and one that the machine hardly lets run makes a round longer. */
#define QUIET (lm_onstuck ? 0.2 : 0.5) /* seconds; a person waits for the prompt, and what is stopped can be done again */
#define ROUNDS 5
#define LOOKS 10
#define PATIENCE 2 /* seconds for those that were stopped to end, before they count as stuck for good */
#define INTERVAL (QUIET / ROUNDS)
#define FEW 20 /* between machines data may come slowly: no more than one in so many looks may have had work */

typedef struct entry {
    _Atomic uint32_t waits; /* counts this rank's waits that took long enough to be written here; 0: none yet */
    _Atomic uint32_t looks, works;
    _Atomic bool moving;
    _Atomic int state;
    _Atomic uint32_t stop; /* of rank 0's entry: a word for all */
    _Atomic bool told;     /* of rank 0's entry: a rank of this machine tells of a deadlock */
    lm_row row;
    lm_invitation invitation;
} entry;

void (*lm_onstuck)(void);

static entry *entries; /* of this machine's ranks; NULL: no board */
static MPI_Win window = MPI_WIN_NULL;
static int my_rank, ranks; /* on this machine */
static int job;            /* all ranks of the job */
static bool whole;         /* they are all on this machine */

typedef struct seen {
    uint32_t waits, looks, works;
    uint32_t round; /* looks when the round began */
    int state;
} seen;

static seen *before; /* the board at `since` */
static int rounds;   /* since then */
static lm_row *rows;
static double since, next_read;
static bool stuck; /* this rank has seen that no rank can go on, and stopped them */

void lm_startboard(void)
{
    MPI_Comm node;
    int world_rank;
    MPI_Comm_rank(MPI_COMM_WORLD, &world_rank);
    MPI_Comm_size(MPI_COMM_WORLD, &job);
    MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, world_rank, MPI_INFO_NULL, &node);
    MPI_Comm_rank(node, &my_rank);
    MPI_Comm_size(node, &ranks);
    whole = ranks == job;
    before = calloc((size_t)ranks, sizeof *before);
    rows = calloc((size_t)ranks, sizeof *rows);
    if (job == 1) {
        entries = calloc(1, sizeof *entries);
    } else {
        entry *mine;
        MPI_Aint bytes;
        int unit;
        if (MPI_Win_allocate_shared(my_rank == 0 ? (MPI_Aint)sizeof(entry) * ranks : 0, 1, MPI_INFO_NULL, node, &mine, &window) ==
                MPI_SUCCESS &&
            before && rows) {
            MPI_Win_shared_query(window, 0, &bytes, &unit, &entries);
            memset(&entries[my_rank], 0, sizeof(entry));
            entries[my_rank].row.rank = world_rank;
            entries[my_rank].invitation.rank = -1;
            MPI_Barrier(node);
        }
    }
    if (!whole) lm_startmachines(my_rank == 0, ranks);
    MPI_Comm_free(&node);
}

void lm_endboard(void)
{
    if (!whole) lm_endmachines();
    if (window != MPI_WIN_NULL) MPI_Win_free(&window);
    else free(entries);
    entries = NULL;
    free(before);
    free(rows);
}

void lm_board(const char *text, int leaving)
{
    if (!entries) return;
    lm_row *row = &entries[my_rank].row;
    snprintf(row->text, sizeof row->text, "%s", text);
    row->leaving = leaving;
    atomic_fetch_add(&entries[my_rank].waits, 1);
}

lm_invitation *lm_boardinvitation(int r)
{
    return entries && r < ranks ? &entries[r < 0 ? my_rank : r].invitation : NULL;
}

/* Begins to watch anew. */
static void board_restart(double now)
{
    for (int r = 0; r < ranks; r++) {
        uint32_t looks = atomic_load(&entries[r].looks);
        before[r] = (seen){atomic_load(&entries[r].waits), looks, atomic_load(&entries[r].works), looks, atomic_load(&entries[r].state)};
    }
    since = now;
    rounds = 0;
}

/* Whether every rank has looked often enough in this round, which then ends. */
static bool board_round(void)
{
    for (int r = 0; r < ranks; r++)
        if (atomic_load(&entries[r].looks) - before[r].round < LOOKS) return false;
    for (int r = 0; r < ranks; r++) before[r].round = atomic_load(&entries[r].looks);
    return true;
}

/* STILL: every rank of this machine has looked again and again at the same wait since `since`, for long enough. */
static enum { CHANGES, SAME, STILL } board_watch(double now)
{
    static bool noise; /* the last time looks had work at the end: once that may be the machine's doing */
    bool same = true, worked = false;
    for (int r = 0; r < ranks; r++) {
        uint32_t waits = atomic_load(&entries[r].waits);
        if (waits == 0 || waits != before[r].waits || atomic_load(&entries[r].moving)) same = false;
        if (atomic_load(&entries[r].state) != before[r].state) same = false; /* it has left that wait, for one not told yet */
    }
    if (same && board_round()) rounds++;
    if (same && (rounds < ROUNDS || now - since < QUIET)) return SAME;
    for (int r = 0; r < ranks && same && !whole; r++)
        worked = worked || (atomic_load(&entries[r].works) - before[r].works) * FEW > atomic_load(&entries[r].looks) - before[r].looks;
    bool forgiven = same && worked && !noise;
    noise = worked;
    if (same && !worked) return STILL;
    board_restart(now);
    return forgiven ? SAME : CHANGES;
}

/* What every rank of this machine waits in. */
static const lm_row *board_rows(void)
{
    for (int r = 0; r < ranks; r++) rows[r] = entries[r].row;
    return rows;
}

/* Whether a program is stopped instead of ended, which is not stopped already. */
static bool board_stop(double now)
{
    if (!lm_onstuck || stuck) return false;
    for (int r = 0; r < ranks; r++) {
        if (atomic_load(&entries[r].state) != LM_AT_WORK) continue;
        stuck = true;
        lm_onstuck();
        since = now + PATIENCE;
        return true;
    }
    return false;
}

/* None of the n ranks of the job can go on: tells what they wait in and ends the job, with 0 when a rank asked for that
   by os.exit(0). */
static void board_report(double now, const lm_row *all, int n)
{
    bool running = false, asked = false, failing = false;
    for (int r = 0; r < n; r++) {
        running = running || all[r].leaving == LM_RUNNING;
        asked = asked || all[r].leaving == 0;
        failing = failing || all[r].leaving > 0; /* that rank will end the job itself */
    }
    if (!running || failing || board_stop(now) || atomic_exchange(&entries[0].told, true)) return;
    size_t room = (size_t)n * 160 + 80, used;
    char *text = malloc(room);
    used = (size_t)snprintf(text, room, "luampi: deadlock: no rank can go on\n");
    for (int r = 0; r < n; r++) used += (size_t)snprintf(text + used, room - used, "  rank %d %s\n", all[r].rank, all[r].text);
    lm_fail();
    if (write(STDERR_FILENO, text, used) < 0) perror("luampi");
    lm_abort(asked ? 0 : 1);
}

void lm_look(double now, bool moving, bool worked)
{
    if (!entries) return;
    atomic_store(&entries[my_rank].moving, moving);
    atomic_fetch_add_explicit(&entries[my_rank].looks, 1, memory_order_relaxed);
    if (worked) atomic_fetch_add_explicit(&entries[my_rank].works, 1, memory_order_relaxed);
    if (now < next_read || (!whole && my_rank > 0)) return;
    next_read = now + INTERVAL;
    int shows = board_watch(now);
    if (whole && shows == STILL) board_report(now, board_rows(), ranks);
    if (whole || lm_onstuck) return;
    const lm_row *all = lm_hear(shows == CHANGES, shows == STILL, board_rows);
    if (shows == STILL) board_restart(now);
    if (all) board_report(now, all, job);
}

/* --- a guarded program ------------------------------------------------------------------------------------ */

void lm_boardstate(int state)
{
    stuck = false;
    if (entries) atomic_store(&entries[my_rank].state, state);
}

bool lm_boardwhole(void) { return entries && whole; }

bool lm_boardstop(uint32_t word)
{
    if (!lm_boardwhole()) return false;
    uint32_t old = atomic_load(&entries[0].stop);
    while (old < word && !atomic_compare_exchange_weak(&entries[0].stop, &old, word)) continue;
    return true;
}

uint32_t lm_boardstopped(void) { return lm_boardwhole() ? atomic_load(&entries[0].stop) : 0; }

int lm_boardleft(void)
{
    int status = -1;
    for (int r = 0; lm_boardwhole() && r < ranks; r++)
        if (atomic_load(&entries[r].waits) && entries[r].row.leaving > status) status = entries[r].row.leaving;
    return status;
}

int lm_pushstates(lua_State *L)
{
    static const char *const words[] = {[LM_AT_REST] = "idle", [LM_AT_WORK] = "running", [LM_AT_END] = "done", [LM_AT_FAULT] = "failed"};
    if (!lm_boardwhole()) {
        lua_pushnil(L);
        return 1;
    }
    uint32_t *looks = lua_newuserdatauv(L, sizeof *looks * (size_t)ranks, 0);
    for (int r = 0; r < ranks; r++) looks[r] = atomic_load(&entries[r].looks);
    nanosleep(&(struct timespec){0, 20000000}, NULL); /* whoever waits looks meanwhile */
    lua_createtable(L, ranks, 1);
    for (int r = 0; r < ranks; r++) {
        int state = atomic_load(&entries[r].state);
        if (state == LM_AT_WORK && atomic_load(&entries[r].looks) != looks[r]) {
            char text[sizeof entries[r].row.text];
            memcpy(text, entries[r].row.text, sizeof text);
            text[sizeof text - 1] = 0;
            lua_pushstring(L, text);
        } else {
            lua_pushstring(L, words[state]);
        }
        lua_rawseti(L, -2, r + 1);
    }
    lua_pushinteger(L, ranks);
    lua_setfield(L, -2, "n");
    return 1;
}
