/* Collectives of arrays: a row each.

   About thirty calls share one way: read the arguments, find the block that travels per rank, agree, call MPI. A row
   says what the arguments are and how many blocks each side holds; the one line of C above it hands the filled struct
   to MPI. */
#include "collective.h"

#include "agree.h"
#include "datatype.h"
#include "error.h"
#include "progress.h"

#include <limits.h>
#include <stdarg.h>
#include <string.h>

typedef struct call {
    const struct row *row;
    lm_comm *c;
    lua_State *L;
    const char *mistake;
    int send_arg, recv_arg;  /* stack indices of the arguments; 0: this call has none */
    lm_array *send, *recv;   /* NULL: not given, not used here, or IN_PLACE */
    bool in_place, made;     /* made: recv was left out */
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
} call;

typedef enum blocks { ONE, EACH } blocks; /* one block, or one for each rank */

typedef struct row {
    const char *name;
    int (*call)(call *k);
    const char *arguments; /* b both, s send, r recv, m sendcounts, n recvcounts, o op, t root */
    blocks sends, receives;
    enum { EVERYWHERE, SEND_AT_ROOT, RECV_AT_ROOT } use;
} row;

/* --- the calls -------------------------------------------------------------------------------------------- */

#define BLOCK k->count, k->type

static int bcast(call *k) { return MPI_Bcast(k->recvbuf, BLOCK, k->root, k->comm); }
static int scatter(call *k) { return MPI_Scatter(k->sendbuf, BLOCK, k->recvbuf, BLOCK, k->root, k->comm); }
static int gather(call *k) { return MPI_Gather(k->sendbuf, BLOCK, k->recvbuf, BLOCK, k->root, k->comm); }
static int allgather(call *k) { return MPI_Allgather(k->sendbuf, BLOCK, k->recvbuf, BLOCK, k->comm); }
static int alltoall(call *k) { return MPI_Alltoall(k->sendbuf, BLOCK, k->recvbuf, BLOCK, k->comm); }
static int reduce(call *k) { return MPI_Reduce(k->sendbuf, k->recvbuf, BLOCK, k->op, k->root, k->comm); }
static int allreduce(call *k) { return MPI_Allreduce(k->sendbuf, k->recvbuf, BLOCK, k->op, k->comm); }
static int scan(call *k) { return MPI_Scan(k->sendbuf, k->recvbuf, BLOCK, k->op, k->comm); }
static int exscan(call *k) { return MPI_Exscan(k->sendbuf, k->recvbuf, BLOCK, k->op, k->comm); }

static int scatterv(call *k)
{
    return MPI_Scatterv(k->sendbuf, k->sendcounts, k->senddispls, k->type, k->recvbuf, k->count, k->type, k->root, k->comm);
}

static int gatherv(call *k)
{
    return MPI_Gatherv(k->sendbuf, k->count, k->type, k->recvbuf, k->recvcounts, k->recvdispls, k->type, k->root, k->comm);
}

static int allgatherv(call *k)
{
    return MPI_Allgatherv(k->sendbuf, k->count, k->type, k->recvbuf, k->recvcounts, k->recvdispls, k->type, k->comm);
}

static const row rows[] = {
    {"Bcast", bcast, "bt", ONE, ONE, EVERYWHERE},
    {"Scatter", scatter, "srt", EACH, ONE, SEND_AT_ROOT},
    {"Gather", gather, "srt", ONE, EACH, RECV_AT_ROOT},
    {"Allgather", allgather, "sr", ONE, EACH, EVERYWHERE},
    {"Alltoall", alltoall, "sr", EACH, EACH, EVERYWHERE},
    {"Scatterv", scatterv, "smrt", EACH, ONE, SEND_AT_ROOT},
    {"Gatherv", gatherv, "srnt", ONE, EACH, RECV_AT_ROOT},
    {"Allgatherv", allgatherv, "srn", ONE, EACH, EVERYWHERE},
    {"Reduce", reduce, "srot", ONE, ONE, RECV_AT_ROOT},
    {"Allreduce", allreduce, "sro", ONE, ONE, EVERYWHERE},
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
    if (!is) lm_mistake(L, mistake, arg, name, "root: rank expected, got %s", luaL_typename(L, arg));
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
static lm_array *call_array(call *k, int arg, const char *what, bool writes)
{
    lm_array *a = lm_toarray(k->L, arg);
    if (!a) {
        lm_mistake(k->L, &k->mistake, arg, k->row->name, "%s: array expected, got %s", what, luaL_typename(k->L, arg));
        return NULL;
    }
    const char *why = lm_unusable(a, writes);
    if (why) lm_mistake(k->L, &k->mistake, arg, k->row->name, "%s: %s", what, why);
    return a;
}

/* Sets send, recv, root and op from the arguments. */
static void call_read(call *k)
{
    lua_State *L = k->L;
    int arg = 2;
    lua_settop(L, 1 + (int)strlen(k->row->arguments));
    for (const char *p = k->row->arguments; *p; p++, arg++) {
        if (*p == 't') k->root = lm_readroot(L, arg, k->c, k->row->name, &k->mistake);
        else if (*p == 'o') k->opid = lm_readop(L, k->op_arg = arg, k->row->name, &k->mistake);
        else if (*p == 's') k->send_arg = arg;
        else if (*p == 'r' || *p == 'b') k->recv_arg = arg;
    }
    bool at_root = k->c->rank == k->root;
    k->sends = k->send_arg && (k->row->use != SEND_AT_ROOT || at_root);
    k->receives = k->row->use != RECV_AT_ROOT || at_root;
    /* IN_PLACE stands for the side a rank need not have: recv in scatters at the root, send in the others */
    int may_be = k->row->use == SEND_AT_ROOT ? k->recv_arg : k->send_arg;
    k->in_place = may_be && lm_test(L, may_be, &in_place_kind) && (k->row->use == EVERYWHERE || at_root);
    if (k->sends && !(k->in_place && may_be == k->send_arg)) k->send = call_array(k, k->send_arg, "send", false);
    if (!k->receives || (k->in_place && may_be == k->recv_arg)) return;
    k->made = k->send_arg && lua_isnil(L, k->recv_arg) && k->row->use != SEND_AT_ROOT && !k->in_place;
    if (!k->made) k->recv = call_array(k, k->recv_arg, k->send_arg ? "recv" : "array", true);
}

/* --- equal blocks ----------------------------------------------------------------------------------------- */

/* Sets block and dtype: from the side this rank has. */
static void call_block(call *k)
{
    const lm_array *a = k->send ? k->send : k->recv;
    if (!a) return;
    blocks held = k->send ? k->row->sends : k->row->receives;
    k->dtype = (lm_dtype)a->dtype;
    k->block = held == EACH ? a->size / k->c->size : a->size;
    if (held == EACH && a->size % k->c->size)
        lm_mistake(k->L, &k->mistake, k->send ? k->send_arg : k->recv_arg, k->row->name,
                   "%s has %I elements, which %d ranks do not divide", k->send ? "send" : "recv", (lua_Integer)a->size, k->c->size);
    if (k->opid < LM_OPS && k->op_arg) {
        const char *why = lm_reducible(k->opid, a);
        if (why) lm_mistake(k->L, &k->mistake, k->op_arg, k->row->name, "%s %s", lm_opnames[k->opid], why);
    }
}

/* Makes recv when it was left out, else compares it with send. */
static void call_fit(call *k, int64_t needed)
{
    if (!k->send || !k->recv) return;
    if (k->recv->dtype != k->send->dtype)
        lm_mistake(k->L, &k->mistake, k->recv_arg, k->row->name, "recv is %s, send is %s", lm_dtypes[k->recv->dtype].name,
                   lm_dtypes[k->send->dtype].name);
    else if (k->recv->size != needed)
        lm_mistake(k->L, &k->mistake, k->recv_arg, k->row->name, "recv has %I elements, expected %I", (lua_Integer)k->recv->size,
                   (lua_Integer)needed);
    else if (lm_overlap(k->send, k->recv))
        lm_mistake(k->L, &k->mistake, k->recv_arg, k->row->name, "send and recv share memory; pass mpi.IN_PLACE instead of one");
}

/* Pushes the array a call was not given: as send, with `rows` in the first dimension. */
static void call_make(call *k, int64_t rows_needed)
{
    int64_t shape[LM_MAXDIM];
    memcpy(shape, k->send->shape, sizeof shape);
    if (k->row->receives == EACH || k->row->sends == EACH) shape[0] = rows_needed;
    int ndim = k->send->ndim == 0 && k->row->receives == EACH ? 1 : k->send->ndim;
    k->recv = lm_newarray(k->L, (lm_dtype)k->send->dtype, ndim, shape);
    lua_replace(k->L, k->recv_arg);
}

/* Packed memory for the sides that are strided; recvbuf is put back by call_finish. */
static void call_buffers(call *k)
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

static void call_wait(call *k) { lm_wait(k->L, k->row->name, strchr(k->row->arguments, 't') ? "root" : NULL, k->root, -1); }

static void call_agree(call *k, bool always, uint64_t also)
{
    call_wait(k);
    lm_intent intent = {k->row->name, k->op_arg && k->opid < LM_OPS ? lm_opnames[k->opid] : NULL,
                        strchr(k->row->arguments, 't') ? k->root : -1, k->dtype, k->block, also, k->mistake};
    lm_agree(k->L, k->c, &intent, always);
}

/* Native reductions beyond an int's reach, piece by piece: elements do not depend on each other. */
static int call_pieces(call *k, int64_t n)
{
    enum { PIECE = 1 << 30 };
    int size = lm_dtypes[k->dtype].size, code = MPI_SUCCESS;
    for (int64_t at = 0; at < n && code == MPI_SUCCESS; at += PIECE) {
        call piece = *k;
        if (k->sendbuf != MPI_IN_PLACE) piece.sendbuf = (const char *)k->sendbuf + at * size;
        if (k->recvbuf) piece.recvbuf = (char *)k->recvbuf + at * size;
        piece.count = n - at < PIECE ? (int)(n - at) : PIECE;
        code = k->row->call(&piece);
    }
    return code;
}

static int call_reduce(call *k)
{
    lm_reduction r;
    lm_beginreduction(k->L, &r, k->op_arg, k->send ? k->send : k->recv);
    k->op = r.mpi;
    k->type = r.type;
    k->count = (int)r.count;
    call_wait(k);
    int code = r.count > INT_MAX ? call_pieces(k, r.count) : k->row->call(k);
    lm_endreduction(&r);
    if (r.message) { /* a Lua operator may have raised on some rank */
        if (r.failed) k->mistake = luaL_tolstring(k->L, r.message, NULL);
        call_agree(k, true, 0);
    }
    return code;
}

static int call_blocks(call *k)
{
    lm_span span = lm_spanof(lm_mpitype(k->dtype), k->block);
    k->count = span.count;
    k->type = span.type;
    call_wait(k);
    int code = k->row->call(k);
    lm_endspan(&span);
    return code;
}

/* --- blocks of different sizes ---------------------------------------------------------------------------- */

static int64_t array_rows(const lm_array *a) { return a->ndim ? a->shape[0] : 1; }
static int64_t row_elements(const lm_array *a)
{
    int64_t n = 1;
    for (int d = 1; d < a->ndim; d++) n *= a->shape[d];
    return n;
}

/* Finds what each rank gives or takes: gathered from the ranks' own arrays and, when counts are given, compared with
   them, so that MPI never meets a count that is wrong. Pushes the memory of counts and displacements. */
static void call_counts(call *k, int counts_arg)
{
    lua_State *L = k->L;
    int n = k->c->size;
    bool scatters = k->row->use == SEND_AT_ROOT, has_all = scatters ? k->sends : k->receives;
    const lm_array *part = scatters ? k->recv : k->send, *whole = scatters ? k->send : k->recv;
    int64_t mine = part ? array_rows(part) : -1; /* -1: in place, its part lies in the whole */
    int64_t *parts = lua_newuserdatauv(L, sizeof *parts * (size_t)n, 0);
    call_wait(k);
    if (k->row->use == EVERYWHERE) lm_mpi(L, MPI_Allgather(&mine, 1, MPI_INT64_T, parts, 1, MPI_INT64_T, k->comm), k->row->name);
    else lm_mpi(L, MPI_Gather(&mine, 1, MPI_INT64_T, parts, 1, MPI_INT64_T, k->root, k->comm), k->row->name);
    int *counts = lua_newuserdatauv(L, sizeof *counts * 2 * (size_t)n, 0), *displs = counts + n;
    bool given = !lua_isnoneornil(L, counts_arg);
    if (has_all && given && (!lua_istable(L, counts_arg) || (lua_Integer)lua_rawlen(L, counts_arg) != n))
        lm_mistake(L, &k->mistake, counts_arg, k->row->name, "counts: list of %d integers expected, one for each rank, got %s", n,
                   lua_istable(L, counts_arg) ? lua_pushfstring(L, "%I", (lua_Integer)lua_rawlen(L, counts_arg))
                                              : luaL_typename(L, counts_arg));
    int64_t total = 0, elements = whole ? row_elements(whole) : part ? row_elements(part) : 1;
    for (int r = 0; has_all && !k->mistake && r < n; r++) {
        int64_t count = parts[r];
        if (given) {
            int is;
            lua_rawgeti(L, counts_arg, r + 1);
            count = lua_tointegerx(L, -1, &is);
            lua_pop(L, 1);
            if (!is || count < 0)
                lm_mistake(L, &k->mistake, counts_arg, k->row->name, "counts[%d] is not a count of rows", r + 1);
            else if (parts[r] >= 0 && parts[r] != count)
                lm_mistake(L, &k->mistake, counts_arg, k->row->name, "counts[%d] is %I, but the array on rank %d has %I rows", r + 1,
                           (lua_Integer)count, r, (lua_Integer)parts[r]);
        } else if (count < 0) {
            lm_mistake(L, &k->mistake, counts_arg, k->row->name, "counts is missing: with mpi.IN_PLACE it is needed");
        }
        if (total > INT_MAX || count > INT_MAX)
            lm_mistake(L, &k->mistake, counts_arg, k->row->name, "more than 2^31 rows; send fewer and longer ones");
        counts[r] = (int)count;
        displs[r] = (int)total;
        total += count;
    }
    if (has_all && !k->mistake && k->made) call_make(k, total), whole = k->recv;
    if (has_all && !k->mistake && whole && array_rows(whole) != total)
        lm_mistake(L, &k->mistake, scatters ? k->send_arg : k->recv_arg, k->row->name, "%s has %I rows, the counts make %I",
                   scatters ? "send" : "recv", (lua_Integer)array_rows(whole), (lua_Integer)total);
    k->block = elements;
    call_agree(k, true, 0);
    k->count = mine < 0 ? 0 : (int)mine;
    if (scatters) k->sendcounts = counts, k->senddispls = displs;
    else k->recvcounts = counts, k->recvdispls = displs;
}

static int call_varying(call *k, const char *counts_letter)
{
    const lm_array *a = k->send ? k->send : k->recv;
    k->block = a ? row_elements(a) : -1;
    if (a) k->dtype = (lm_dtype)a->dtype;
    if (k->send && k->recv) {
        call_fit(k, k->recv->size);
        if (row_elements(k->send) != row_elements(k->recv))
            lm_mistake(k->L, &k->mistake, k->recv_arg, k->row->name, "recv has rows of %I elements, send of %I",
                       (lua_Integer)row_elements(k->recv), (lua_Integer)row_elements(k->send));
    }
    call_agree(k, true, 0);
    call_counts(k, 2 + (int)(counts_letter - k->row->arguments));
    call_buffers(k);
    k->type = lm_blocktype(lm_mpitype(k->dtype), k->block);
    call_wait(k);
    int code = k->row->call(k);
    MPI_Type_free(&k->type);
    return code;
}

/* --- one collective --------------------------------------------------------------------------------------- */

#define EAGER_BLOCK 4000 /* bytes; MPI itself is safe from blocks of different sizes up to here */

static int call_equal(call *k)
{
    call_block(k);
    int64_t n = k->c->size;
    if (k->send && k->made && k->receives && !k->mistake) {
        int64_t first = k->send->ndim ? k->send->shape[0] : 1;
        call_make(k, k->row->receives == k->row->sends ? first : k->row->receives == EACH ? first * n : first / n);
    }
    call_fit(k, k->row->receives == EACH ? k->block * n : k->block);
    call_agree(k, lm_checking != LM_CHECK_NONE && k->block * lm_dtypes[k->dtype].size > EAGER_BLOCK, 0);
    call_buffers(k);
    return k->op_arg ? call_reduce(k) : call_blocks(k);
}

static int collective(lua_State *L)
{
    call k = {.row = lua_touserdata(L, lua_upvalueindex(1)), .c = lm_checkcomm(L, 1), .L = L};
    k.comm = k.c->comm;
    call_read(&k);
    const char *counts = strpbrk(k.row->arguments, "mn");
    lm_mpi(L, counts ? call_varying(&k, counts) : call_equal(&k), k.row->name);
    if (k.recv && !k.recv->contiguous) lm_unpack(k.recv, k.recvbuf);
    if (k.recv && !(k.made && k.row->call == exscan && k.c->rank == 0)) lua_pushvalue(L, k.recv_arg);
    else lua_pushnil(L);
    return 1;
}

static int barrier(lua_State *L)
{
    lm_comm *c = lm_checkcomm(L, 1);
    lm_wait(L, "barrier", NULL, 0, -1);
    lm_agree(L, c, &(lm_intent){"barrier", NULL, -1, -1, -1, 0, NULL}, false);
    lm_mpi(L, MPI_Barrier(c->comm), "barrier");
    return 0;
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
    for (const row *r = rows; r->name; r++) {
        lua_pushlightuserdata(L, (void *)r);
        lua_pushcclosure(L, collective, 1);
        lua_setfield(L, -2, r->name);
    }
    lua_pushcfunction(L, barrier);
    lua_setfield(L, -2, "barrier");
    lua_pop(L, 1);
}
