#include "chunks.h"

#include "deadlock.h"
#include "error.h"
#include "progress.h"

#include <stdatomic.h>
#include <string.h>

/* --- invitations ------------------------------------------------------------------------------------------ */

bool lm_invite(const lm_comm *c, int source, int tag)
{
    lm_invitation *i = lm_boardinvitation(-1);
    if (!i || source < 0 || source == c->rank || c->receives > 0) return false;
    atomic_store_explicit(&i->version, i->version + 1, memory_order_relaxed); /* odd: it is being written */
    atomic_thread_fence(memory_order_release);
    i->comm = c->record->id;
    i->rank = c->rank;
    i->source = source;
    i->tag = tag;
    i->taken = c->taken[source];
    atomic_store_explicit(&i->version, i->version + 1, memory_order_release);
    return true;
}

void lm_uninvite(void)
{
    lm_invitation *i = lm_boardinvitation(-1);
    atomic_store_explicit(&i->version, i->version + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    i->rank = -1;
    atomic_store_explicit(&i->version, i->version + 1, memory_order_release);
}

/* Whether rank `dest` of c waits for this rank's next message, if it has this tag. */
static bool is_invited(const lm_comm *c, int dest, int tag)
{
    const lm_invitation *i;
    for (int r = 0; (i = lm_boardinvitation(r)); r++) {
        uint32_t version = atomic_load_explicit(&i->version, memory_order_acquire);
        bool meant = version % 2 == 0 && i->comm == c->record->id && i->rank == dest && i->source == c->rank &&
                     (i->tag == MPI_ANY_TAG || i->tag == tag) && i->taken == c->posted[dest];
        atomic_thread_fence(memory_order_acquire);
        if (meant && version == atomic_load_explicit(&i->version, memory_order_relaxed)) return true;
    }
    return false;
}

/* --- sending ---------------------------------------------------------------------------------------------- */

#define SLOTS 16
#define PACE 8 /* every so many chunks one waits to be received: no more than SLOTS + PACE are on their way */

/* Chunks on their way, each in the slot of its number. */
static lm_envelope slots[SLOTS], last;
static MPI_Request requests[SLOTS] = {[0 ... SLOTS - 1] = MPI_REQUEST_NULL};
static unsigned chunks;

/* The stream that is being sent. Encoding runs no Lua code, so there is one at most. */
static struct {
    lm_sink sink;
    lua_State *L;
    lm_comm *c;
    const lm_outgoing *o;
    lm_head head;
    MPI_Comm payload; /* these two are left when an error has ended the call */
    int dest;
} out;

/* Sends LM_ROOM bytes unless the slot is taken: the first ones as an envelope. */
static bool slot_send(const char *bytes)
{
    unsigned i = chunks % SLOTS;
    bool synchronous = i % PACE == PACE - 1, first = lm_unsettled == NULL;
    int done;
    lm_mpi(out.L, MPI_Test(&requests[i], &done, MPI_STATUS_IGNORE), out.o->call);
    if (!done) return false;
    if (first) {
        out.head = lm_newhead(out.c, LM_STREAM, 0, LM_ROOM, out.dest);
        out.c->posted[out.dest]++;
    }
    slots[i].head = out.head;
    memcpy(slots[i].body, bytes, LM_ROOM);
    int code = (synchronous ? MPI_Issend : MPI_Isend)(&slots[i], LM_EAGER, MPI_BYTE, out.dest, first ? out.o->tag : (int)out.head.sequence,
                                                      first ? out.c->comm : out.payload, &requests[i]);
    lm_mpi(out.L, code, out.o->call);
    chunks++;
    return true;
}

static void out_abandon(void)
{
    lm_unsettled = NULL;
    last.head = (lm_head){LM_NEVER, 0, out.head.sequence, 0};
    MPI_Send(&last, sizeof last.head, MPI_BYTE, out.dest, (int)out.head.sequence, out.payload);
}

static size_t out_take(lm_sink *s, const char *bytes, size_t n)
{
    (void)s;
    size_t taken = 0;
    lm_idle = 0; /* this rank is at work */
    if (!lm_unsettled && !is_invited(out.c, out.dest, out.o->tag)) return 0;
    while (n - taken >= LM_ROOM && slot_send(bytes + taken)) {
        taken += LM_ROOM;
        out.head.content = LM_MORE;
        lm_unsettled = out_abandon;
    }
    return taken;
}

static void out_give_up(lm_sink *s)
{
    (void)s;
    if (lm_unsettled) lm_unsettled(); /* else a finalizer has done so, while the reason was put into words */
}

lm_sink *lm_opensink(lua_State *L, lm_comm *c, const lm_outgoing *o)
{
    lm_wait(L, o->call, "dest", o->dest, o->tag);
    out.sink = (lm_sink){.step = LM_ROOM, .take = out_take, .give_up = out_give_up};
    out.L = L;
    out.c = c;
    out.o = o;
    out.payload = c->payload;
    out.dest = o->dest;
    return &out.sink;
}

void lm_closesink(lua_State *L, lm_outgoing *o, const lm_buffer *b)
{
    const char *body = b->data + sizeof(lm_head);
    size_t bytes = b->size - sizeof(lm_head);
    lm_content content = LM_WHOLE;
    if (!out.sink.contradicted) {
        body += out.sink.taken;
        bytes -= out.sink.taken;
        content = bytes <= LM_ROOM ? LM_LAST : LM_REST;
    }
    lm_unsettled = NULL;
    last.head = (lm_head){(uint8_t)content, 0, out.head.sequence, bytes};
    if (content == LM_LAST) memcpy(last.body, body, bytes);
    int code = MPI_Issend(&last, (int)(sizeof last.head + (content == LM_LAST ? bytes : 0)), MPI_BYTE, o->dest, (int)out.head.sequence,
                          out.payload, &o->parts[0]);
    lm_mpi(L, code, o->call);
    if (content != LM_LAST) lm_sendpayload(L, out.c, o, body, &last.head);
}

/* --- receiving -------------------------------------------------------------------------------------------- */

/* A stream that this rank takes. */
typedef struct inflow {
    lm_source source; /* what there is for the decoder */
    lua_State *L;
    lm_comm *c;
    const char *call;
    lm_arrival from;
    uint32_t sequence;
    int end;          /* LM_STREAM until it is known: LM_LAST, LM_WHOLE, LM_NEVER */
    lm_buffer *ahead; /* what came while the decoder was busy; for LM_WHOLE the message */
    bool no_memory;
} inflow;

static inflow *decoded; /* the one that is decoded while it arrives */

/* Appends the body of the envelope or chunk; false when memory is out. */
static bool keep_body(lua_State *L, lm_buffer *b, const lm_envelope *e)
{
    if (!lm_reserve(L, b, e->head.bytes)) return false;
    memcpy(b->data + b->size, e->body, e->head.bytes);
    b->size += e->head.bytes;
    return true;
}

/* Receives the payload behind a chunk. */
static int inflow_payload(inflow *f, const lm_head *head, lm_buffer *b)
{
    f->no_memory = f->no_memory || !lm_reserve(f->L, b, head->bytes);
    if (f->no_memory) return lm_drain(f->c, head, f->from);
    int code = lm_takepayload(f->c, head, f->from, b->data + b->size);
    if (code == MPI_SUCCESS) b->size += head->bytes;
    return code;
}

/* Receives the next chunk into b. Once memory is out the others go nowhere. MPI's code. */
static int inflow_chunk(inflow *f, lm_buffer *b)
{
    lm_envelope chunk;
    int code = MPI_Recv(&chunk, LM_EAGER, MPI_BYTE, f->from.source, (int)f->sequence, f->c->payload, MPI_STATUS_IGNORE);
    if (code != MPI_SUCCESS) return code;
    switch (chunk.head.content) {
    case LM_LAST:
        f->end = LM_LAST; /* fall through */
    case LM_MORE:
        f->no_memory = f->no_memory || !keep_body(f->L, b, &chunk);
        return code;
    case LM_REST:
        f->end = LM_LAST;
        return inflow_payload(f, &chunk.head, b);
    case LM_WHOLE:
        f->end = LM_WHOLE;
        f->ahead->size = 0;
        return inflow_payload(f, &chunk.head, f->ahead);
    default:
        f->end = LM_NEVER;
        return code;
    }
}

static void inflow_step(inflow *f, lm_buffer *b)
{
    lm_unsettled = NULL;
    lm_waitmoving(f->L, f->call, "source", f->from.source, f->from.tag);
    lm_mpi(f->L, inflow_chunk(f, b), f->call);
}

/* Takes all that is still to come. */
static void inflow_end(inflow *f, lm_buffer *b)
{
    while (f->end == LM_STREAM) inflow_step(f, b);
}

/* A finalizer that runs in the decoder wants to communicate. */
static void decoded_settle(void) { inflow_end(decoded, decoded->ahead); }

static bool inflow_more(lua_State *L, lm_source *source)
{
    inflow *f = (inflow *)source;
    lm_buffer *ahead = f->ahead;
    if (f->end == LM_STREAM) {
        inflow_step(f, source->b);
        if (f->end == LM_STREAM) lm_unsettled = decoded_settle;
    } else if (f->end == LM_LAST && ahead->size > 0) {
        memcpy(lm_grow(L, source->b, ahead->size), ahead->data, ahead->size);
        ahead->size = 0;
    } else if (f->end == LM_LAST) {
        return false;
    }
    if (f->no_memory) luaL_error(L, "not enough memory");
    if (f->end > LM_LAST) luaL_error(L, "what came is not the message");
    return true;
}

/* Pushes two buffers, or nil for them. */
static void inflow_open(inflow *f, lua_State *L, lm_comm *c, const char *call, lm_arrival from, const lm_envelope *e)
{
    *f = (inflow){.L = L, .c = c, .call = call, .from = from, .sequence = e->head.sequence, .end = LM_STREAM};
    static lm_buffer none; /* nothing comes into it */
    lm_buffer *b = lm_trybuffer(L), *ahead = lm_trybuffer(L);
    f->no_memory = !b || !ahead || !keep_body(L, b, e);
    f->source = (lm_source){f->no_memory ? &none : b, inflow_more};
    f->ahead = f->no_memory ? &none : ahead;
}

static int protected_decode(lua_State *L)
{
    inflow *f = lua_touserdata(L, 1);
    decoded = f;
    lm_unsettled = decoded_settle;
    lm_decodefrom(L, &f->source);
    return 1;
}

bool lm_receivestream(lua_State *L, lm_comm *c, const char *call, lm_arrival from, const lm_envelope *e, size_t *bytes)
{
    inflow f;
    inflow_open(&f, L, c, call, from, e);
    lua_toclose(L, -2);
    lua_toclose(L, -1);
    lua_pushcfunction(L, protected_decode);
    lua_pushlightuserdata(L, &f);
    int status = lua_pcall(L, 1, 1, 0);
    inflow_end(&f, f.source.b);
    if (f.end == LM_NEVER) {
        lua_pop(L, 3);
        return false;
    }
    if (f.no_memory) luaL_error(L, "not enough memory");
    if (f.end == LM_WHOLE) {
        lua_pop(L, 1);
        lm_decode(L, f.ahead->data, f.ahead->size);
    } else if (status != LUA_OK) {
        if (status == LUA_ERRRUN && lua_type(L, -1) == LUA_TSTRING) { /* the call is not the decoder's caller */
            luaL_where(L, 1);
            lua_insert(L, -2);
            lua_concat(L, 2);
        }
        lua_error(L);
    }
    *bytes = f.end == LM_WHOLE ? f.ahead->size : f.source.b->size;
    return true;
}
