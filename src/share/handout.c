#include "handout.h"

#include "agree.h"
#include "array.h"
#include "stock.h"
#include "error.h"
#include "op.h"
#include "progress.h"

#include <limits.h>
#include <math.h>
#include <string.h>
#include <time.h>

/* With automatic chunks a rank takes from the common range what it will do in COMMON seconds, into its own, and at most
   PRIVATE items from there at a time, or what it will do in SHORT: whatever else it has, idle ranks may take. */
#define COMMON 1e-3
#define SHORT 20e-6
#define PRIVATE 8

typedef enum schedule { DYNAMIC, BLOCKS, STATIC, CYCLIC } schedule; /* BLOCKS: dynamic, beginning as if static */

typedef struct handout {
    const lm_kind *kind;
    lm_comm *c;        /* the communicator that is mapped; user value 2 */
    lm_comm *own;      /* the machinery's duplicate of it; user value 1 */
    MPI_Comm node;
    lm_stock stock;
    int slot;          /* of this rank in the stock */
    int place;         /* of this rank among all, node by node; the node's ranks have a run of them */
    uint32_t map;      /* number of the map under way, or of the last one */
    /* the map under way */
    lm_sheet *sheet;
    schedule schedule;
    bool automatic;
    int64_t n, granule, chunks; /* items; items in a granule; granules */
    int64_t next;      /* CYCLIC: granule, from 0 */
    double takes, shares; /* granules taken from the own and from the common range at a time */
    int64_t count;     /* items of the last taking */
    int64_t done;
    double began, last, busy;
} handout;

static const lm_kind handout_kind = {"mpi.handout", sizeof(handout)};
static const char *const calls[] = {"map", "imap", "share", "mapreduce", NULL};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static handout *handout_check(lua_State *L)
{
    handout *h = lm_check(L, 1, &handout_kind);
    if (!h->own) luaL_argerror(L, 1, "the communicator was freed");
    return h;
}

/* --- making ----------------------------------------------------------------------------------------------- */

/* Sets place: the ranks in the order of their nodes, which are in the order of their first ranks. */
static void handout_place(lua_State *L, handout *h)
{
    int size = h->own->size, rank = h->own->rank, leader = rank;
    int *leaders = lua_newuserdatauv(L, sizeof(int) * (size_t)size, 0);
    lm_mpi(L, MPI_Bcast(&leader, 1, MPI_INT, 0, h->node), "map");
    lm_mpi(L, MPI_Allgather(&leader, 1, MPI_INT, leaders, 1, MPI_INT, h->own->payload), "map");
    h->place = 0;
    for (int r = 0; r < size; r++)
        if (leaders[r] < leader || (leaders[r] == leader && r < rank)) h->place++;
    lua_pop(L, 1);
}

/* Pushes the handout of the communicator at arg, made at its first map. */
static handout *handout_of(lua_State *L, int arg, lm_comm *c, const char *call)
{
    if (lua_getiuservalue(L, arg, 3) == LUA_TUSERDATA) return lua_touserdata(L, -1);
    lua_pop(L, 1);
    handout *h = lm_new(L, &handout_kind, 2);
    h->c = c;
    lua_pushvalue(L, arg);
    lua_setiuservalue(L, -2, 2);
    MPI_Comm dup;
    lm_mpi(L, MPI_Comm_dup(c->comm, &dup), call);
    h->own = lm_newcomm(L, dup, call);
    h->own->record->named = "a communicator that is mapped";
    lua_setiuservalue(L, -2, 1);
    lm_mpi(L, MPI_Comm_split_type(dup, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &h->node), call);
    lm_mpi(L, lm_newstock(&h->stock, h->node), call);
    MPI_Comm_rank(h->node, &h->slot);
    handout_place(L, h);
    lua_pushvalue(L, -1);
    lua_setiuservalue(L, arg, 3);
    c->handout = h;
    return h;
}

void lm_freehandout(lua_State *L, lm_comm *c)
{
    handout *h = c->handout;
    c->mapping = NULL;
    if (!h) return;
    lm_comm *own = h->own;
    c->handout = NULL;
    h->own = NULL;
    h->c = NULL;
    lm_mpi(L, lm_freestock(&h->stock), "free");
    lm_mpi(L, MPI_Comm_free(&h->node), "free");
    lm_releasecomm(L, own);
}

/* begin(comm, call, also, mistake): all ranks begin the same call, or raise. Returns the handout. `also` is a string of
   what must be equal on all ranks. */
static int handout_begin(lua_State *L)
{
    const char *call = calls[luaL_checkoption(L, 2, NULL, calls)];
    lm_comm *c = lm_checkopen(L, 1);
    if (c->mapping) lm_refusetask(L, c, call);
    lm_checkcomm(L, 1);
    size_t length;
    const char *also = luaL_checklstring(L, 3, &length);
    uint64_t hash = 0;
    for (size_t i = 0; i < length; i++) hash = (hash ^ (unsigned char)also[i]) * UINT64_C(0x9E3779B97F4A7C15);
    lm_wait(L, call, NULL, 0, -1);
    lm_agree(L, c, &(lm_intent){call, NULL, -1, -1, -1, hash, lua_tostring(L, 4)}, true);
    handout *h = handout_of(L, 1, c, call);
    h->map++;
    h->sheet = lm_sheetof(&h->stock, h->map);
    if (h->slot == 0) lm_clearsheet(&h->stock, h->map + 1);
    h->began = h->last = now();
    h->busy = 0;
    h->done = h->count = h->n = 0;
    c->mapping = call;
    return 1;
}

/* h:start(n, schedule, chunk): n items are there to be taken; chunk 0 is automatic. */
static int handout_start(lua_State *L)
{
    static const char *const schedules[] = {"dynamic", "blocks", "static", "cyclic", NULL};
    handout *h = handout_check(L);
    h->n = luaL_checkinteger(L, 2);
    h->schedule = (schedule)luaL_checkoption(L, 3, NULL, schedules);
    int64_t chunk = luaL_checkinteger(L, 4), least = h->n / LM_GRANULES + 1;
    h->automatic = chunk == 0 || h->schedule == STATIC;
    h->granule = h->automatic ? 1 : chunk;
    if (h->granule < least) h->granule = least;
    h->chunks = h->n / h->granule + (h->n % h->granule > 0);
    h->next = h->own->rank;
    h->takes = h->shares = 1;
    h->last = now();
    return 0;
}

/* h:finish(), or its end as a variable that is closed: the communicator may be used again. */
static int handout_finish(lua_State *L)
{
    handout *h = lm_check(L, 1, &handout_kind);
    if (h->c) h->c->mapping = NULL;
    return 0;
}

/* --- taking ----------------------------------------------------------------------------------------------- */

/* The granules of n places from this one on, when each place has an equal part. */
static lm_range handout_part(const handout *h, int place, int n)
{
    double each = (double)h->chunks / h->own->size;
    return (lm_range){(uint32_t)llround(each * place) + 1, (uint32_t)llround(each * (place + n)) + 1};
}

static const lm_range nothing = {1, 1};

static lm_range initial_common(const handout *h)
{
    return h->schedule == DYNAMIC ? handout_part(h, h->place - h->slot, h->stock.ranks) : nothing;
}

static lm_range initial_own(const handout *h, int slot)
{
    if (h->schedule == STATIC) return handout_part(h, h->own->rank, 1);
    return h->schedule == BLOCKS ? handout_part(h, h->place - h->slot + slot, 1) : nothing;
}

/* Takes half of what the rank of this node has that has most. */
static lm_range handout_steal(handout *h)
{
    for (;;) {
        int victim = -1;
        uint32_t most = 0;
        for (int i = 0; i < h->stock.ranks; i++) {
            uint32_t left = lm_length(lm_left(&h->sheet->own[i], initial_own(h, i)));
            if (left > most) {
                most = left;
                victim = i;
            }
        }
        if (victim < 0) return nothing;
        lm_range r = lm_takehalf(&h->sheet->own[victim], initial_own(h, victim));
        if (lm_length(r)) return r;
    }
}

/* The next granules to do, or none. */
static lm_range handout_next(handout *h)
{
    uint32_t takes = (uint32_t)h->takes, shares = (uint32_t)h->shares;
    if (h->schedule == CYCLIC) {
        if (h->next >= h->chunks) return nothing;
        lm_range r = {(uint32_t)h->next + 1, (uint32_t)h->next + 2};
        h->next += h->own->size;
        return r;
    }
    lm_slot *own = &h->sheet->own[h->slot];
    for (;;) {
        lm_range r = lm_takefront(own, initial_own(h, h->slot), takes);
        if (lm_length(r) || h->schedule == STATIC) return r;
        lm_range common = initial_common(h), left = lm_left(&h->sheet->common, common);
        uint32_t fair = lm_length(left) / (2 * (uint32_t)h->stock.ranks) + 1;
        r = lm_takefront(&h->sheet->common, common, shares < fair ? shares : fair);
        if (!lm_length(r)) r = handout_steal(h);
        if (lm_length(r) <= takes) return r;
        lm_putrange(own, r);
    }
}

/* After `seconds` for the items of the last taking: how many to take next. */
static void handout_adapt(handout *h, double seconds)
{
    if (!h->automatic) return;
    double each = seconds / ((double)h->count / (double)h->granule) + 1e-10, most = h->schedule == STATIC ? COMMON / each : SHORT / each;
    h->takes = fmax(1, fmin(most, h->schedule == STATIC ? 4 * h->takes : fmin(2 * h->takes, PRIVATE)));
    h->shares = fmax(1, fmin(fmin(COMMON / each, 4 * h->shares), UINT32_MAX / 2));
}

/* take(h): the first and the last of the items to do next, or nil. What was taken before is done. */
static int handout_take(lua_State *L)
{
    handout *h = lua_touserdata(L, 1);
    double t = now();
    if (h->count) {
        h->busy += t - h->last;
        h->done += h->count;
        atomic_store_explicit(&h->sheet->own[h->slot].done, h->done, memory_order_relaxed);
        handout_adapt(h, t - h->last);
    }
    lm_range r = atomic_load_explicit(&h->sheet->stop, memory_order_relaxed) ? nothing : handout_next(h);
    if (!lm_length(r)) {
        h->count = 0;
        h->last = t;
        return 0;
    }
    int64_t first = (int64_t)(r.first - 1) * h->granule + 1, last = (int64_t)(r.end - 1) * h->granule;
    if (last > h->n) last = h->n;
    h->count = last - first + 1;
    h->last = t;
    lua_pushinteger(L, first);
    lua_pushinteger(L, last);
    return 2;
}

/* h:stop(): nobody takes any more. */
static int handout_stop(lua_State *L)
{
    handout *h = handout_check(L);
    if (h->count) h->busy += now() - h->last;
    h->count = 0;
    atomic_store(&h->sheet->stop, true);
    return 0;
}

/* h:times() → began, now, busy seconds, items done */
static int handout_times(lua_State *L)
{
    handout *h = handout_check(L);
    lua_pushnumber(L, h->began);
    lua_pushnumber(L, now());
    lua_pushnumber(L, h->busy);
    lua_pushinteger(L, h->done);
    return 4;
}

/* h:comm(): the machinery's own communicator. */
static int handout_comm(lua_State *L)
{
    handout_check(L);
    lua_getiuservalue(L, 1, 1);
    return 1;
}

/* --- what Lua has not ------------------------------------------------------------------------------------- */

static int handout_clock(lua_State *L)
{
    lua_pushnumber(L, now());
    return 1;
}

/* list(n): a table with room for n entries and n itself. */
static int handout_list(lua_State *L)
{
    lua_Integer n = luaL_checkinteger(L, 1);
    lua_createtable(L, n <= INT_MAX ? (int)n : 0, 1);
    lua_pushinteger(L, n);
    lua_setfield(L, -2, "n");
    return 1;
}

/* random(): the state of math.random as a string; random(state): puts it back. The state is the upvalue of that
   function; nil when another one took its place. */
static int handout_random(lua_State *L)
{
    lua_getglobal(L, "math");
    if (lua_istable(L, -1) && lua_getfield(L, -1, "random") == LUA_TFUNCTION && lua_iscfunction(L, -1) && lua_getupvalue(L, -1, 1) &&
        lua_type(L, -1) == LUA_TUSERDATA) {
        size_t size = lua_rawlen(L, -1), given;
        const char *state = lua_tolstring(L, 1, &given);
        if (state && given == size) memcpy(lua_touserdata(L, -1), state, size);
        lua_pushlstring(L, lua_touserdata(L, -1), size);
        return 1;
    }
    return 0;
}

static int handout_is_array(lua_State *L)
{
    lua_pushboolean(L, lm_toarray(L, 1) != NULL);
    return 1;
}

/* is_operator(op): whether it combines values */
static int handout_is_operator(lua_State *L)
{
    lua_settop(L, 1);
    lua_pushboolean(L, lm_testop(L, 1) <= LM_FUNCTION);
    return 1;
}

/* combine(op, a, b) */
static int handout_combine(lua_State *L)
{
    lua_settop(L, 3);
    lm_combine(L, lm_testop(L, 1), 1);
    return 1;
}

/* copy_rows(a, segments, s, skip, piece, pack) → s, skip: rows of a go into the piece (pack is true), or come from it
   (false), or nothing moves (nil). Which rows: segments is a list of first, last, first, last …; the piece begins in the
   segment at s, whose first `skip` rows went before, and ends where the results say. */
static int handout_copy_rows(lua_State *L)
{
    lm_array *a = lm_checkarray(L, 1), *piece = lm_checkarray(L, 5);
    lua_Integer s = luaL_checkinteger(L, 3), skip = luaL_checkinteger(L, 4);
    bool moves = !lua_isnil(L, 6), pack = lua_toboolean(L, 6);
    size_t row = piece->shape[0] ? lm_bytes(piece) / (size_t)piece->shape[0] : 0;
    if (moves && !pack) lm_checkwrite(L, a);
    for (int64_t at = 0; at < piece->shape[0];) {
        lua_rawgeti(L, 2, s);
        lua_rawgeti(L, 2, s + 1);
        int64_t first = lua_tointeger(L, -2) + skip, last = lua_tointeger(L, -1), n = piece->shape[0] - at;
        lua_pop(L, 2);
        if (first < 1 || last > a->shape[0] || last < first) return luaL_error(L, "the rows are not the array's");
        if (n > last - first + 1) n = last - first + 1;
        if (moves && a->contiguous) {
            char *in_array = a->data + (size_t)(first - 1) * row, *in_piece = piece->data + (size_t)at * row;
            memcpy(pack ? in_piece : in_array, pack ? in_array : in_piece, (size_t)n * row);
        } else if (moves) {
            lm_array *from = lm_newview(L, 1);
            from->data += (first - 1) * from->stride[0] * lm_dtypes[a->dtype].size;
            from->shape[0] = n;
            lm_settle(from);
            if (pack) lm_pack(from, piece->data + (size_t)at * row);
            else lm_unpack(from, piece->data + (size_t)at * row);
            lua_pop(L, 1);
        }
        at += n;
        bool ended = first + n > last;
        skip = ended ? 0 : skip + n;
        if (ended) s += 2;
    }
    lua_pushinteger(L, s);
    lua_pushinteger(L, skip);
    return 2;
}

/* --- open ------------------------------------------------------------------------------------------------- */

static const luaL_Reg methods[] = {
    {"start", handout_start}, {"finish", handout_finish}, {"stop", handout_stop},
    {"times", handout_times}, {"comm", handout_comm},     {NULL, NULL},
};

static const luaL_Reg metamethods[] = {{"__close", handout_finish}, {NULL, NULL}};

static const luaL_Reg functions[] = {
    {"begin", handout_begin}, {"take", handout_take}, {"clock", handout_clock},
    {"list", handout_list},   {"random", handout_random}, {"is_array", handout_is_array},
    {"is_operator", handout_is_operator}, {"combine", handout_combine}, {"copy_rows", handout_copy_rows}, {NULL, NULL},
};

void luaopen_handout(lua_State *L)
{
    lm_newkind(L, &handout_kind, methods, metamethods);
    lua_pop(L, 1);
    luaL_newlib(L, functions);
}
