/* Blocks of different sizes: how many rows each rank has. */
#include "collective_call.h"

#include "agree.h"
#include "error.h"

#include <limits.h>

/* Reads the counts at arg, in rows, one for each rank, and pushes the memory they and the displacements are in. Where
   `parts` is known it says what each rank has (-1: unknown): counts must agree, and may be left out. `total` becomes
   their sum. */
static int *counts_read(lm_call *k, int arg, const int64_t *parts, int64_t *total)
{
    lua_State *L = k->L;
    int n = k->c->size, *counts = lua_newuserdatauv(L, sizeof *counts * 2 * (size_t)n, 0), *displs = counts + n;
    bool given = !lua_isnoneornil(L, arg);
    *total = 0;
    if (given && !lua_istable(L, arg))
        lm_mistake(L, &k->mistake, arg, k->name, "counts: list of %d integers expected, one for each rank, got %s", n, luaL_typename(L, arg));
    else if (given && (lua_Integer)lua_rawlen(L, arg) != n)
        lm_mistake(L, &k->mistake, arg, k->name, "counts: list of %d integers expected, one for each rank, got %I", n,
                   (lua_Integer)lua_rawlen(L, arg));
    for (int r = 0; r < n; r++) {
        int64_t part = parts ? parts[r] : -1, count = part;
        if (given && !k->mistake) {
            int is;
            lua_rawgeti(L, arg, r + 1);
            count = lua_tointegerx(L, -1, &is);
            lua_pop(L, 1);
            if (!is || count < 0)
                lm_mistake(L, &k->mistake, arg, k->name, "counts[%d] is not a count of rows", r + 1);
            else if (part >= 0 && part != count)
                lm_mistake(L, &k->mistake, arg, k->name, k->row->sends == k->row->receives ? "counts[%d] is %I, but rank %d sends %I rows"
                           : "counts[%d] is %I, but the array on rank %d has %I rows", r + 1, (lua_Integer)count, r, (lua_Integer)part);
        } else if (count < 0) {
            lm_mistake(L, &k->mistake, arg, k->name, "counts is missing");
        }
        if (k->mistake) count = 0;
        if (count > INT_MAX || *total > INT_MAX)
            lm_mistake(L, &k->mistake, arg, k->name, "more than 2^31 rows; send fewer and longer ones");
        counts[r] = (int)count;
        displs[r] = (int)*total;
        *total += count;
    }
    return counts;
}

/* Notes a mistake unless the array that holds the rows of all ranks has as many as the counts make. */
static void counts_fit(lm_call *k, const lm_array *whole, int arg, const char *what, int64_t total)
{
    if (whole && !k->mistake && lm_rowsof(whole) != total)
        lm_mistake(k->L, &k->mistake, arg, k->name, "%s has %I rows, the counts make %I", what, (lua_Integer)lm_rowsof(whole),
                   (lua_Integer)total);
}

/* The rows every rank's own array has, gathered where they are needed: the counts are compared with them, so that MPI
   never meets one that is wrong. NULL for nonblocking calls, which cannot ask. */
static int64_t *counts_ask(lm_call *k, int64_t mine)
{
    if (k->binding->nonblocking) return NULL;
    int64_t *parts = lua_newuserdatauv(k->L, sizeof *parts * (size_t)k->c->size, 0);
    lm_callwait(k);
    lm_mpi(k->L,
           k->row->use == EVERYWHERE ? MPI_Allgather(&mine, 1, MPI_INT64_T, parts, 1, MPI_INT64_T, k->comm)
                                     : MPI_Gather(&mine, 1, MPI_INT64_T, parts, 1, MPI_INT64_T, k->root, k->comm),
           k->name);
    return parts;
}

/* What one rank's count of rows for another adds to a sum that is to be zero. */
static uint64_t count_share(int from, int to, int count) { return lm_mix(lm_mix(lm_mix(1, (uint64_t)from), (uint64_t)to), (uint64_t)count); }

/* Scatterv, Gatherv, Allgatherv: one side has the rows of all ranks. Returns a digest of counts that are the same on all
   ranks. */
uint64_t lm_countall(lm_call *k, int arg)
{
    bool scatters = k->row->use == SEND_AT_ROOT;
    const lm_array *part = scatters ? k->recv : k->send;
    int64_t mine = part ? lm_rowsof(part) : -1, total; /* -1: in place, the part lies in the whole */
    int64_t *parts = counts_ask(k, mine);
    if (mine > INT_MAX)
        lm_mistake(k->L, &k->mistake, scatters ? k->recv_arg : k->send_arg, k->name, "more than 2^31 rows; send fewer and longer ones");
    k->count = mine < 0 ? 0 : (int)mine;
    if (mine >= 0) k->remainder = count_share(0, k->c->rank, k->count);
    if (!(scatters ? k->sends : k->receives)) return 0;
    int *counts = counts_read(k, arg, parts, &total);
    if (k->made && !k->mistake) lm_callmake(k, total);
    counts_fit(k, scatters ? k->send : k->recv, scatters ? k->send_arg : k->recv_arg, scatters ? "send" : "recv", total);
    if (mine < 0) k->remainder = count_share(0, k->c->rank, counts[k->c->rank]);
    uint64_t digest = 0;
    for (int r = 0; r < k->c->size; r++) digest += count_share(0, r, counts[r]);
    if (k->c->rank == k->root) k->remainder -= digest;
    if (scatters) k->sendcounts = counts, k->senddispls = counts + k->c->size;
    else k->recvcounts = counts, k->recvdispls = counts + k->c->size;
    return k->binding->has_root ? 0 : digest;
}

/* Alltoallv: what this rank receives is what the others send it; in place it sends each as much as it receives. */
void lm_countpairs(lm_call *k, int send_counts, int recv_counts)
{
    lua_State *L = k->L;
    int n = k->c->size;
    int64_t total, *parts = NULL;
    int *sent = counts_read(k, k->in_place ? recv_counts : send_counts, NULL, &total);
    if (!k->in_place) {
        k->sendcounts = sent;
        k->senddispls = sent + n;
        counts_fit(k, k->send, k->send_arg, "send", total);
    }
    if (!k->binding->nonblocking) {
        int64_t *mine = lua_newuserdatauv(L, sizeof *mine * 2 * (size_t)n, 0);
        parts = mine + n;
        for (int r = 0; r < n; r++) mine[r] = sent[r];
        lm_callwait(k);
        lm_mpi(L, MPI_Alltoall(mine, 1, MPI_INT64_T, parts, 1, MPI_INT64_T, k->comm), k->name);
    }
    k->recvcounts = counts_read(k, recv_counts, parts, &total);
    k->recvdispls = k->recvcounts + n;
    if (k->made && !k->mistake) lm_callmake(k, total);
    counts_fit(k, k->recv, k->recv_arg, "recv", total);
    for (int r = 0; r < n; r++)
        k->remainder += count_share(k->c->rank, r, sent[r]) - count_share(r, k->c->rank, k->recvcounts[r]);
}

/* Reduce_scatter: counts are the same everywhere, equal parts when left out; for MPI in elements. Returns a digest. */
uint64_t lm_countparts(lm_call *k, int arg)
{
    lua_State *L = k->L;
    int n = k->c->size;
    const lm_array *whole = k->in_place ? k->recv : k->send;
    int64_t total, *parts = NULL, rows_all = whole ? lm_rowsof(whole) : 0;
    if (lua_isnoneornil(L, arg)) {
        parts = lua_newuserdatauv(L, sizeof *parts * (size_t)n, 0);
        for (int r = 0; r < n; r++) parts[r] = rows_all / n;
        if (rows_all % n)
            lm_mistake(L, &k->mistake, k->send_arg, k->name, "send has %I rows, which %d ranks do not divide; pass counts",
                       (lua_Integer)rows_all, n);
    }
    int *counts = counts_read(k, arg, parts, &total), *displs = counts + n;
    counts_fit(k, whole, k->in_place ? k->recv_arg : k->send_arg, k->in_place ? "recv" : "send", total);
    if (k->made && !k->mistake) lm_callmake(k, counts[k->c->rank]);
    if (!k->in_place) counts_fit(k, k->recv, k->recv_arg, "recv", counts[k->c->rank]);
    if (k->mistake) return 0;
    uint64_t digest = 0;
    int64_t at = 0;
    for (int r = 0; r < n; r++) {
        int64_t elements = counts[r] * k->block;
        if (at + elements > INT_MAX) lm_mistake(L, &k->mistake, k->send_arg, k->name, "more than 2^31 elements");
        digest = (digest + (uint64_t)elements + 1) * UINT64_C(0x9E3779B97F4A7C15);
        counts[r] = (int)elements;
        displs[r] = (int)at;
        at += elements;
    }
    k->recvcounts = counts;
    k->recvdispls = displs;
    return digest;
}
