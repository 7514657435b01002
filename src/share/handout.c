#include "handout.h"

#include "agree.h"
#include "clock.h"
#include "error.h"
#include "meter.h"
#include "nodes.h"
#include "progress.h"
#include "schedule.h"
#include "stop.h"
#include "stream.h"
#include "tick.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* How often a rank that is at work looks whether others want something, in seconds: between tasks, and in them. */
#define LOOK 1e-3
#define TICK 10e-3

/* How long a rank waits for the answer of one on another node before it asks the next one there as well. */
#define PATIENCE 25e-3

/* How often rank 0 is told how far a rank of another node is. */
#define TELL 0.25

/* The longest nap in the wait for the last rank, which all ranks are in. */
#define NAP 5e-4

typedef struct handout {
    const lm_kind *kind;
    struct handout *active; /* the next one in the list of those whose ranks may want something from this one */
    struct handout *open;   /* the next one in the list of those whose maps are under way */
    uint64_t begun;         /* the number of that map among all that this rank has begun; 0: none is under way */
    lm_comm *c;        /* the communicator that is mapped; user value 2 */
    lm_comm *own;      /* the machinery's duplicate of it; user value 1 */
    lm_nodes nodes;    /* user value 3 */
    lm_stock stock;
    lm_talk talk;
    uint32_t map;      /* number of the map under way, or of the last one */
    /* the map under way */
    lm_schedule schedule;
    int64_t count;     /* items of the last taking */
    int64_t done;
    double began, last, busy;
    const char *call;
    bool hurried;      /* it does not wait for a chunk of the stream */
    bool tells;        /* rank 0 of another node wants to know how far this rank is */
    int64_t told;
    double told_at;
    lm_stream stream;
    double looked;
    int asked;         /* other ranks that have not answered yet */
    lm_range *given;   /* what they gave, not yet begun; room for one from every rank */
    int gifts;
    bool *waiting;     /* for the stream; user value 4 holds this and what was given */
} handout;

/* What a map has of the handout: a loop that was given up may be called when another map is under way, or none can be
   any more. */
typedef struct ticket {
    const lm_kind *kind;
    handout *h; /* the user value */
    uint64_t begun;
    const char *call;
} ticket;

static const lm_kind handout_kind = {"mpi.handout", sizeof(handout)};
static const lm_kind ticket_kind = {"mpi.handout.ticket", sizeof(ticket)};
static const char *const calls[] = {"map", "imap", "share", "mapreduce", NULL};

/* Raises unless the ticket is for the map that is under way. */
static handout *handout_of_ticket(lua_State *L, const ticket *t)
{
    if (t->begun == t->h->begun) return t->h;
    char place[LUA_IDSIZE + 16];
    bool known = lm_place(L, place, sizeof place);
    lua_pushfstring(L, "%s%scomm:%s was given up, with its task or its communicator", known ? place : "", known ? ": " : "", t->call);
    lua_error(L);
    return NULL;
}

static handout *handout_check(lua_State *L) { return handout_of_ticket(L, lm_check(L, 1, &ticket_kind)); }

/* Whether nobody takes any more. */
static bool handout_halted(const handout *h) { return atomic_load(&h->schedule.sheet->stop); }

static handout *active;
static handout *under_way; /* begun later comes first */
static uint64_t begun;

/* --- taking ----------------------------------------------------------------------------------------------- */

/* What a rank of another node gets that asks. */
static lm_range handout_give(handout *h)
{
    if (!h->schedule.n || handout_halted(h)) return lm_nothing;
    return lm_giverange(&h->schedule);
}

/* Takes in what others tell and want. */
static void handout_serve(handout *h)
{
    static bool inside; /* MPI looks for something to do in the calls below, too */
    if (inside) return;
    inside = true;
    h->looked = lm_now();
    for (lm_post *p; (p = lm_nextpost(&h->talk));) {
        if (p->note.map == h->map && h->stream.open && lm_streamnote(&h->stream, &h->talk, p)) continue;
        lm_range r;
        if (p->note.map == h->map) switch (p->note.kind) {
        case LM_STOP: atomic_store(&h->schedule.sheet->stop, true); break;
        case LM_COUNT: atomic_fetch_add(&h->schedule.sheet->elsewhere, p->note.count); break;
        case LM_ASK:
            r = handout_give(h);
            lm_sendnote(&h->talk, p->rank, (lm_note){.map = h->map, .kind = LM_GIVE, .first = r.first, .count = lm_length(r)});
            break;
        case LM_GIVE:
            h->asked--;
            if (p->note.count) h->given[h->gifts++] = (lm_range){(uint32_t)p->note.first, (uint32_t)(p->note.first + p->note.count)};
            else lm_nodeof(&h->nodes, p->rank)->dry = true;
            break;
        default: break;
        }
        free(p);
    }
    lm_stream *s = &h->stream;
    if (s->open && s->rank == s->root && !s->ended && handout_halted(h)) lm_endstream(s, &h->talk, h->map, true);
    inside = false;
}

/* While this rank waits in MPI. */
static void serve_waiting(void)
{
    for (handout *h = active; h; h = h->active) handout_serve(h);
}

/* By a tick in a task: not a wait. */
static void serve_tick(lua_State *L)
{
    (void)L;
    lm_idle = 0;
    serve_waiting();
    lm_idle = 0;
}

static void handout_activate(handout *h)
{
    if (h->nodes.count == 1 && !h->stream.open) return;
    h->active = active;
    active = h;
    lm_serving = serve_waiting;
    lm_starttick(serve_tick, TICK);
}

/* No map is under way any more. */
static void handout_rest(handout *h)
{
    if (!h->begun) return;
    h->begun = 0;
    lm_stopmeter(h->schedule.sheet);
    lm_within = NULL;
    lm_longest_nap = LM_NAP;
    handout **at = &under_way;
    while (*at && *at != h) at = &(*at)->open;
    if (*at) *at = h->open;
    at = &active;
    while (*at && *at != h) at = &(*at)->active;
    if (!*at) return;
    *at = h->active;
    lm_closestream(&h->stream);
    if (active) return;
    lm_serving = NULL;
    lm_stoptick(serve_tick);
}

/* A step of a wait for others. */
static void handout_wait(lua_State *L, handout *h)
{
    if (lm_stopping()) lm_raisestop(L, true);
    handout_serve(h);
}

/* Asks other nodes for work when this one has none. */
static lm_range handout_beg(lua_State *L, handout *h)
{
    double asked = 0;
    lm_wait(L, h->call, NULL, 0, -1);
    while (!h->gifts && !handout_halted(h)) {
        double t = lm_now();
        if (!h->asked || t - asked > PATIENCE) {
            lm_node *n = NULL;
            for (int k = 1; k < h->nodes.count && !n; k++) {
                lm_node *other = &h->nodes.at[(h->nodes.here + k) % h->nodes.count];
                if (!other->dry && (!h->asked || other->next < other->ranks)) n = other;
            }
            if (!n && !h->asked) return lm_nothing;
            if (n) {
                lm_sendnote(&h->talk, h->nodes.rank_at[n->first + n->next++ % n->ranks], (lm_note){.map = h->map, .kind = LM_ASK});
                h->asked++;
            }
            asked = t;
        }
        handout_wait(L, h);
    }
    return h->gifts ? h->given[--h->gifts] : lm_nothing;
}

/* The next granules to do, or none. */
static lm_range handout_next(lua_State *L, handout *h)
{
    for (;;) {
        lm_range r = lm_nextrange(&h->schedule);
        if (lm_length(r) || h->nodes.count == 1 || !lm_shifts(&h->schedule)) return r;
        r = handout_beg(L, h);
        if (!lm_stockup(&h->schedule, r)) return r;
    }
}

/* --- making ----------------------------------------------------------------------------------------------- */

static void handout_free(lua_State *L, lm_comm *c)
{
    handout *h = c->kept;
    lm_comm *own = h->own;
    handout_rest(h);
    h->own = NULL;
    h->c = NULL;
    lm_mpi(L, lm_freestock(&h->stock), "free");
    lm_mpi(L, MPI_Comm_free(&h->nodes.near), "free");
    lm_endtalk(&h->talk);
    lm_mpi(L, MPI_Comm_free(&h->talk.comm), "free");
    lm_releasecomm(L, own);
}

/* What all ranks of a node share can only be given up by all of them. */
static void handout_leave(lm_comm *c)
{
    handout *h = c->kept;
    handout_rest(h);
    lm_leavetalk(&h->talk);
    h->c = NULL;
    if (h->stock.ranks == 1) lm_freestock(&h->stock);
}

static const lm_keeper keeper = {handout_free, handout_leave};

/* Pushes the handout of the communicator at arg, made at its first map. */
static handout *handout_of(lua_State *L, int arg, lm_comm *c, const char *call)
{
    if (c->keeper) {
        lua_getiuservalue(L, arg, 3);
        return c->kept;
    }
    handout *h = lm_new(L, &handout_kind, 4);
    h->c = c;
    lua_pushvalue(L, arg);
    lua_setiuservalue(L, -2, 2);
    MPI_Comm dup;
    lm_mpi(L, MPI_Comm_dup(c->comm, &dup), call);
    h->own = lm_newcomm(L, dup, call);
    h->own->record->named = "a communicator that is mapped";
    lua_setiuservalue(L, -2, 1);
    lm_findnodes(L, &h->nodes, h->own, call);
    lua_setiuservalue(L, -2, 3);
    lm_mpi(L, lm_newstock(&h->stock, h->nodes.near), call);
    int rank = h->own->rank, size = h->own->size, slot = h->nodes.slot;
    h->schedule = (lm_schedule){.rank = rank, .size = size, .first = h->nodes.place - slot, .slot = slot, .ranks = h->stock.ranks};
    lm_mpi(L, MPI_Comm_dup(dup, &h->talk.comm), call);
    h->given = lua_newuserdatauv(L, (sizeof(lm_range) + sizeof(bool)) * (size_t)size, 0);
    h->waiting = (bool *)(h->given + size);
    lua_setiuservalue(L, -2, 4);
    lua_pushvalue(L, -1);
    lua_setiuservalue(L, arg, 3);
    c->kept = h;
    c->keeper = &keeper;
    return h;
}

/* begin(comm, call, also, mistake): all ranks begin the same call, or raise. Returns the ticket. `also` is a string of
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
    lm_intent intent = lm_plainintent(call, hash, lua_tostring(L, 4));
    lm_agree(L, c, &intent, true);
    handout *h = handout_of(L, 1, c, call);
    h->map++;
    h->schedule.sheet = lm_sheetof(&h->stock, h->map);
    if (h->nodes.slot == 0) lm_clearsheet(&h->stock, h->map + 1);
    h->began = h->last = lm_now();
    h->busy = 0;
    h->done = h->count = h->schedule.n = 0;
    h->asked = h->gifts = 0;
    h->tells = false;
    h->told = 0;
    for (int k = 0; k < h->nodes.count; k++) h->nodes.at[k].dry = false, h->nodes.at[k].next = 0;
    h->call = call;
    h->begun = ++begun;
    h->open = under_way;
    under_way = h;
    c->mapping = call;
    ticket *t = lm_new(L, &ticket_kind, 1);
    *t = (ticket){&ticket_kind, h, h->begun, call};
    lua_insert(L, -2);
    lua_setiuservalue(L, -2, 1);
    return 1;
}

/* h:start(n, schedule, chunk): n items are there to be taken; chunk 0 is automatic. */
static int handout_start(lua_State *L)
{
    static const char *const orders[] = {"dynamic", "blocks", "static", "cyclic", NULL};
    handout *h = handout_check(L);
    int64_t n = luaL_checkinteger(L, 2);
    lm_startschedule(&h->schedule, (lm_order)luaL_checkoption(L, 3, NULL, orders), n, luaL_checkinteger(L, 4));
    h->last = lm_now();
    handout_activate(h);
    return 0;
}

/* h:stream(root, yields, hurried): items come from a generator on rank `root`. With yields, h:retire tells when items are
   no longer on their way; otherwise they are not when they are done. With hurried, taking does not wait for the next
   chunk: nil may also mean that it is not there yet. */
static int handout_stream(lua_State *L)
{
    handout *h = handout_check(L);
    lm_openstream(&h->stream, (int)luaL_checkinteger(L, 2), h->own->rank, h->own->size, h->waiting);
    h->stream.yields = lua_toboolean(L, 3);
    h->hurried = lua_toboolean(L, 4);
    h->last = lm_now();
    handout_activate(h);
    return 0;
}

/* The communicator may be used again. */
static void handout_end(handout *h)
{
    handout_rest(h);
    if (h->c) h->c->mapping = NULL;
}

/* h:finish(), or its end as a variable that is closed; no matter whether it has ended */
static int handout_finish(lua_State *L)
{
    const ticket *t = lm_check(L, 1, &ticket_kind);
    if (t->begun == t->h->begun) handout_end(t->h);
    return 0;
}

uint64_t lm_mapsbegun(void) { return begun; }

void lm_abandonmaps(uint64_t since)
{
    while (under_way && under_way->begun > since) handout_end(under_way);
}

/* What was taken last is done. */
static void handout_done(handout *h)
{
    if (!h->count) return;
    double t = lm_now(), seconds = t - h->last;
    h->busy += seconds;
    h->last = t;
    h->done += h->count;
    atomic_store_explicit(&h->schedule.sheet->own[h->nodes.slot].done, h->done, memory_order_relaxed);
    if (h->tells && t - h->told_at > TELL) {
        lm_sendnote(&h->talk, 0, (lm_note){.map = h->map, .kind = LM_COUNT, .count = h->done - h->told});
        h->told = h->done;
        h->told_at = t;
    }
    lm_stream *s = &h->stream;
    if (s->open) {
        double each = seconds / (double)h->count;
        if (s->rank != s->root) {
            lm_sendnote(&h->talk, s->root, (lm_note){.map = h->map, .kind = LM_DONE, .count = h->count, .seconds = each});
        } else {
            if (!s->yields) s->retired += h->count;
            s->seconds = each;
        }
    } else {
        lm_adapt(&h->schedule, h->count, seconds);
    }
    h->count = 0;
}

/* Pushes the items of the next chunk that comes from root. */
static int stream_take(lua_State *L, handout *h)
{
    lm_stream *s = &h->stream;
    if (s->rank != s->root) {
        lm_want(s, &h->talk, h->map);
        lm_wait(L, h->call, "root", s->root, -1);
        while (s->asked && !s->arrived && !h->hurried) handout_wait(L, h);
        if (s->asked && !s->arrived) return 0;
    }
    bool there = lm_nextchunk(s);
    h->last = lm_now();
    if (!there) return 0;
    if (s->rank != s->root) lm_want(s, &h->talk, h->map);
    if (handout_halted(h)) return 0;
    h->count = s->current->note.count;
    lua_pushinteger(L, s->current->note.first);
    lua_pushinteger(L, s->current->note.first + h->count - 1);
    return 2;
}

/* take(h): the first and the last of the items to do next, or nil. What was taken before is done. */
static int handout_take(lua_State *L)
{
    handout *h = handout_of_ticket(L, lua_touserdata(L, 1));
    handout_done(h);
    if (active && lm_now() - h->looked > LOOK) handout_serve(h);
    if (h->stream.open) return stream_take(L, h);
    double began = h->last;
    lm_range r = handout_halted(h) ? lm_nothing : handout_next(L, h);
    if (!lm_length(r)) return 0;
    const lm_schedule *s = &h->schedule;
    int64_t first = (int64_t)(r.first - 1) * s->granule + 1, before = r.end - 1;
    int64_t last = before < s->chunks ? before * s->granule : s->n;
    h->count = last - first + 1;
    h->last = h->nodes.count > 1 ? lm_now() : began;
    lua_pushinteger(L, first);
    lua_pushinteger(L, last);
    return 2;
}

/* h:progress(n): rank 0 shows how far the map of n items is, -1 when that is not known. */
static int handout_progress(lua_State *L)
{
    handout *h = handout_check(L);
    int64_t n = luaL_checkinteger(L, 2);
    h->tells = h->nodes.at[h->nodes.here].first > 0; /* rank 0 is on the first node */
    h->told_at = lm_now();
    if (h->own->rank == 0) lm_startmeter(h->schedule.sheet, h->stock.ranks, n, h->call);
    return 0;
}

/* h:rest(): this rank is not at its tasks. */
static int handout_pause(lua_State *L)
{
    handout *h = handout_check(L);
    handout_done(h);
    h->last = lm_now();
    return 0;
}

/* h:chunk(): the bytes of the chunk that was taken. */
static int handout_chunk(lua_State *L)
{
    handout *h = handout_check(L);
    lm_post *p = h->stream.current;
    if (!p) return luaL_error(L, "no chunk was taken");
    lua_pushlstring(L, p->bytes, p->note.bytes);
    return 1;
}

/* h:offer(first, count, bytes): root read a chunk. */
static int handout_offer(lua_State *L)
{
    handout *h = handout_check(L);
    size_t size;
    const char *bytes = luaL_checklstring(L, 4, &size);
    if (size > INT_MAX - sizeof(lm_note)) return luaL_error(L, "a chunk of items takes %I bytes, more than 2^31", (lua_Integer)size);
    lm_note note = {.map = h->map, .kind = LM_CHUNK, .first = luaL_checkinteger(L, 2), .count = luaL_checkinteger(L, 3)};
    lm_offer(&h->stream, &h->talk, lm_newpost(&note, bytes, size));
    return 0;
}

/* h:ended(): root read the last item. */
static int handout_ended(lua_State *L)
{
    handout *h = handout_check(L);
    lm_endstream(&h->stream, &h->talk, h->map, false);
    return 0;
}

/* h:retire(n): n items more are no longer on their way. */
static int handout_retire(lua_State *L)
{
    handout_check(L)->stream.retired += luaL_checkinteger(L, 2);
    return 0;
}

/* h:ahead() → items read and not retired, seconds that an item takes of late */
static int handout_ahead(lua_State *L)
{
    handout *h = handout_check(L);
    if (active && lm_now() - h->looked > LOOK) handout_serve(h);
    lua_pushinteger(L, h->stream.read - h->stream.retired);
    lua_pushnumber(L, h->stream.seconds);
    return 2;
}

/* h:await(): root waits until an item is retired, or the hand-out has stopped. */
static int handout_await(lua_State *L)
{
    handout *h = handout_check(L);
    int64_t retired = h->stream.retired;
    lm_wait(L, h->call, NULL, 0, -1);
    while (h->stream.retired == retired && !handout_halted(h)) handout_wait(L, h);
    return 0;
}

/* h:settle(): when this rank takes no more: all that is on its way between ranks comes home. */
static int handout_settle(lua_State *L)
{
    handout *h = handout_check(L);
    handout_done(h);
    lm_stream *s = &h->stream;
    lm_within = h->call;
    lm_longest_nap = NAP;
    lm_wait(L, h->call, NULL, 0, -1);
    if (s->open && s->rank == s->root) {
        lm_endstream(s, &h->talk, h->map, true);
        while (s->told < s->ranks - 1) handout_wait(L, h);
    } else if (s->open) {
        while (!s->over) {
            lm_want(s, &h->talk, h->map);
            handout_wait(L, h);
            if (s->arrived) lm_nextchunk(s);
        }
    }
    while (h->asked) handout_wait(L, h);
    return 0;
}

/* h:stop(): nobody takes any more. */
static int handout_stop(lua_State *L)
{
    handout *h = handout_check(L);
    if (h->count) h->busy += lm_now() - h->last;
    h->count = 0;
    if (atomic_exchange(&h->schedule.sheet->stop, true)) return 0;
    const lm_node *here = &h->nodes.at[h->nodes.here];
    for (int place = 0; place < h->own->size; place++)
        if (place < here->first || place >= here->first + here->ranks)
            lm_sendnote(&h->talk, h->nodes.rank_at[place], (lm_note){.map = h->map, .kind = LM_STOP});
    return 0;
}

/* h:stopped() */
static int handout_stopped(lua_State *L)
{
    lua_pushboolean(L, handout_halted(handout_check(L)));
    return 1;
}

/* h:over(): whether this rank has got the last chunk of the stream. */
static int handout_over(lua_State *L)
{
    lua_pushboolean(L, handout_check(L)->stream.over);
    return 1;
}

/* h:holds(): whether this rank has taken items that others may take from it. */
static int handout_holds(lua_State *L)
{
    handout *h = handout_check(L);
    lua_pushboolean(L, !h->stream.open && lm_holdsitems(&h->schedule));
    return 1;
}

/* h:await_message(tag): waits for a message on the machinery's communicator, for a chunk of the stream, or its end. */
static int handout_await_message(lua_State *L)
{
    handout *h = handout_check(L);
    int tag = (int)luaL_checkinteger(L, 2), there = 0;
    lm_wait(L, h->call, NULL, 0, -1);
    while (!there && h->stream.asked && !h->stream.arrived && !handout_halted(h)) {
        handout_wait(L, h);
        lm_mpi(L, MPI_Iprobe(MPI_ANY_SOURCE, tag, h->own->comm, &there, MPI_STATUS_IGNORE), h->call);
    }
    return 0;
}

/* h:nodes(): how many there are. */
static int handout_nodes(lua_State *L)
{
    lua_pushinteger(L, handout_check(L)->nodes.count);
    return 1;
}

/* h:times() → began and now by rank 0's clock, busy seconds, items done, the offset to that clock; also when it has ended */
static int handout_times(lua_State *L)
{
    const handout *h = ((const ticket *)lm_check(L, 1, &ticket_kind))->h;
    lua_pushnumber(L, h->began + h->nodes.offset);
    lua_pushnumber(L, lm_now() + h->nodes.offset);
    lua_pushnumber(L, h->busy);
    lua_pushinteger(L, h->done);
    lua_pushnumber(L, h->nodes.offset);
    return 5;
}

/* h:comm(): the machinery's own communicator. */
static int handout_comm(lua_State *L)
{
    handout_check(L);
    lua_getiuservalue(L, 1, 1);
    lua_getiuservalue(L, -1, 1);
    return 1;
}

/* clock(): seconds */
static int handout_clock(lua_State *L)
{
    lua_pushnumber(L, lm_now());
    return 1;
}

/* --- open ------------------------------------------------------------------------------------------------- */

static const luaL_Reg methods[] = {
    {"start", handout_start}, {"finish", handout_finish}, {"stop", handout_stop},
    {"times", handout_times}, {"comm", handout_comm},     {"stream", handout_stream},
    {"rest", handout_pause},  {"chunk", handout_chunk},   {"offer", handout_offer},
    {"ended", handout_ended}, {"retire", handout_retire}, {"ahead", handout_ahead},
    {"await", handout_await}, {"settle", handout_settle}, {"stopped", handout_stopped},
    {"nodes", handout_nodes}, {"over", handout_over},
    {"holds", handout_holds}, {"await_message", handout_await_message},
    {"progress", handout_progress}, {NULL, NULL},
};

/* A loop that was never finished: nobody is served for it any more. */
static int handout_gc(lua_State *L)
{
    handout *h = lm_check(L, 1, &handout_kind);
    handout_rest(h);
    lm_leavetalk(&h->talk);
    if (h->stock.ranks == 1) lm_freestock(&h->stock); /* shared memory goes with the communicator, or the process */
    return 0;
}

static const luaL_Reg ticket_metamethods[] = {{"__close", handout_finish}, {NULL, NULL}};
static const luaL_Reg metamethods[] = {{"__gc", handout_gc}, {NULL, NULL}};

static const luaL_Reg functions[] = {{"begin", handout_begin}, {"take", handout_take}, {"clock", handout_clock}, {NULL, NULL}};

void luaopen_handout(lua_State *L)
{
    static const luaL_Reg none[] = {{NULL, NULL}};
    lm_newkind(L, &handout_kind, none, metamethods);
    lm_newkind(L, &ticket_kind, methods, ticket_metamethods);
    lua_pop(L, 2);
    luaL_newlib(L, functions);
    luaL_setfuncs(L, lm_resultfunctions, 0);
}
