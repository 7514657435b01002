#include "nodes.h"

#include "clock.h"
#include "error.h"

#include <math.h>

/* Sets the places: the order of the nodes is that of their first ranks. Pushes what holds the tables. */
static void nodes_place(lua_State *L, lm_nodes *n, const lm_comm *c, const char *call)
{
    int size = c->size, rank = c->rank, leader = rank, place = 0;
    n->at = lua_newuserdatauv(L, (sizeof(lm_node) + 2 * sizeof(int)) * (size_t)size, 0);
    n->rank_at = (int *)(n->at + size);
    int *leaders = n->rank_at + size;
    lm_mpi(L, MPI_Bcast(&leader, 1, MPI_INT, 0, n->near), call);
    lm_mpi(L, MPI_Allgather(&leader, 1, MPI_INT, leaders, 1, MPI_INT, c->payload), call);
    for (int l = 0; l < size; l++) {
        if (leaders[l] != l) continue;
        lm_node *node = &n->at[n->count];
        *node = (lm_node){.first = place};
        for (int r = l; r < size; r++) {
            if (leaders[r] != l) continue;
            if (r == rank) {
                n->place = place;
                n->here = n->count;
            }
            n->rank_at[place++] = r;
            node->ranks++;
        }
        n->count++;
    }
}

/* Measures the offset between rank 0's clock and this node's: half way between sending and receiving, in the quickest
   of some exchanges. */
static void nodes_clocks(lua_State *L, lm_nodes *n, const lm_comm *c, const char *call)
{
    enum { TIMES = 20 };
    double mine = 0, theirs;
    MPI_Comm comm = c->payload;
    for (int k = 1; k < n->count; k++) {
        int other = n->rank_at[n->at[k].first];
        if (c->rank != 0 && c->rank != other) continue;
        double quickest = INFINITY;
        for (int i = 0; i < TIMES; i++) {
            if (c->rank == 0) {
                MPI_Recv(&mine, 1, MPI_DOUBLE, other, 1, comm, MPI_STATUS_IGNORE);
                mine = lm_now();
                MPI_Send(&mine, 1, MPI_DOUBLE, other, 1, comm);
                continue;
            }
            double sent = lm_now();
            MPI_Send(&mine, 1, MPI_DOUBLE, 0, 1, comm);
            MPI_Recv(&theirs, 1, MPI_DOUBLE, 0, 1, comm, MPI_STATUS_IGNORE);
            double back = lm_now();
            if (back - sent >= quickest) continue;
            quickest = back - sent;
            n->offset = theirs - (sent + back) / 2;
        }
    }
    lm_mpi(L, MPI_Bcast(&n->offset, 1, MPI_DOUBLE, 0, n->near), call);
}

void lm_findnodes(lua_State *L, lm_nodes *n, const lm_comm *c, const char *call)
{
    lm_mpi(L, MPI_Comm_split_type(c->comm, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &n->near), call);
    MPI_Comm_rank(n->near, &n->slot);
    nodes_place(L, n, c, call);
    nodes_clocks(L, n, c, call);
}

lm_node *lm_nodeof(const lm_nodes *n, int rank)
{
    int place = 0;
    while (n->rank_at[place] != rank) place++;
    lm_node *node = n->at;
    while (place >= node->first + node->ranks) node++;
    return node;
}
