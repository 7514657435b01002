/* On which node each rank of a map is, and whom to ask there. */
#ifndef LM_NODES_H
#define LM_NODES_H

#include "comm.h"

/* A node, as the others see it. */
typedef struct lm_node {
    int first, ranks; /* its places */
    int next;         /* of its ranks: whom to ask */
    bool dry;         /* it said that nothing is left */
} lm_node;

typedef struct lm_nodes {
    MPI_Comm near;   /* the ranks of this node */
    int slot;        /* this rank's number there */
    int place;       /* of this rank among all, node by node; the node's ranks have a run of them */
    int count, here; /* how many nodes, and the number of this one */
    int *rank_at;    /* by place */
    lm_node *at;
    double offset;   /* of rank 0's clock to this one's */
} lm_nodes;

/* Finds where the ranks of c are, and how their clocks differ. Pushes what holds the tables. Collective; nothing may be on
   its way in c. */
void lm_findnodes(lua_State *L, lm_nodes *n, const lm_comm *c, const char *call);

/* The node that a rank is on. */
lm_node *lm_nodeof(const lm_nodes *n, int rank);

#endif
