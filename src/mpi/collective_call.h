/* One call of a collective of arrays, as its row and its arguments say. */
#ifndef LM_COLLECTIVE_CALL_H
#define LM_COLLECTIVE_CALL_H

#include "collective.h"
#include "request.h"

/* A row as a function: what is fixed before the first call. */
typedef struct lm_binding {
    const struct lm_callrow *row;
    bool nonblocking, has_root, varies;
    int arguments;
    char name[24];
} lm_binding;

typedef struct lm_call {
    const struct lm_callrow *row;
    const lm_binding *binding;
    const char *name;
    lm_comm *c;
    lua_State *L;
    lm_request *request; /* of a nonblocking call, once it is made; it lies at request_at on the stack */
    int request_at;
    struct postponed *postponed;
    bool compares;
    uint64_t also, remainder;
    const char *mistake;
    int send_arg, recv_arg;  /* stack indices of the arguments; 0: this call has none */
    lm_array *send, *recv;   /* NULL: not given, not used here, or IN_PLACE */
    bool in_place, made;     /* made: recv was left out */
    int parts;               /* how many blocks EACH stands for */
    bool sends, receives;    /* whether this rank's side is used at all */
    const void *sendbuf;
    void *recvbuf;
    int64_t block;           /* elements per rank; of one row in the v forms */
    int count;               /* the same for MPI, in units of type */
    MPI_Datatype type;
    lm_dtype dtype;
    int *sendcounts, *senddispls, *recvcounts, *recvdispls; /* v forms: in rows */
    int root;
    int op_arg;
    lm_opid opid;
    MPI_Op op;
    MPI_Comm comm;
} lm_call;

typedef enum lm_blocks { ONE, EACH } lm_blocks; /* one block, or one for each rank (or neighbour) */

typedef struct lm_callrow {
    const char *name;
    int (*call)(lm_call *k); /* or its nonblocking form, when k->request is there */
    const char *arguments; /* b both, s send, r recv, m sendcounts, n recvcounts, o op, t root */
    lm_blocks sends, receives;
    enum { EVERYWHERE, SEND_AT_ROOT, RECV_AT_ROOT, NEIGHBOURS } use;
} lm_callrow;

static inline int64_t lm_rowsof(const lm_array *a) { return a->ndim ? a->shape[0] : 1; }

/* Before MPI is called. */
void lm_callwait(lm_call *k);

/* Pushes the array a call was not given: as send, with so many rows in the first dimension. */
void lm_callmake(lm_call *k, int64_t rows);

/* The counts of the v forms: read at these arguments, compared with what the ranks have, and set in the call. Digests of
   what must be the same on all ranks. */
uint64_t lm_countall(lm_call *k, int arg);                        /* Scatterv, Gatherv, Allgatherv */
void lm_countpairs(lm_call *k, int send_counts, int recv_counts); /* Alltoallv */
uint64_t lm_countparts(lm_call *k, int arg);                      /* Reduce_scatter */

#endif
