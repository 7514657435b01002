/* Collectives of arrays: a row each.

   About thirty calls share one way: read the arguments, find the block that travels per rank, agree, call MPI. A row
   says what the arguments are and how many blocks each side holds; the one line of C above it hands the filled struct
   to MPI. */
#include "collective_call.h"

#include "agree.h"
#include "datatype.h"
#include "error.h"
#include "progress.h"
#include "topology.h"

#include <ctype.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- the calls -------------------------------------------------------------------------------------------- */

#define BLOCK k->count, k->type
#define SENT k->sendbuf, k->sendcounts, k->senddispls, k->type
#define RECEIVED k->recvbuf, k->recvcounts, k->recvdispls, k->type
#define CALL(name, Name, ...) \
    static int name(lm_call *k) \
    { \
        return k->request ? MPI_I##name(__VA_ARGS__, k->comm, &k->request->mpi) : MPI_##Name(__VA_ARGS__, k->comm); \
    }

CALL(bcast, Bcast, k->recvbuf, BLOCK, k->root)
CALL(scatter, Scatter, k->sendbuf, BLOCK, k->recvbuf, BLOCK, k->root)
CALL(gather, Gather, k->sendbuf, BLOCK, k->recvbuf, BLOCK, k->root)
CALL(allgather, Allgather, k->sendbuf, BLOCK, k->recvbuf, BLOCK)
CALL(alltoall, Alltoall, k->sendbuf, BLOCK, k->recvbuf, BLOCK)
CALL(neighbor_allgather, Neighbor_allgather, k->sendbuf, BLOCK, k->recvbuf, BLOCK)
CALL(neighbor_alltoall, Neighbor_alltoall, k->sendbuf, BLOCK, k->recvbuf, BLOCK)
CALL(scatterv, Scatterv, SENT, k->recvbuf, BLOCK, k->root)
CALL(gatherv, Gatherv, k->sendbuf, BLOCK, RECEIVED, k->root)
CALL(allgatherv, Allgatherv, k->sendbuf, BLOCK, RECEIVED)
CALL(alltoallv, Alltoallv, SENT, RECEIVED)
CALL(reduce, Reduce, k->sendbuf, k->recvbuf, BLOCK, k->op, k->root)
CALL(allreduce, Allreduce, k->sendbuf, k->recvbuf, BLOCK, k->op)
CALL(reduce_scatter, Reduce_scatter, k->sendbuf, k->recvbuf, k->recvcounts, k->type, k->op)
CALL(scan, Scan, k->sendbuf, k->recvbuf, BLOCK, k->op)
CALL(exscan, Exscan, k->sendbuf, k->recvbuf, BLOCK, k->op)

static const lm_callrow rows[] = {
    {"Bcast", bcast, "bt", ONE, ONE, EVERYWHERE},
    {"Scatter", scatter, "srt", EACH, ONE, SEND_AT_ROOT},
    {"Gather", gather, "srt", ONE, EACH, RECV_AT_ROOT},
    {"Allgather", allgather, "sr", ONE, EACH, EVERYWHERE},
    {"Alltoall", alltoall, "sr", EACH, EACH, EVERYWHERE},
    {"Neighbor_allgather", neighbor_allgather, "sr", ONE, EACH, NEIGHBOURS},
    {"Neighbor_alltoall", neighbor_alltoall, "sr", EACH, EACH, NEIGHBOURS},
    {"Scatterv", scatterv, "smrt", EACH, ONE, SEND_AT_ROOT},
    {"Gatherv", gatherv, "srnt", ONE, EACH, RECV_AT_ROOT},
    {"Allgatherv", allgatherv, "srn", ONE, EACH, EVERYWHERE},
    {"Alltoallv", alltoallv, "smrn", EACH, EACH, EVERYWHERE},
    {"Reduce", reduce, "srot", ONE, ONE, RECV_AT_ROOT},
    {"Allreduce", allreduce, "sro", ONE, ONE, EVERYWHERE},
    {"Reduce_scatter", reduce_scatter, "srno", EACH, ONE, EVERYWHERE},
    {"Scan", scan, "sro", ONE, ONE, EVERYWHERE},
    {"Exscan", exscan, "sro", ONE, ONE, EVERYWHERE},
    {NULL, NULL, NULL, ONE, ONE, EVERYWHERE},
};

/* --- arguments -------------------------------------------------------------------------------------------- */

void lm_mistake(lua_State *L, const char **mistake, int arg, const char *name, const char *format, ...)
{
    if (*mistake) return;
    va_list list;
    va_start(list, format);
    const char *text = lua_pushvfstring(L, format, list);
    va_end(list);
    *mistake = lua_pushfstring(L, "bad argument #%d to '%s' (%s)", arg - 1, name, text);
}

int lm_readroot(lua_State *L, int arg, const lm_comm *c, const char *name, const char **mistake)
{
    int is = 1;
    lua_Integer root = lua_isnoneornil(L, arg) ? 0 : lua_tointegerx(L, arg, &is);
    if (!is) lm_mistake(L, mistake, arg, name, "root: rank expected, got %s", lm_got(L, arg));
    else if (root < 0 || root >= c->size)
        lm_mistake(L, mistake, arg, name, "root is %I, but the ranks of this communicator are 0 to %d", root, c->size - 1);
    return (int)root;
}

lm_opid lm_readop(lua_State *L, int arg, const char *name, const char **mistake)
{
    lm_opid op = lm_testop(L, arg);
    if (op == LM_OPS) lm_mistake(L, mistake, arg, name, "operator expected (mpi.SUM or a function), got %s", luaL_typename(L, arg));
    return op;
}

/* mpi.IN_PLACE */
typedef struct in_place {
    const lm_kind *kind;
} in_place;

static const lm_kind in_place_kind = {"mpi.IN_PLACE", sizeof(in_place)};

/* The array at arg when this rank uses it; NULL and possibly a mistake otherwise. */
static lm_array *call_array(lm_call *k, int arg, const char *what, bool writes)
{
    lm_array *a = lm_toarray(k->L, arg);
    if (!a) {
        lm_mistake(k->L, &k->mistake, arg, k->name, "%s: array expected, got %s", what, lm_got(k->L, arg));
        return NULL;
    }
    const char *why = lm_unusable(a, writes);
    if (why) lm_mistake(k->L, &k->mistake, arg, k->name, "%s: %s", what, why);
    return a;
}

/* Sets send, recv, root and op from the arguments. */
static void call_read(lm_call *k)
{
    lua_State *L = k->L;
    int arg = 2;
    lua_settop(L, 1 + k->binding->arguments);
    for (const char *p = k->row->arguments; *p; p++, arg++) {
        if (*p == 't') k->root = lm_readroot(L, arg, k->c, k->name, &k->mistake);
        else if (*p == 'o') k->opid = lm_readop(L, k->op_arg = arg, k->name, &k->mistake);
        else if (*p == 's') k->send_arg = arg;
        else if (*p == 'r' || *p == 'b') k->recv_arg = arg;
    }
    bool at_root = k->c->rank == k->root;
    k->sends = k->send_arg && (k->row->use != SEND_AT_ROOT || at_root);
    k->receives = k->row->use != RECV_AT_ROOT || at_root;
    /* IN_PLACE stands for the side a rank need not have: recv in scatters at the root, send in the others */
    int may_be = k->row->use == SEND_AT_ROOT ? k->recv_arg : k->send_arg;
    bool possible = k->row->use == EVERYWHERE || (k->row->use != NEIGHBOURS && at_root);
    k->in_place = possible && may_be && lm_test(L, may_be, &in_place_kind);
    if (k->sends && !(k->in_place && may_be == k->send_arg)) k->send = call_array(k, k->send_arg, "send", false);
    if (!k->receives || (k->in_place && may_be == k->recv_arg)) return;
    k->made = k->send_arg && lua_isnil(L, k->recv_arg) && k->row->use != SEND_AT_ROOT && !k->in_place;
    if (!k->made) k->recv = call_array(k, k->recv_arg, k->send_arg ? "recv" : "array", true);
}

/* --- equal blocks ----------------------------------------------------------------------------------------- */

static void call_reducible(lm_call *k, const lm_array *a)
{
    const char *why = a && k->opid < LM_OPS ? lm_reducible(k->opid, a) : NULL;
    if (why) lm_mistake(k->L, &k->mistake, k->op_arg, k->name, "%s %s", lm_opnames[k->opid], why);
}

/* Sets block and dtype: from the side this rank has. */
static void call_block(lm_call *k)
{
    const lm_array *a = k->send ? k->send : k->recv;
    if (!a) return;
    lm_blocks held = k->send ? k->row->sends : k->row->receives;
    k->dtype = (lm_dtype)a->dtype;
    k->block = held == ONE ? a->size : k->parts ? a->size / k->parts : 0;
    if (held == EACH && a->size != k->block * k->parts)
        lm_mistake(k->L, &k->mistake, k->send ? k->send_arg : k->recv_arg, k->name,
                   "%s has %I elements, which %d %s do not divide", k->send ? "send" : "recv", (lua_Integer)a->size, k->parts,
                   k->row->use == NEIGHBOURS ? "neighbours" : "ranks");
    if (k->op_arg) call_reducible(k, a);
}

/* Makes recv when it was left out, else compares it with send. */
static void call_fit(lm_call *k, int64_t needed)
{
    if (!k->send || !k->recv) return;
    if (k->recv->dtype != k->send->dtype)
        lm_mistake(k->L, &k->mistake, k->recv_arg, k->name, "recv is %s, send is %s", lm_dtypes[k->recv->dtype].name,
                   lm_dtypes[k->send->dtype].name);
    else if (k->recv->size != needed)
        lm_mistake(k->L, &k->mistake, k->recv_arg, k->name, "recv has %I elements, expected %I", (lua_Integer)k->recv->size,
                   (lua_Integer)needed);
    else if (lm_overlap(k->send, k->recv))
        lm_mistake(k->L, &k->mistake, k->recv_arg, k->name, "send and recv share memory; pass mpi.IN_PLACE instead of one");
}

void lm_callmake(lm_call *k, int64_t rows_needed)
{
    int64_t shape[LM_MAXDIM];
    memcpy(shape, k->send->shape, sizeof shape);
    int ndim = k->send->ndim;
    if (k->row->receives == EACH || k->row->sends == EACH) {
        shape[0] = rows_needed;
        if (ndim == 0) ndim = 1;
    }
    k->recv = lm_newarray(k->L, (lm_dtype)k->send->dtype, ndim, shape);
    if (k->row->use == NEIGHBOURS) memset(k->recv->data, 0, lm_bytes(k->recv)); /* the blocks of missing ones */
    lua_replace(k->L, k->recv_arg);
}

/* Packed memory for the sides that are strided; what arrives in recvbuf is unpacked when the call is done. */
static void call_buffers(lm_call *k)
{
    if (k->recv) {
        k->recvbuf = k->recv->data;
        if (!k->recv->contiguous) lm_pack(k->recv, k->recvbuf = lua_newuserdatauv(k->L, lm_bytes(k->recv), 0));
    }
    if (k->send) {
        k->sendbuf = k->send->data;
        if (!k->send->contiguous) {
            void *packed = lua_newuserdatauv(k->L, lm_bytes(k->send), 0);
            lm_pack(k->send, packed);
            k->sendbuf = packed;
        }
    }
    if (!k->in_place) return;
    if (k->row->use == SEND_AT_ROOT) k->recvbuf = MPI_IN_PLACE;
    else k->sendbuf = MPI_IN_PLACE;
}

void lm_callwait(lm_call *k) { lm_wait(k->L, k->name, k->binding->has_root ? "root" : NULL, k->root, -1); }

static lm_intent call_intent(const lm_call *k)
{
    const char *op = k->op_arg && k->opid < LM_OPS ? lm_opnames[k->opid] : NULL;
    return (lm_intent){.call = k->name, .op = op, .root = k->binding->has_root ? k->root : -1, .dtype = k->dtype, .count = k->block,
                       .also = k->also, .mistake = k->mistake};
}

/* A nonblocking call that begins when its turn comes. */
typedef struct postponed {
    lm_turn turn;
    lm_call k;
    int (*call)(lm_call *k);
    bool owns_type;
} postponed;

static int postponed_begin(lm_turn *t, MPI_Comm comm)
{
    postponed *p = (postponed *)t;
    p->k.comm = comm;
    int code = p->call(&p->k);
    if (p->owns_type) MPI_Type_free(&p->k.type);
    return code;
}

/* Prepares the turn of the request on top of the stack, with all that the call has at this moment. */
static void call_postpone(lm_call *k)
{
    postponed *p = k->postponed = lua_newuserdatauv(k->L, sizeof *p, 0);
    lm_keep(k->L);
    *p = (postponed){.k = *k, .call = k->row->call};
    p->turn = (lm_turn){.request = k->request, .c = k->c, .intent = call_intent(k), .remainder = k->remainder, .begin = postponed_begin};
    p->turn.intent.varies = k->binding->varies && !k->op_arg;
    p->turn.intent.rows = k->sendcounts && k->recvcounts ? -1 : k->count;
    p->turn.intent.counts = k->sendcounts ? k->sendcounts : k->recvcounts;
}

/* The others learn of the mistake when they wait for their requests. */
static _Noreturn void call_fail(lm_call *k)
{
    lua_State *L = k->L;
    if (k->compares) {
        k->request = lm_newrequest(L, 1, k->name, NULL, 0, -1);
        k->request->observed = true;
        lua_pushstring(L, k->mistake);
        k->mistake = lua_tostring(L, -1);
        lm_keep(L);
        call_postpone(k);
        lm_openturn(L, k->request, &k->postponed->turn, true);
    }
    luaL_error(L, "%s", k->mistake);
    abort();
}

/* Nonblocking calls ask the others later. Those that always ask have a channel that all ranks use alike: what they move
   never meets a receive of a call that was not compared, which may be shorter. */
static void call_agree(lm_call *k, bool always, uint64_t also)
{
    k->also = also;
    if (k->binding->nonblocking) {
        k->compares = lm_compares(k->c, always);
        if (k->mistake) call_fail(k);
        return;
    }
    lm_callwait(k);
    lm_intent intent = call_intent(k);
    lm_agree(k->L, k->c, &intent, always);
    if (always) k->comm = k->c->payload;
}

/* Whether there is a result for this rank. */
static bool call_has_result(const lm_call *k) { return k->recv && !(k->made && k->row->call == exscan && k->c->rank == 0); }

/* For a nonblocking call: pushes the request, which keeps all that is on the stack and marks the arrays. */
static void call_request(lm_call *k)
{
    lua_State *L = k->L;
    int top = lua_gettop(L);
    lm_request *r = lm_newrequest(L, 1, k->name, k->binding->has_root ? "root" : NULL, k->root, -1);
    k->request_at = top + 1;
    for (int i = 2; i <= top; i++) {
        lua_pushvalue(L, i);
        lm_keep(L);
    }
    if (k->send) lm_markarray(L, r, k->send_arg, false);
    if (k->recv) lm_markarray(L, r, k->recv_arg, true);
    r->array = k->recv;
    r->room = k->recvbuf;
    if (call_has_result(k)) lua_pushvalue(L, k->recv_arg);
    else lua_pushnil(L);
    lua_setiuservalue(L, k->request_at, 2);
    k->request = r;
    call_postpone(k);
    lm_call *later = &k->postponed->k;
    k->postponed->owns_type = later->type != lm_mpitype(later->dtype) && later->type != MPI_BYTE;
    if (k->postponed->owns_type) MPI_Type_dup(k->type, &later->type);
}

/* Reductions that MPI cannot do by itself and that cannot run a callback where they are. */
static bool call_folds(const lm_call *k)
{
    return k->op_arg && !lm_isnative(k->opid, k->dtype) && (k->binding->nonblocking || k->row->call == reduce_scatter);
}

/* Bytes. MPI writes a longer message behind a receive that is too short for it. */
#define EAGER 4000

/* Whether any of the call's messages may be longer than that: MPI's trees send many ranks' blocks as one, only
   neighbours each block by itself. */
static bool call_is_large(const lm_call *k)
{
    bool many = k->row->sends == EACH || k->row->receives == EACH || call_folds(k);
    int together = many && k->row->use != NEIGHBOURS ? k->parts : 1;
    return k->binding->varies || k->block * lm_dtypes[k->dtype].size * together > EAGER;
}

/* Hands the call to MPI. */
static int call_mpi(lm_call *k)
{
    lm_callwait(k);
    if (k->binding->nonblocking) {
        call_request(k);
        return MPI_SUCCESS;
    }
    lm_waits.moving = call_is_large(k); /* the ranks have agreed, so all of them are here */
    return k->row->call(k);
}

/* --- reductions ------------------------------------------------------------------------------------------- */

/* Native reductions beyond an int's reach, piece by piece: elements do not depend on each other. */
static int call_pieces(lm_call *k, int64_t n)
{
    enum { PIECE = 1 << 30 };
    int size = lm_dtypes[k->dtype].size, code = MPI_SUCCESS;
    for (int64_t at = 0; at < n && code == MPI_SUCCESS; at += PIECE) {
        lm_call piece = *k;
        if (k->sendbuf != MPI_IN_PLACE) piece.sendbuf = (const char *)k->sendbuf + at * size;
        if (k->recvbuf) piece.recvbuf = (char *)k->recvbuf + at * size;
        piece.count = n - at < PIECE ? (int)(n - at) : PIECE;
        code = call_mpi(&piece);
    }
    return code;
}

/* A Lua operator that raised on a rank raises on all: what it raised here is at `raised`, 0: it did not. */
static void call_operated(lm_call *k, int raised)
{
    if (raised) k->mistake = lm_errortext(k->L, raised);
    call_agree(k, true, 0);
}

/* What a fold needs when the ranks' arrays are all here. */
typedef struct fold {
    const lm_array *like; /* what each rank gave */
    char *blocks;         /* by rank */
    int ranks;
    int64_t count;        /* how many of them make this rank's combination */
    size_t offset;        /* of this rank's part in the combination, in bytes */
    lm_array *recv;       /* NULL: no result here */
    int64_t rows;         /* of recv that the part fills: the first */
} fold;

/* false: the Lua operator raised; what it raised is pushed. All blocks are combined, so that it raises on all ranks. */
static bool fold_finish(lua_State *L, const fold *f, int op)
{
    if (!lm_foldblocks(L, op, f->like, f->blocks, f->ranks)) return false;
    if (!f->recv) return true;
    lm_array filled = *f->recv;
    if (filled.ndim == 0) filled.ndim = 1, filled.stride[0] = 1;
    filled.shape[0] = f->rows;
    lm_settle(&filled);
    lm_unpack(&filled, f->blocks + (size_t)(f->count - 1) * lm_bytes(f->like) + f->offset);
    return true;
}

static void fold_finish_request(lua_State *L, lm_request *r, int index)
{
    (void)r;
    int top = lua_gettop(L);
    lua_getiuservalue(L, index, 1);
    lua_getfield(L, -1, "fold");
    lua_getfield(L, -2, "op");
    if (!fold_finish(L, lua_touserdata(L, -2), lua_gettop(L))) lua_error(L);
    lua_settop(L, top);
}

/* All blocks come to all ranks, which combine them in rank order. */
static int call_fold(lm_call *k, const lm_array *like)
{
    lua_State *L = k->L;
    size_t bytes = lm_bytes(like);
    fold *f = lua_newuserdatauv(L, sizeof *f, 0);
    *f = (fold){like, lua_newuserdatauv(L, bytes * (size_t)k->c->size, 0), k->c->size, k->c->size, 0, k->recv, k->recv ? lm_rowsof(k->recv) : 0};
    if (k->row->call == scan) f->count = k->c->rank + 1;
    if (k->row->call == exscan) f->count = k->c->rank;
    if (f->count == 0) f->recv = NULL;
    if (k->row->call == reduce_scatter) {
        f->offset = (size_t)k->recvdispls[k->c->rank] * (size_t)lm_dtypes[like->dtype].size;
        f->rows = k->block ? k->recvcounts[k->c->rank] / k->block : 0;
    }
    char *mine = lua_newuserdatauv(L, bytes, 0);
    lm_pack(like, mine);
    lm_span span = lm_spanof(MPI_BYTE, (int64_t)bytes);
    lm_callrow gathering = {.name = k->name, .call = allgather, .arguments = "sr"};
    lm_call g = *k;
    g.row = &gathering;
    g.sendbuf = mine;
    g.recvbuf = f->blocks;
    g.count = span.count;
    g.type = span.type;
    int code = call_mpi(&g);
    lm_endspan(&span);
    k->request = g.request;
    k->request_at = g.request_at;
    k->postponed = g.postponed;
    if (!k->binding->nonblocking) {
        lm_mpi(L, code, k->name);
        bool fine = fold_finish(L, f, k->op_arg);
        if (k->opid >= LM_FUNCTION) call_operated(k, fine ? 0 : lua_gettop(L));
        k->recvbuf = NULL; /* unpacked already */
        return code;
    }
    if (!call_has_result(k)) {
        lua_pushnil(L);
        lua_setiuservalue(L, k->request_at, 2);
    }
    k->request->array = NULL;
    k->request->finish = fold_finish_request;
    lua_getiuservalue(L, k->request_at, 1);
    lua_pushlightuserdata(L, f);
    lua_setfield(L, -2, "fold");
    lua_pushvalue(L, k->op_arg);
    lua_setfield(L, -2, "op");
    return code;
}

static int call_reduce(lm_call *k)
{
    const lm_array *like = k->send ? k->send : k->recv;
    if (call_folds(k)) return call_fold(k, like);
    lm_reduction r;
    lm_beginreduction(k->L, &r, k->op_arg, like);
    k->op = r.mpi;
    k->type = r.type;
    k->count = (int)r.count;
    int code = r.count > INT_MAX && k->row->call != reduce_scatter ? call_pieces(k, r.count) : call_mpi(k);
    lm_endreduction(&r);
    if (r.message) call_operated(k, r.failed ? r.message : 0);
    return code;
}

static int call_blocks(lm_call *k)
{
    lm_span span = lm_spanof(lm_mpitype(k->dtype), k->block);
    k->count = span.count;
    k->type = span.type;
    int code = call_mpi(k);
    lm_endspan(&span);
    return code;
}

/* --- blocks of different sizes ---------------------------------------------------------------------------- */

static int64_t row_elements(const lm_array *a)
{
    int64_t n = 1;
    for (int d = 1; d < a->ndim; d++) n *= a->shape[d];
    return n;
}

static int call_varying(lm_call *k)
{
    const lm_array *a = k->send ? k->send : k->recv;
    const char *m = strchr(k->row->arguments, 'm'), *n = strchr(k->row->arguments, 'n');
    int send_counts = m ? 2 + (int)(m - k->row->arguments) : 0, recv_counts = n ? 2 + (int)(n - k->row->arguments) : 0;
    uint64_t also = 0;
    k->block = a ? row_elements(a) : -1;
    if (a) k->dtype = (lm_dtype)a->dtype;
    if (k->send && k->recv) {
        call_fit(k, k->recv->size);
        if (row_elements(k->send) != row_elements(k->recv))
            lm_mistake(k->L, &k->mistake, k->recv_arg, k->name, "recv has rows of %I elements, send of %I",
                       (lua_Integer)row_elements(k->recv), (lua_Integer)row_elements(k->send));
    }
    if (k->op_arg) call_reducible(k, a);
    if (!k->binding->nonblocking) call_agree(k, true, 0);
    if (k->op_arg) also = lm_countparts(k, recv_counts);
    else if (m && n) lm_countpairs(k, send_counts, recv_counts);
    else also = lm_countall(k, m ? send_counts : recv_counts);
    call_agree(k, true, also);
    call_buffers(k);
    if (k->op_arg) return call_reduce(k);
    k->type = lm_blocktype(lm_mpitype(k->dtype), k->block);
    int code = call_mpi(k);
    MPI_Type_free(&k->type);
    return code;
}

/* --- one collective --------------------------------------------------------------------------------------- */

static int call_equal(lm_call *k)
{
    call_block(k);
    int64_t n = k->parts;
    if (k->send && k->made && k->receives && !k->mistake) {
        int64_t first = lm_rowsof(k->send);
        lm_callmake(k, k->row->receives == k->row->sends ? first : k->row->receives == EACH ? first * n : first / n);
    }
    call_fit(k, k->row->receives == EACH ? k->block * n : k->block);
    if (k->binding->nonblocking && k->op_arg && k->block > INT_MAX && lm_isnative(k->opid, k->dtype))
        lm_mistake(k->L, &k->mistake, k->send ? k->send_arg : k->recv_arg, k->name, "more than 2^31 elements; the blocking call takes them");
    call_agree(k, lm_checking != LM_CHECK_NONE && call_is_large(k), 0);
    call_buffers(k);
    return k->op_arg ? call_reduce(k) : call_blocks(k);
}

/* Open MPI's nonblocking exchange swaps the two blocks of a neighbour that is both the lower and the higher one. */
static int call_neighbours(lm_call *k)
{
    int peers[2 * LM_MAXGRID], n = lm_neighbours(k->L, k->c, k->name, peers);
    for (int i = 0; k->binding->nonblocking && k->row->call == neighbor_alltoall && i < n; i += 2)
        if (peers[i] != MPI_PROC_NULL && peers[i] == peers[i + 1])
            luaL_error(k->L, "%s: dimension %d is periodic and has fewer than 3 ranks; the blocking call takes it", k->name, i / 2 + 1);
    return n;
}

/* MPI may still write into the arrays of a call that it ended with an error: they stay, with all that is on the stack. */
static void keep_for_ever(lua_State *L)
{
    int n = lua_gettop(L);
    lua_createtable(L, n, 0);
    for (int i = 1; i <= n; i++) {
        lua_pushvalue(L, i);
        lua_rawseti(L, -2, i);
    }
    luaL_ref(L, LUA_REGISTRYINDEX);
}

/* Upvalue: the binding. */
static int collective(lua_State *L)
{
    const lm_binding *b = lua_touserdata(L, lua_upvalueindex(1));
    lm_call k = {.row = b->row, .binding = b, .name = b->name, .c = lm_checkcomm(L, 1), .L = L};
    k.comm = k.c->later;
    k.parts = k.c->size;
    if (k.row->use == NEIGHBOURS) k.parts = call_neighbours(&k);
    call_read(&k);
    int code = b->varies ? call_varying(&k) : call_equal(&k);
    if (code != MPI_SUCCESS) keep_for_ever(L);
    lm_mpi(L, code, k.name);
    if (b->nonblocking) {
        lua_pushvalue(L, k.request_at);
        lm_openturn(L, k.request, &k.postponed->turn, k.compares);
        return 1;
    }
    if (k.recv && !k.recv->contiguous && k.recvbuf) lm_unpack(k.recv, k.recvbuf);
    if (call_has_result(&k)) lua_pushvalue(L, k.recv_arg);
    else lua_pushnil(L);
    return 1;
}

/* Adds a row to the methods on top of the stack. */
static void collective_add(lua_State *L, const lm_callrow *r, bool nonblocking)
{
    lm_binding *b = lua_newuserdatauv(L, sizeof *b, 0);
    *b = (lm_binding){r, nonblocking, strchr(r->arguments, 't'), strpbrk(r->arguments, "mn"), (int)strlen(r->arguments), ""};
    snprintf(b->name, sizeof b->name, nonblocking ? "I%c%s" : "%c%s", nonblocking ? tolower(r->name[0]) : r->name[0], r->name + 1);
    lua_pushcclosure(L, collective, 1);
    lua_setfield(L, -2, b->name);
}

static int barrier(lua_State *L)
{
    lm_comm *c = lm_checkcomm(L, 1);
    lm_wait(L, "barrier", NULL, 0, -1);
    lm_intent intent = lm_plainintent("barrier", 0, NULL);
    lm_agree(L, c, &intent, false);
    lm_mpi(L, MPI_Barrier(c->comm), "barrier");
    return 0;
}

static int ibarrier_begin(lm_turn *t, MPI_Comm comm) { return MPI_Ibarrier(comm, &t->request->mpi); }

static int ibarrier(lua_State *L)
{
    lm_comm *c = lm_checkcomm(L, 1);
    lm_request *r = lm_newrequest(L, 1, "ibarrier", NULL, 0, -1);
    lm_turn *t = lua_newuserdatauv(L, sizeof *t, 0);
    lm_keep(L);
    *t = (lm_turn){.request = r, .c = c, .intent = {"ibarrier", NULL, -1, -1, -1, 0, NULL}, .begin = ibarrier_begin};
    lm_openturn(L, r, t, lm_compares(c, false));
    return 1;
}

static int in_place_tostring(lua_State *L)
{
    lua_pushstring(L, in_place_kind.name);
    return 1;
}

static const luaL_Reg methods[] = {{NULL, NULL}};
static const luaL_Reg metamethods[] = {{"__tostring", in_place_tostring}, {NULL, NULL}};

void luaopen_collective(lua_State *L)
{
    lm_newkind(L, &in_place_kind, methods, metamethods);
    lua_pop(L, 1);
    lm_new(L, &in_place_kind, 0);
    lua_setfield(L, -2, "IN_PLACE");
    lua_getfield(L, -1, "comm");
    for (const lm_callrow *r = rows; r->name; r++) {
        collective_add(L, r, false);
        collective_add(L, r, true);
    }
    lua_pushcfunction(L, barrier);
    lua_setfield(L, -2, "barrier");
    lua_pushcfunction(L, ibarrier);
    lua_setfield(L, -2, "ibarrier");
    lua_pop(L, 1);
}
