#include "deadlock.h"

#include "session.h"

#include <mpi.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* How long nothing may have changed, and how often every rank must have looked meanwhile: a rank that is computing, or
   that the machine does not let run, does not look. */
#define QUIET (lm_onstuck ? 0.2 : 0.5) /* a person waits for the prompt, and what is stopped can be done again */
#define LOOKS 50
#define PATIENCE 2 /* seconds for those that were stopped to end, before they count as stuck for good */
#define INTERVAL (QUIET / 5)

typedef struct entry {
    _Atomic uint32_t waits; /* counts this rank's waits that took long enough to be written here; 0: none yet */
    _Atomic uint32_t looks;
    _Atomic bool moving;
    _Atomic int state;
    _Atomic uint32_t stop; /* of rank 0's entry: a word for all */
    int leaving;
    char text[110];
} entry;

void (*lm_onstuck)(void);

static entry *entries; /* NULL: no board */
static MPI_Win window = MPI_WIN_NULL;
static int my_rank, ranks;

typedef struct seen {
    uint32_t waits, looks;
} seen;

static seen *before; /* the board at `since` */
static double since, next_read;
static bool stuck; /* this rank has seen that no rank can go on, and stopped them */

void lm_startboard(void)
{
    MPI_Comm node;
    int size;
    MPI_Comm_rank(MPI_COMM_WORLD, &my_rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node);
    MPI_Comm_size(node, &size);
    if (ranks == 1) {
        entries = calloc(1, sizeof *entries);
        before = calloc(1, sizeof *before);
    } else if (size == ranks) {
        entry *mine;
        MPI_Aint bytes;
        int unit;
        if (MPI_Win_allocate_shared(my_rank == 0 ? (MPI_Aint)sizeof(entry) * ranks : 0, 1, MPI_INFO_NULL, node, &mine, &window) ==
                MPI_SUCCESS &&
            (before = calloc((size_t)ranks, sizeof *before))) {
            MPI_Win_shared_query(window, 0, &bytes, &unit, &entries);
            memset(&entries[my_rank], 0, sizeof(entry));
            MPI_Barrier(node);
        }
    }
    MPI_Comm_free(&node);
}

void lm_endboard(void)
{
    if (window != MPI_WIN_NULL) MPI_Win_free(&window);
    else free(entries);
    entries = NULL;
    free(before);
}

void lm_board(const char *text, int leaving)
{
    if (!entries) return;
    entry *e = &entries[my_rank];
    snprintf(e->text, sizeof e->text, "%s", text);
    e->leaving = leaving;
    atomic_fetch_add(&e->waits, 1);
}

/* Whether every rank has looked again and again at the same wait since `since`; else the present becomes `before`. */
static bool board_quiet(double now)
{
    bool same = true, looked = true;
    for (int r = 0; r < ranks; r++) {
        uint32_t waits = atomic_load(&entries[r].waits), looks = atomic_load(&entries[r].looks);
        if (waits == 0 || waits != before[r].waits || atomic_load(&entries[r].moving)) same = false;
        if (looks - before[r].looks < LOOKS) looked = false;
    }
    if (same && now - since < QUIET) return false;
    if (same && looked) return true;
    for (int r = 0; r < ranks; r++) before[r] = (seen){atomic_load(&entries[r].waits), atomic_load(&entries[r].looks)};
    since = now;
    return false;
}

/* Tells the deadlock and ends the job: with 0 when a rank asked for that by os.exit(0). */
static _Noreturn void board_report(bool asked)
{
    size_t room = (size_t)ranks * 160 + 80, used;
    char *text = malloc(room);
    used = (size_t)snprintf(text, room, "luampi: deadlock: no rank can go on\n");
    for (int r = 0; r < ranks; r++) used += (size_t)snprintf(text + used, room - used, "  rank %d %s\n", r, entries[r].text);
    lm_fail();
    if (write(STDERR_FILENO, text, used) < 0) perror("luampi");
    lm_abort(asked ? 0 : 1);
}

void lm_look(double now, bool moving)
{
    if (!entries) return;
    atomic_store(&entries[my_rank].moving, moving);
    atomic_fetch_add_explicit(&entries[my_rank].looks, 1, memory_order_relaxed);
    if (now < next_read) return;
    next_read = now + INTERVAL;
    if (!board_quiet(now)) return;
    bool running = false, asked = false, failing = false;
    for (int r = 0; r < ranks; r++) {
        running = running || entries[r].leaving == LM_RUNNING;
        asked = asked || entries[r].leaving == 0;
        failing = failing || entries[r].leaving > 0; /* that rank will end the job itself */
    }
    if (!running || failing) return;
    for (int r = 0; r < ranks; r++) {
        if (!lm_onstuck || stuck || atomic_load(&entries[r].state) != LM_AT_WORK) continue;
        stuck = true;
        lm_onstuck();
        since = now + PATIENCE;
        return;
    }
    board_report(asked);
}

/* --- a guarded program ------------------------------------------------------------------------------------ */

void lm_boardstate(int state)
{
    stuck = false;
    if (entries) atomic_store(&entries[my_rank].state, state);
}

bool lm_boardwhole(void) { return entries != NULL; }

bool lm_boardstop(uint32_t word)
{
    if (!entries) return false;
    uint32_t old = atomic_load(&entries[0].stop);
    while (old < word && !atomic_compare_exchange_weak(&entries[0].stop, &old, word)) continue;
    return true;
}

uint32_t lm_boardstopped(void) { return entries ? atomic_load(&entries[0].stop) : 0; }

int lm_boardleft(void)
{
    int status = -1;
    for (int r = 0; entries && r < ranks; r++)
        if (atomic_load(&entries[r].waits) && entries[r].leaving > status) status = entries[r].leaving;
    return status;
}

int lm_pushstates(lua_State *L)
{
    static const char *const words[] = {[LM_AT_REST] = "idle", [LM_AT_WORK] = "running", [LM_AT_END] = "done", [LM_AT_FAULT] = "failed"};
    if (!entries) {
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
            char text[sizeof entries[r].text];
            memcpy(text, entries[r].text, sizeof text);
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
