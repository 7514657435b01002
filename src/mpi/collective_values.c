/* Collectives of any Lua value. Each rank's value travels as a block of fixed size that holds the encoding when it
   fits; what is longer follows on the second channel. A rank that cannot encode its value still takes part: its block
   carries the message, and the call raises where the value was wanted.

   From the agreement to the last call of MPI nothing raises, or the others would wait for ever: memory whose size is
   known is there before, what comes and finds none goes nowhere, and values are decoded at the end. */
#include "collective_values.h"

#include "agree.h"
#include "datatype.h"
#include "error.h"
#include "message.h"
#include "progress.h"
#include "topology.h"
#include "wire.h"

#include <limits.h>
#include <string.h>

typedef struct head {
    uint64_t bytes;
    uint32_t sequence; /* tag of what follows */
    bool failed;       /* the bytes are an error message */
} head;

#define BLOCK 256 /* what Open MPI moves fastest on one node: blocks of 512 bytes take twice as long */
#define BODY (BLOCK - sizeof(head))

typedef struct block {
    head head;
    char body[BODY];
} block;

#define FEW 8 /* ranks whose blocks lie on the C stack, and go from one to another */

/* --- encoding under protection ---------------------------------------------------------------------------- */

/* Arguments: the value, the buffer. */
static int protected_encode(lua_State *L)
{
    lm_encode(L, 1, lua_touserdata(L, 2));
    return 0;
}

/* Appends the encoding of the value at index, or pushes the message and returns false. */
static bool encode(lua_State *L, int index, lm_buffer *b)
{
    switch (lua_type(L, index)) {
    case LUA_TNIL:
    case LUA_TBOOLEAN:
    case LUA_TNUMBER:
        lm_encode(L, index, b);
        return true;
    default:
        index = lua_absindex(L, index);
        lua_pushcfunction(L, protected_encode);
        lua_pushvalue(L, index);
        lua_pushlightuserdata(L, b);
        return lm_quietcall(L, 2, 0) == LUA_OK;
    }
}

lm_buffer *lm_ownbuffer(lua_State *L)
{
    lm_buffer *b = lm_newbuffer(L);
    lua_toclose(L, -1);
    return b;
}

lm_parcel lm_messageparcel(lua_State *L, lm_buffer *b)
{
    size_t at = b->size, length;
    lm_errortext(L, -1);
    const char *message = lua_tolstring(L, -1, &length);
    if (!lm_reserve(L, b, length)) length = b->capacity - b->size;
    memcpy(lm_grow(L, b, length), message, length);
    lua_pop(L, 2);
    return (lm_parcel){at, length, true};
}

lm_parcel lm_encodeparcel(lua_State *L, int index, lm_buffer *b)
{
    size_t at = b->size;
    if (!encode(L, index, b)) return lm_messageparcel(L, b);
    return (lm_parcel){at, b->size - at, false};
}

/* The value at index as a parcel that is all there is: in a buffer of this call's own, or when it takes at most `room` bytes in the shared one,
   to be copied before anything else is made. */
static lm_buffer *parcel_alone(lua_State *L, int index, size_t room, lm_parcel *p)
{
    lm_buffer *b = lm_scratch(L);
    if (!encode(L, index, b)) { /* anew, so that the message lies in a safe place */
        lua_pop(L, 1);
        b = lm_ownbuffer(L);
        *p = lm_encodeparcel(L, index, b);
        return b;
    }
    if (b->size > room) {
        b = lm_keepscratch(L);
        lua_toclose(L, -1);
    }
    *p = (lm_parcel){0, b->size, false};
    return b;
}

const char *lm_parcelmistake(lua_State *L, const lm_parcel *p, const lm_buffer *b)
{
    return p->failed ? lua_pushlstring(L, b->data + p->at, p->size) : NULL;
}

static void block_fill(block *to, const lm_parcel *p, const lm_buffer *b, uint32_t sequence)
{
    to->head = (head){p->size, sequence, p->failed};
    if (p->size <= BODY) memcpy(to->body, b->data + p->at, p->size);
}

/* --- agreement -------------------------------------------------------------------------------------------- */

lm_valuecall lm_begincall(lua_State *L, const char *name, int root_arg)
{
    lm_valuecall k = {.L = L, .c = lm_checkcomm(L, 1), .name = name, .root = -1, .op = LM_OPS};
    if (root_arg) k.root = lm_readroot(L, root_arg, k.c, name, &k.mistake);
    return k;
}

void lm_agreecall(lm_valuecall *k, bool always)
{
    lm_wait(k->L, k->name, k->root < 0 ? NULL : "root", k->root, -1);
    const char *op = k->op < LM_OPS ? lm_opnames[k->op] : NULL;
    lm_intent intent = {.call = k->name, .op = op, .root = k->root, .dtype = -1, .count = -1, .mistake = k->mistake};
    lm_agree(k->L, k->c, &intent, always);
}

/* A value that cannot be encoded is a mistake every rank learns of while calls are compared; later the block says it. */
static void call_agree_parcel(lm_valuecall *k, const lm_parcel *p, const lm_buffer *b)
{
    if (!k->mistake && lm_compares(k->c, false)) k->mistake = lm_parcelmistake(k->L, p, b);
    lm_agreecall(k, false);
}

/* --- blocks ----------------------------------------------------------------------------------------------- */

/* Few ranks send their blocks to one another, and of each only what it holds: MPI's own collectives take longer. The
   tags keep calls apart that do not belong together, which wait for ever, as they would there. */
enum { GATHER = LM_SEQUENCES, ALLGATHER, ALLTOALL };

static int block_size(const block *b) { return (int)(sizeof b->head + (b->head.bytes <= BODY ? b->head.bytes : 0)); }

/* Where this rank makes its own block: among few ranks, where it belongs. */
static block *block_own(const lm_comm *c, block few[FEW]) { return &few[c->size > FEW ? 0 : c->rank]; }

/* Fills `all` at root with every rank's block. */
static void blocks_gather(lm_valuecall *k, int root, const block *own, block *all)
{
    lua_State *L = k->L;
    lm_comm *c = k->c;
    lm_wait(L, k->name, "root", root, -1);
    if (c->size > FEW) {
        lm_mpi(L, MPI_Gather(own, BLOCK, MPI_BYTE, all, BLOCK, MPI_BYTE, root, c->comm), k->name);
    } else if (c->rank != root) {
        lm_mpi(L, MPI_Send(own, block_size(own), MPI_BYTE, root, GATHER, c->payload), k->name);
    } else {
        for (int r = 0; r < c->size; r++)
            if (r != root) lm_mpi(L, MPI_Recv(&all[r], BLOCK, MPI_BYTE, r, GATHER, c->payload, MPI_STATUS_IGNORE), k->name);
    }
}

/* Sends to[r * step] to each other rank r, and fills from[r] with what comes from it: among few ranks. */
static void blocks_exchange(lm_valuecall *k, const block *to, int step, block *from, int tag)
{
    lua_State *L = k->L;
    int rank = k->c->rank, size = k->c->size;
    MPI_Comm comm = k->c->payload;
    MPI_Request requests[FEW];
    for (int r = 0; r < size; r++) {
        const block *b = &to[r * step];
        if (r != rank) lm_mpi(L, MPI_Isend(b, block_size(b), MPI_BYTE, r, tag, comm, &requests[r]), k->name);
    }
    for (int r = 0; r < size; r++)
        if (r != rank) lm_mpi(L, MPI_Recv(&from[r], BLOCK, MPI_BYTE, r, tag, comm, MPI_STATUS_IGNORE), k->name);
    for (int r = 0; r < size; r++) /* one after the other: Waitall takes longer */
        if (r != rank) lm_mpi(L, MPI_Wait(&requests[r], MPI_STATUS_IGNORE), k->name);
}

/* --- what does not fit into a block ----------------------------------------------------------------------- */

static MPI_Request long_isend(lm_valuecall *k, const void *bytes, const head *h, int dest)
{
    MPI_Request request;
    lm_span span = lm_spanof(MPI_BYTE, (int64_t)h->bytes);
    int code = MPI_Isend(bytes, span.count, span.type, dest, (int)h->sequence, k->c->payload, &request);
    lm_endspan(&span);
    lm_mpi(k->L, code, k->name);
    return request;
}

static void long_wait(lm_valuecall *k, int n, MPI_Request *requests)
{
    lm_wait(k->L, k->name, NULL, 0, -1);
    lm_mpi(k->L, MPI_Waitall(n, requests, MPI_STATUSES_IGNORE), k->name);
}

/* Pushes a buffer, to be closed, for n bytes that come; NULL: there is no memory for them. */
static lm_buffer *long_room(lua_State *L, size_t n)
{
    lm_buffer *b = lm_trybuffer(L);
    lua_toclose(L, -1);
    if (!b || !lm_reserve(L, b, n)) return NULL;
    b->size = n;
    return b;
}

static char *room_data(const lm_buffer *room) { return room ? room->data : NULL; }

/* Without room (NULL) the bytes go nowhere. */
static void long_recv(lm_valuecall *k, char *room, const head *h, int source)
{
    lm_head whole = {.sequence = h->sequence, .bytes = h->bytes};
    lm_arrival from = {.source = source};
    lm_waitmoving(k->L, k->name, "source", source, -1);
    lm_mpi(k->L, room ? lm_takepayload(k->c, &whole, from, room) : lm_drain(k->c, &whole, from), k->name);
}

static uint64_t long_bytes(const block *b) { return b->head.bytes > BODY ? b->head.bytes : 0; }

static uint64_t longs_total(const block *blocks, int n)
{
    uint64_t total = 0;
    for (int i = 0; i < n; i++) total += long_bytes(&blocks[i]);
    return total;
}

/* Receives what does not fit into the blocks of all ranks, or of n neighbours, one behind the other into a buffer, which
   is pushed; `own` is what this rank itself has, or NULL when it comes like the rest. NULL: nothing came, or there was
   no memory for it. */
static lm_buffer *longs_recv(lm_valuecall *k, int n, const int *peers, const block *blocks, const char *own)
{
    uint64_t total = longs_total(blocks, n);
    if (!total) return NULL;
    lm_buffer *room = long_room(k->L, total);
    char *at = room_data(room);
    for (int i = 0; i < n; i++) {
        int peer = peers ? peers[i] : i;
        uint64_t bytes = long_bytes(&blocks[i]);
        if (!bytes) continue;
        if (!own || peer != k->c->rank) long_recv(k, at, &blocks[i].head, peer);
        else if (at) memcpy(at, own, bytes);
        if (at) at += bytes;
    }
    return room;
}

/* Where ranks hand on what they get, one that has no room for it takes part with this instead; what is longer then
   moves piece by piece, which takes up to twice the time. */
#define PIECE ((size_t)1 << 20)
static char nowhere[PIECE];

/* Whether n bytes may move as a whole: no rank lacks room, or they are few. */
static bool long_whole(lm_valuecall *k, size_t n, const char *room)
{
    if (n <= PIECE) return true;
    int lacking = !room;
    lm_wait(k->L, k->name, k->root < 0 ? NULL : "root", k->root, -1);
    lm_mpi(k->L, MPI_Allreduce(MPI_IN_PLACE, &lacking, 1, MPI_INT, MPI_MAX, k->c->comm), k->name);
    return !lacking;
}

/* Sends the root's bytes to all, into their room or nowhere. */
static void long_bcast(lm_valuecall *k, int root, char *room, size_t n, bool whole)
{
    size_t step = whole ? n : PIECE;
    for (size_t at = 0; at < n; at += step) {
        lm_span span = lm_spanof(MPI_BYTE, (int64_t)(n - at < step ? n - at : step));
        int code = MPI_Bcast(room ? room + at : nowhere, span.count, span.type, root, k->c->comm);
        lm_endspan(&span);
        lm_mpi(k->L, code, k->name);
    }
}

/* Pushes the value, or the message, that the bytes are; raises when they are NULL. */
static void push_content(lua_State *L, const char *bytes, const head *h)
{
    if (!bytes) luaL_error(L, "not enough memory");
    if (h->failed) lua_pushlstring(L, bytes, h->bytes);
    else lm_decode(L, bytes, h->bytes);
}

/* --- bcast ------------------------------------------------------------------------------------------------ */

bool lm_bcastvalue(lm_valuecall *k, int root, const lm_parcel *p, const lm_buffer *b)
{
    lua_State *L = k->L;
    lm_comm *c = k->c;
    block first;
    bool mine = c->rank == root;
    if (mine) block_fill(&first, p, b, 0);
    lm_wait(L, k->name, "root", root, -1);
    lm_mpi(L, MPI_Bcast(&first, sizeof first, MPI_BYTE, root, c->comm), k->name);
    char *bytes = first.body;
    size_t n = first.head.bytes;
    if (n > BODY) {
        bytes = mine ? b->data + p->at : room_data(long_room(L, n));
        bool whole = long_whole(k, n, bytes);
        lm_waitmoving(L, k->name, "root", root, -1);
        long_bcast(k, root, bytes, n, whole);
    }
    if (first.head.failed || !mine) push_content(L, bytes, &first.head);
    return !first.head.failed;
}

static int values_bcast(lua_State *L)
{
    lua_settop(L, 3);
    lm_valuecall k = lm_begincall(L, "bcast", 3);
    lm_parcel p = {0};
    lm_buffer *b = k.c->rank == k.root ? parcel_alone(L, 2, BODY, &p) : NULL;
    call_agree_parcel(&k, &p, b);
    if (!lm_bcastvalue(&k, k.root, &p, b)) return luaL_error(L, "%s", lua_tostring(L, -1));
    if (k.c->rank == k.root) lua_pushvalue(L, 2);
    return 1;
}

/* --- gather, allgather ------------------------------------------------------------------------------------ */

/* Pushes the list of the values in `blocks`, of all ranks or of n neighbours. What does not fit into them lies in
   `longs`, one behind the other; NULL: there was no memory for it. From the last to the first one, so that their memory
   goes as the list grows. */
static void push_list(lua_State *L, int n, const int *peers, const block *blocks, lm_buffer *longs)
{
    int failed = -1;
    lua_createtable(L, n, 1);
    lua_pushinteger(L, n);
    lua_setfield(L, -2, "n");
    for (int r = n - 1; r >= 0; r--) {
        const head *h = &blocks[r].head;
        if (h->bytes <= BODY) {
            push_content(L, blocks[r].body, h);
        } else {
            push_content(L, longs ? longs->data + longs->size - h->bytes : NULL, h);
            lm_cutbuffer(L, longs, longs->size - h->bytes);
        }
        if (h->failed) failed = r;
        lua_rawseti(L, -2, r + 1);
    }
    if (failed < 0) return;
    lua_rawgeti(L, -1, failed + 1);
    luaL_error(L, "[%d] %s", peers ? peers[failed] : failed, lua_tostring(L, -1));
}

void lm_gathermemory(lm_valuecall *k, int root)
{
    if (k->c->rank == root && k->c->size > FEW) k->blocks = lua_newuserdatauv(k->L, sizeof(block) * (size_t)k->c->size, 0);
    else lua_pushnil(k->L);
}

void lm_gathervalues(lm_valuecall *k, int root, const lm_parcel *p, const lm_buffer *b)
{
    lua_State *L = k->L;
    lm_comm *c = k->c;
    block few[FEW], *all = k->blocks ? k->blocks : few, *own = block_own(c, few);
    bool here = c->rank == root;
    block_fill(own, p, b, here || p->size <= BODY ? 0 : lm_nextsequence(c, root));
    blocks_gather(k, root, own, all);
    lua_pushnil(L);
    if (here) {
        int result = lua_gettop(L);
        lm_buffer *longs = longs_recv(k, c->size, NULL, all, b->data + p->at);
        push_list(L, c->size, NULL, all, longs);
        lua_replace(L, result);
        lua_settop(L, result);
    } else if (p->size > BODY) {
        MPI_Request request = long_isend(k, b->data + p->at, &own->head, root);
        long_wait(k, 1, &request);
    }
}

static int values_gather(lua_State *L)
{
    lua_settop(L, 3);
    lm_valuecall k = lm_begincall(L, "gather", 3);
    lm_gathermemory(&k, k.root);
    lm_parcel p;
    lm_buffer *b = parcel_alone(L, 2, BODY, &p);
    call_agree_parcel(&k, &p, b);
    lm_gathervalues(&k, k.root, &p, b);
    if (p.failed) return luaL_error(L, "%s", lm_parcelmistake(L, &p, b));
    return 1;
}

/* The arguments as print would show them, in one string. */
static int protected_line(lua_State *L)
{
    int n = lua_gettop(L);
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    lm_addline(L, &b, n);
    luaL_pushresult(&b);
    return 1;
}

/* comm:print(...): rank 0 hands print each rank's line, in rank order. */
static int values_print(lua_State *L)
{
    lm_valuecall k = lm_begincall(L, "print", 0);
    int n = lua_gettop(L) - 1;
    lua_pushcfunction(L, protected_line);
    lua_insert(L, 2);
    if (lua_pcall(L, n, 1, 0) != LUA_OK) {
        lm_errortext(L, 2);
        lua_replace(L, 2);
        k.mistake = lua_tostring(L, 2);
    }
    lm_gathermemory(&k, 0);
    lm_parcel p;
    lm_buffer *b = parcel_alone(L, 2, BODY, &p);
    lm_agreecall(&k, true);
    lm_gathervalues(&k, 0, &p, b);
    if (k.c->rank > 0) return 0;
    int list = lua_gettop(L);
    lua_getglobal(L, "print");
    luaL_Buffer lines;
    luaL_buffinit(L, &lines);
    for (int r = 1; r <= k.c->size; r++) {
        if (r > 1) luaL_addchar(&lines, '\n');
        lua_rawgeti(L, list, r);
        luaL_addvalue(&lines);
    }
    luaL_pushresult(&lines);
    lua_call(L, 1, 0);
    return 0;
}

/* Brings what does not fit into the blocks to all ranks, one behind the other into their room or nowhere; `counts` is
   memory for two numbers a rank. */
static void longs_allgather(lm_valuecall *k, const block *all, char *mine, char *room, size_t total, int *counts)
{
    lm_comm *c = k->c;
    bool whole = long_whole(k, total, room);
    lm_waitmoving(k->L, k->name, NULL, 0, -1);
    if (whole && total <= INT_MAX) {
        int *displs = counts + c->size, at = 0;
        for (int r = 0; r < c->size; r++) {
            counts[r] = (int)long_bytes(&all[r]);
            displs[r] = at;
            at += counts[r];
        }
        char *to = room ? room : nowhere;
        lm_mpi(k->L, MPI_Allgatherv(mine, counts[c->rank], MPI_BYTE, to, counts, displs, MPI_BYTE, c->comm), k->name);
        return;
    }
    for (int r = 0; r < c->size; r++) { /* also beyond an int's reach, where there is no Allgatherv */
        size_t bytes = long_bytes(&all[r]);
        if (r == c->rank && room) memcpy(room, mine, bytes);
        long_bcast(k, r, r == c->rank ? mine : room, bytes, whole);
        if (room) room += bytes;
    }
}

static int values_allgather(lua_State *L)
{
    lua_settop(L, 2);
    lm_valuecall k = lm_begincall(L, "allgather", 0);
    lm_comm *c = k.c;
    block few[FEW], *all = few, *own = block_own(c, few);
    int few_counts[2 * FEW], *counts = few_counts;
    if (c->size > FEW) {
        all = lua_newuserdatauv(L, (sizeof *all + 2 * sizeof *counts) * (size_t)c->size, 0);
        counts = (int *)(all + c->size);
    }
    lm_parcel p;
    lm_buffer *b = parcel_alone(L, 2, BODY, &p);
    call_agree_parcel(&k, &p, b);
    block_fill(own, &p, b, 0);
    if (c->size > FEW) lm_mpi(L, MPI_Allgather(own, BLOCK, MPI_BYTE, all, BLOCK, MPI_BYTE, c->comm), k.name);
    else blocks_exchange(&k, own, 0, all, ALLGATHER);
    size_t total = longs_total(all, c->size);
    lm_buffer *longs = total ? long_room(L, total) : NULL;
    if (total) longs_allgather(&k, all, b->data + p.at, room_data(longs), total, counts);
    push_list(L, c->size, NULL, all, longs);
    return 1;
}

/* --- scatter, alltoall, neighbours ------------------------------------------------------------------------ */

/* The list at arg of values for all ranks, or for n neighbours, encoded into b as one parcel each. The entries of
   neighbours that are missing may be missing, too. */
static lm_parcel *encode_list(lm_valuecall *k, int arg, int n, const int *peers, lm_buffer *b)
{
    lua_State *L = k->L;
    const char *whom = peers ? "neighbour" : "rank";
    lm_parcel *parcels = lua_newuserdatauv(L, sizeof *parcels * (size_t)n, 0);
    if (!lua_istable(L, arg)) {
        lm_mistake(L, &k->mistake, arg, k->name, "list of %d values expected, one for each %s, got %s", n, whom, luaL_typename(L, arg));
    } else {
        lua_Integer length = (lua_Integer)lua_rawlen(L, arg);
        lua_pushliteral(L, "n"); /* without metamethods, as its entries are read */
        if (lua_rawget(L, arg) == LUA_TNUMBER) length = lua_tointeger(L, -1);
        lua_pop(L, 1);
        for (bool more = peers; more && length >= 0 && length < n; length += more) {
            more = lua_rawgeti(L, arg, length + 1) != LUA_TNIL || peers[length] == MPI_PROC_NULL;
            lua_pop(L, 1);
        }
        if (length != n)
            lm_mistake(L, &k->mistake, arg, k->name, "list of %d values expected, one for each %s, got %I", n, whom, length);
    }
    bool whole = !k->mistake;
    for (int r = 0; r < n; r++) {
        if (whole) lua_rawgeti(L, arg, r + 1);
        else lua_pushstring(L, k->mistake);
        parcels[r] = lm_encodeparcel(L, -1, b);
        lua_pop(L, 1);
        if (!whole) parcels[r].failed = true;
        if (parcels[r].failed && !k->mistake) k->mistake = lua_pushfstring(L, "entry %d: %s", r + 1, lm_parcelmistake(L, &parcels[r], b));
    }
    return parcels;
}

/* A mistake that all ranks cannot learn of now travels in the blocks: raised at the end, after everyone took part. */
static const char *call_agree_list(lm_valuecall *k)
{
    const char *mistake = k->mistake;
    if (!lm_compares(k->c, false)) k->mistake = NULL;
    lm_agreecall(k, false);
    return mistake;
}

static int values_scatter(lua_State *L)
{
    lua_settop(L, 3);
    lm_valuecall k = lm_begincall(L, "scatter", 3);
    lm_comm *c = k.c;
    bool here = c->rank == k.root;
    lm_buffer *b = here ? lm_ownbuffer(L) : NULL;
    lm_parcel *parcels = here ? encode_list(&k, 2, c->size, NULL, b) : NULL;
    block mine, *all = here ? lua_newuserdatauv(L, sizeof(block) * (size_t)c->size, 0) : NULL;
    MPI_Request *requests = here ? lua_newuserdatauv(L, sizeof(MPI_Request) * (size_t)c->size, 0) : NULL;
    const char *mistake = call_agree_list(&k);
    for (int r = 0; here && r < c->size; r++) block_fill(&all[r], &parcels[r], b, lm_nextsequence(c, r));
    lm_wait(L, k.name, "root", k.root, -1);
    lm_mpi(L, MPI_Scatter(all, BLOCK, MPI_BYTE, &mine, BLOCK, MPI_BYTE, k.root, c->comm), k.name);
    if (!here) {
        char *bytes = mine.body;
        if (mine.head.bytes > BODY) long_recv(&k, bytes = room_data(long_room(L, mine.head.bytes)), &mine.head, k.root);
        push_content(L, bytes, &mine.head);
        return mine.head.failed ? luaL_error(L, "%s", lua_tostring(L, -1)) : 1;
    }
    for (int r = 0; r < c->size; r++) {
        requests[r] = MPI_REQUEST_NULL;
        if (r != c->rank && all[r].head.bytes > BODY)
            requests[r] = long_isend(&k, b->data + parcels[r].at, &all[r].head, r);
    }
    long_wait(&k, c->size, requests);
    if (mistake) return luaL_error(L, "%s", mistake);
    lm_decode(L, b->data + parcels[c->rank].at, parcels[c->rank].size);
    return 1;
}

/* What an exchange with all ranks, or with n neighbours, needs of memory. */
typedef struct exchange {
    int n;
    const int *peers;
    block *to, *from;
    MPI_Request *requests;
} exchange;

/* Pushes that memory. A neighbour that is missing gives nil. */
static exchange exchange_open(lm_valuecall *k, int n, const int *peers, lm_buffer *b)
{
    lua_State *L = k->L;
    block *to = lua_newuserdatauv(L, sizeof(block) * 2 * (size_t)n, 0), *from = to + n;
    MPI_Request *requests = lua_newuserdatauv(L, sizeof(MPI_Request) * (size_t)n, 0);
    lua_pushnil(L);
    lm_parcel nothing = lm_encodeparcel(L, -1, b);
    for (int i = 0; i < n; i++) block_fill(&from[i], &nothing, b, 0);
    return (exchange){n, peers, to, from, requests};
}

/* Sends a parcel to each and pushes the list of what they send. Raises the mistake when all is done. */
static void exchange_run(lm_valuecall *k, const exchange *x, const lm_parcel *parcels, const lm_buffer *b, const char *mistake)
{
    lua_State *L = k->L;
    lm_comm *c = k->c;
    int n = x->n;
    const int *peers = x->peers;
    block *to = x->to, *from = x->from;
    for (int i = 0; i < n; i++) {
        int peer = peers ? peers[i] : i;
        block_fill(&to[i], &parcels[i], b, peer == MPI_PROC_NULL ? 0 : lm_nextsequence(c, peer));
    }
    if (peers) {
        lm_mpi(L, MPI_Neighbor_alltoall(to, BLOCK, MPI_BYTE, from, BLOCK, MPI_BYTE, c->comm), k->name);
    } else if (n > FEW) {
        lm_mpi(L, MPI_Alltoall(to, BLOCK, MPI_BYTE, from, BLOCK, MPI_BYTE, c->comm), k->name);
    } else {
        from[c->rank] = to[c->rank];
        blocks_exchange(k, to, 1, from, ALLTOALL);
    }
    for (int i = 0; i < n; i++) {
        int peer = peers ? peers[i] : i;
        x->requests[i] = MPI_REQUEST_NULL;
        if (peer != MPI_PROC_NULL && to[i].head.bytes > BODY)
            x->requests[i] = long_isend(k, b->data + parcels[i].at, &to[i].head, peer);
    }
    lm_buffer *longs = longs_recv(k, n, peers, from, NULL);
    long_wait(k, n, x->requests);
    if (mistake) luaL_error(L, "%s", mistake);
    push_list(L, n, peers, from, longs);
}

static int values_alltoall(lua_State *L)
{
    lua_settop(L, 2);
    lm_valuecall k = lm_begincall(L, "alltoall", 0);
    lm_buffer *b = lm_ownbuffer(L);
    lm_parcel *parcels = encode_list(&k, 2, k.c->size, NULL, b);
    exchange x = exchange_open(&k, k.c->size, NULL, b);
    const char *mistake = call_agree_list(&k);
    exchange_run(&k, &x, parcels, b, mistake);
    return 1;
}

static int values_neighbor_alltoall(lua_State *L)
{
    lua_settop(L, 2);
    lm_valuecall k = lm_begincall(L, "neighbor_alltoall", 0);
    int peers[2 * LM_MAXGRID], n = lm_neighbours(L, k.c, k.name, peers);
    lm_buffer *b = lm_ownbuffer(L);
    lm_parcel *parcels = encode_list(&k, 2, n, peers, b);
    exchange x = exchange_open(&k, n, peers, b);
    const char *mistake = call_agree_list(&k);
    exchange_run(&k, &x, parcels, b, mistake);
    return 1;
}

static int values_neighbor_allgather(lua_State *L)
{
    lua_settop(L, 2);
    lm_valuecall k = lm_begincall(L, "neighbor_allgather", 0);
    int peers[2 * LM_MAXGRID], n = lm_neighbours(L, k.c, k.name, peers);
    lm_buffer *b = lm_ownbuffer(L);
    lm_parcel p = lm_encodeparcel(L, 2, b), parcels[2 * LM_MAXGRID];
    for (int i = 0; i < n; i++) parcels[i] = p;
    exchange x = exchange_open(&k, n, peers, b);
    k.mistake = lm_parcelmistake(L, &p, b);
    const char *mistake = call_agree_list(&k);
    exchange_run(&k, &x, parcels, b, mistake);
    return 1;
}

/* --- open ------------------------------------------------------------------------------------------------- */

static const luaL_Reg methods[] = {
    {"bcast", values_bcast},
    {"gather", values_gather},
    {"allgather", values_allgather},
    {"print", values_print},
    {"scatter", values_scatter},
    {"alltoall", values_alltoall},
    {"neighbor_allgather", values_neighbor_allgather},
    {"neighbor_alltoall", values_neighbor_alltoall},
    {NULL, NULL},
};

void luaopen_collective_values(lua_State *L)
{
    lua_getfield(L, -1, "comm");
    luaL_setfuncs(L, methods, 0);
    lua_pop(L, 1);
}
