/* Messages between two ranks.

   A message is an envelope of at most EAGER bytes: a head that says what it is, and the body when it fits. A longer
   body follows as the payload, on the communicator's second channel under the sequence number as tag. A receive takes
   the envelope into room for the longest one, so nothing can overflow, and knows kind, dtype and size before the
   user's memory is touched. */
#include "p2p.h"

#include "array.h"
#include "comm.h"
#include "datatype.h"
#include "error.h"
#include "progress.h"
#include "status.h"
#include "wire.h"

#include <stddef.h>
#include <string.h>

enum { VALUE, ARRAY };

typedef struct envelope_head {
    uint8_t kind, dtype;
    uint32_t sequence; /* counts the messages from this sender to this receiver */
    uint64_t bytes;    /* of the body */
} envelope_head;

#define EAGER 4000
#define ROOM (EAGER - sizeof(envelope_head))

typedef struct envelope {
    envelope_head head;
    char body[ROOM];
} envelope;

/* An envelope opened by a probe, until a receive takes it. */
typedef struct lm_letter {
    struct lm_letter *next;
    int source, tag;
    envelope envelope;
} letter;

typedef struct arrival {
    int source, tag;
} arrival;

/* --- sending ---------------------------------------------------------------------------------------------- */

static envelope_head head_new(lm_comm *c, int kind, lm_dtype dtype, size_t bytes, int dest)
{
    return (envelope_head){(uint8_t)kind, (uint8_t)dtype, c->sent[dest]++ & INT32_MAX, bytes};
}

/* A send under way: its envelope, and the payload behind it. */
typedef struct outgoing {
    const char *call;
    int dest, tag;
    enum { STANDARD, SYNCHRONOUS, CONCURRENT } mode; /* concurrent: a receive comes before the completion */
    MPI_Request envelope, payload;
} outgoing;

static outgoing outgoing_new(const char *call, int dest, int tag, int mode)
{
    return (outgoing){call, dest, tag, mode, MPI_REQUEST_NULL, MPI_REQUEST_NULL};
}

/* Sends an envelope: `bytes` from its head on. */
static void envelope_send(lua_State *L, lm_comm *c, outgoing *o, const void *head, size_t bytes)
{
    lm_wait(L, o->call, "dest", o->dest, o->tag);
    int code = o->mode == CONCURRENT ? MPI_Isend(head, (int)bytes, MPI_BYTE, o->dest, o->tag, c->comm, &o->envelope)
               : o->mode == SYNCHRONOUS ? MPI_Ssend(head, (int)bytes, MPI_BYTE, o->dest, o->tag, c->comm)
                                        : MPI_Send(head, (int)bytes, MPI_BYTE, o->dest, o->tag, c->comm);
    lm_mpi(L, code, o->call);
}

/* Begins to send a body that did not fit into its envelope. */
static void payload_start(lua_State *L, lm_comm *c, outgoing *o, const void *body, const envelope_head *head)
{
    lm_span span = lm_spanof(MPI_BYTE, (int64_t)head->bytes);
    int code = MPI_Isend(body, span.count, span.type, o->dest, (int)head->sequence, c->payload, &o->payload);
    lm_endspan(&span);
    lm_mpi(L, code, o->call);
}

/* Begins to send the value at arg 2, out of the state's shared buffer. */
static void value_start(lua_State *L, lm_comm *c, outgoing *o)
{
    lm_buffer *b = lm_scratch(L);
    lm_grow(L, b, sizeof(envelope_head));
    lm_encode(L, 2, b);
    if (o->dest == MPI_PROC_NULL) return;
    size_t bytes = b->size - sizeof(envelope_head);
    envelope_head head = head_new(c, VALUE, 0, bytes, o->dest);
    memcpy(b->data, &head, sizeof head);
    envelope_send(L, c, o, b->data, bytes <= ROOM ? b->size : sizeof head);
    if (bytes > ROOM) payload_start(L, c, o, b->data + sizeof head, &head);
}

/* Begins to send an array. The envelope is the caller's, alive until the completion; a packed copy of a strided array
   stays on the stack. */
static void array_start(lua_State *L, lm_comm *c, outgoing *o, const lm_array *a, envelope *e)
{
    if (o->dest == MPI_PROC_NULL) return;
    size_t bytes = lm_bytes(a);
    if (bytes <= ROOM) {
        e->head = head_new(c, ARRAY, a->dtype, bytes, o->dest);
        lm_pack(a, e->body);
        envelope_send(L, c, o, e, sizeof e->head + bytes);
        return;
    }
    const char *body = a->data;
    if (!a->contiguous) {
        char *packed = lua_newuserdatauv(L, bytes, 0);
        lm_pack(a, packed);
        body = packed;
    }
    e->head = head_new(c, ARRAY, a->dtype, bytes, o->dest);
    envelope_send(L, c, o, e, sizeof e->head);
    payload_start(L, c, o, body, &e->head);
}

static void complete(lua_State *L, outgoing *o)
{
    if (!o || (o->envelope == MPI_REQUEST_NULL && o->payload == MPI_REQUEST_NULL)) return;
    lm_wait(L, o->call, "dest", o->dest, o->tag);
    lm_mpi(L, MPI_Waitall(2, (MPI_Request[]){o->envelope, o->payload}, MPI_STATUSES_IGNORE), o->call);
}

/* --- envelopes opened by a probe -------------------------------------------------------------------------- */

/* Opens a message matched by a probe and keeps it as the newest letter. */
static letter *letter_open(lua_State *L, int comm, lm_comm *c, MPI_Message *message, const MPI_Status *status, const char *call)
{
    if (lua_getiuservalue(L, comm, 2) != LUA_TTABLE) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushvalue(L, -1);
        lua_setiuservalue(L, comm, 2);
    }
    letter *new = lua_newuserdatauv(L, sizeof *new, 0);
    *new = (letter){.source = status->MPI_SOURCE, .tag = status->MPI_TAG};
    lm_mpi(L, MPI_Mrecv(&new->envelope, EAGER, MPI_BYTE, message, MPI_STATUS_IGNORE), call);
    lua_rawsetp(L, -2, new);
    lua_pop(L, 1);
    letter **last = &c->letters;
    while (*last) last = &(*last)->next;
    return *last = new;
}

static letter *letter_find(const lm_comm *c, int source, int tag)
{
    for (letter *l = c->letters; l; l = l->next)
        if ((source == MPI_ANY_SOURCE || source == l->source) && (tag == MPI_ANY_TAG || tag == l->tag)) return l;
    return NULL;
}

/* The opened letter that a receive must take first. MPI may still hold an earlier message of the same sender, which
   the probe's tag passed over. */
static letter *letter_match(lua_State *L, int comm, lm_comm *c, int source, int tag, const char *call)
{
    letter *found = letter_find(c, source, tag);
    if (!found) return NULL;
    int there;
    MPI_Message message;
    MPI_Status status;
    lm_mpi(L, MPI_Improbe(found->source, tag, c->comm, &there, &message, &status), call);
    if (there) {
        letter *other = letter_open(L, comm, c, &message, &status, call);
        if ((int32_t)((other->envelope.head.sequence - found->envelope.head.sequence) << 1) < 0) found = other;
    }
    return found;
}

static void letter_remove(lua_State *L, int comm, lm_comm *c, letter *l)
{
    letter **at = &c->letters;
    while (*at != l) at = &(*at)->next;
    *at = l->next;
    lua_getiuservalue(L, comm, 2);
    lua_pushnil(L);
    lua_rawsetp(L, -2, l);
    lua_pop(L, 1);
}

/* --- receiving -------------------------------------------------------------------------------------------- */

/* Takes the next envelope that matches. */
static arrival envelope_take(lua_State *L, int comm, lm_comm *c, const char *call, int source, int tag, envelope *e)
{
    lm_wait(L, call, "source", source, tag);
    letter *opened = c->letters ? letter_match(L, comm, c, source, tag, call) : NULL;
    if (opened) {
        arrival from = {opened->source, opened->tag};
        *e = opened->envelope;
        letter_remove(L, comm, c, opened);
        return from;
    }
    MPI_Status status;
    lm_mpi(L, MPI_Recv(e, EAGER, MPI_BYTE, source, tag, c->comm, &status), call);
    return (arrival){status.MPI_SOURCE, status.MPI_TAG};
}

/* Receives the body that follows the envelope into exactly head->bytes of room. */
static void payload_receive(lua_State *L, lm_comm *c, const char *call, const envelope_head *head, arrival from, void *room)
{
    lm_wait(L, call, "source", from.source, from.tag);
    lm_span span = lm_spanof(MPI_BYTE, (int64_t)head->bytes);
    int code = MPI_Recv(room, span.count, span.type, from.source, (int)head->sequence, c->payload, MPI_STATUS_IGNORE);
    lm_endspan(&span);
    lm_mpi(L, code, call);
}

/* Consumes a body that nobody wants, so that its sender goes on: all of it into the same small room. */
static void payload_drain(lua_State *L, lm_comm *c, const char *call, const envelope_head *head, arrival from)
{
    if (head->bytes <= ROOM) return;
    char room[EAGER];
    int rest = (int)(head->bytes % EAGER);
    MPI_Datatype piece, parts[2], all;
    MPI_Type_contiguous(EAGER, MPI_BYTE, &piece);
    MPI_Type_create_hvector((int)(head->bytes / EAGER), 1, 0, piece, &parts[0]);
    MPI_Type_contiguous(rest, MPI_BYTE, &parts[1]);
    MPI_Type_create_struct(2, (int[]){1, 1}, (MPI_Aint[]){0, 0}, parts, &all);
    MPI_Type_commit(&all);
    lm_wait(L, call, "source", from.source, from.tag);
    int code = MPI_Recv(room, 1, all, from.source, (int)head->sequence, c->payload, MPI_STATUS_IGNORE);
    MPI_Type_free(&all);
    MPI_Type_free(&piece);
    MPI_Type_free(&parts[0]);
    MPI_Type_free(&parts[1]);
    lm_mpi(L, code, call);
}

static int64_t head_count(const envelope_head *head)
{
    return (int64_t)(head->kind == ARRAY ? head->bytes / lm_dtypes[head->dtype].size : head->bytes);
}

/* Why the message may not go into the array (NULL: a value was asked for), pushed as text; or NULL. */
static const char *refusal(lua_State *L, const char *call, const envelope_head *head, arrival from, const lm_array *a)
{
    const char *where = lua_pushfstring(L, "%s: the message from rank %d (tag %d)", call, from.source, from.tag);
    lua_Integer count = head_count(head);
    if (!a) {
        if (head->kind == VALUE) return NULL;
        return lua_pushfstring(L, "%s is an array of %I %s elements; receive it with Recv", where, count, lm_dtypes[head->dtype].name);
    }
    if (head->kind != ARRAY)
        return lua_pushfstring(L, "%s is a value, not an array; receive it with recv", where);
    if (head->dtype != a->dtype)
        return lua_pushfstring(L, "%s holds %s, the array is %s", where, lm_dtypes[head->dtype].name, lm_dtypes[a->dtype].name);
    if (count > a->size)
        return lua_pushfstring(L, "%s has %I %s elements, the array only %I", where, count, lm_dtypes[a->dtype].name, (lua_Integer)a->size);
    return NULL;
}

static bool acceptable(const envelope_head *head, const lm_array *a)
{
    return a ? head->kind == ARRAY && head->dtype == a->dtype && head->bytes <= lm_bytes(a) : head->kind == VALUE;
}

/* Refuses a message: it is consumed, `pending` completed, and the reason raised. */
static void refuse(lua_State *L, lm_comm *c, const char *call, const envelope_head *head, arrival from, const lm_array *a,
                   outgoing *pending)
{
    payload_drain(L, c, call, head, from);
    complete(L, pending);
    luaL_error(L, "%s", refusal(L, call, head, from, a));
}

/* Receives a value and pushes it and its status. The pending send of the same call (or NULL) is completed before
   decoding, which may raise. */
static int value_receive(lua_State *L, lm_comm *c, const char *call, int source, int tag, outgoing *pending)
{
    if (source == MPI_PROC_NULL) {
        complete(L, pending);
        lua_pushnil(L);
        lm_pushstatus(L, MPI_PROC_NULL, MPI_ANY_TAG, 0);
        return 2;
    }
    envelope e;
    arrival from = envelope_take(L, 1, c, call, source, tag, &e);
    if (!acceptable(&e.head, NULL)) refuse(L, c, call, &e.head, from, NULL, pending);
    const char *body = e.body;
    if (e.head.bytes > ROOM) {
        lm_buffer *b = lm_newbuffer(L);
        lua_toclose(L, -1);
        if (!lm_reserve(L, b, e.head.bytes)) {
            payload_drain(L, c, call, &e.head, from);
            complete(L, pending);
            luaL_error(L, "not enough memory");
        }
        char *room = lm_grow(L, b, e.head.bytes);
        payload_receive(L, c, call, &e.head, from, room);
        body = room;
    }
    complete(L, pending);
    lm_decode(L, body, e.head.bytes);
    lm_pushstatus(L, from.source, from.tag, (int64_t)e.head.bytes);
    return 2;
}

/* Receives into the array and pushes the status. */
static int array_receive(lua_State *L, lm_comm *c, const char *call, lm_array *a, int source, int tag, outgoing *pending)
{
    if (source == MPI_PROC_NULL) {
        complete(L, pending);
        lm_pushstatus(L, MPI_PROC_NULL, MPI_ANY_TAG, 0);
        return 1;
    }
    /* a strided view is received packed; fewer elements than it has leave the rest as it was */
    char *room = a->contiguous ? a->data : lua_newuserdatauv(L, lm_bytes(a), 0);
    envelope e;
    arrival from = envelope_take(L, 1, c, call, source, tag, &e);
    if (!acceptable(&e.head, a)) refuse(L, c, call, &e.head, from, a, pending);
    if (!a->contiguous) lm_pack(a, room);
    if (e.head.bytes <= ROOM) memcpy(room, e.body, e.head.bytes);
    else payload_receive(L, c, call, &e.head, from, room);
    if (!a->contiguous) lm_unpack(a, room);
    complete(L, pending);
    lm_pushstatus(L, from.source, from.tag, head_count(&e.head));
    return 1;
}

/* --- methods: values -------------------------------------------------------------------------------------- */

static int send(lua_State *L, const char *call, int mode)
{
    lm_comm *c = lm_checkcomm(L, 1);
    luaL_checkany(L, 2);
    int dest = lm_checkrank(L, 3, c, "dest", MPI_UNDEFINED);
    outgoing o = outgoing_new(call, dest, lm_checktag(L, 4, 0), mode);
    value_start(L, c, &o);
    complete(L, &o);
    return 0;
}

static int p2p_send(lua_State *L) { return send(L, "send", STANDARD); }
static int p2p_ssend(lua_State *L) { return send(L, "ssend", SYNCHRONOUS); }

static int p2p_recv(lua_State *L)
{
    lm_comm *c = lm_checkcomm(L, 1);
    int source = lm_checkrank(L, 2, c, "source", MPI_ANY_SOURCE), tag = lm_checktag(L, 3, MPI_ANY_TAG);
    return value_receive(L, c, "recv", source, tag, NULL);
}

static int p2p_sendrecv(lua_State *L)
{
    lm_comm *c = lm_checkcomm(L, 1);
    luaL_checkany(L, 2);
    int dest = lm_checkrank(L, 3, c, "dest", MPI_UNDEFINED), source = lm_checkrank(L, 4, c, "source", MPI_ANY_SOURCE);
    outgoing o = outgoing_new("sendrecv", dest, lm_checktag(L, 5, 0), CONCURRENT);
    int recvtag = lm_checktag(L, 6, MPI_ANY_TAG);
    value_start(L, c, &o);
    return value_receive(L, c, "sendrecv", source, recvtag, &o);
}

/* --- methods: arrays -------------------------------------------------------------------------------------- */

static int Send(lua_State *L, const char *call, int mode)
{
    lm_comm *c = lm_checkcomm(L, 1);
    const lm_array *a = lm_checkarray(L, 2);
    int dest = lm_checkrank(L, 3, c, "dest", MPI_UNDEFINED);
    outgoing o = outgoing_new(call, dest, lm_checktag(L, 4, 0), mode);
    envelope e;
    array_start(L, c, &o, a, &e);
    complete(L, &o);
    return 0;
}

static int p2p_Send(lua_State *L) { return Send(L, "Send", STANDARD); }
static int p2p_Ssend(lua_State *L) { return Send(L, "Ssend", SYNCHRONOUS); }

static int p2p_Recv(lua_State *L)
{
    lm_comm *c = lm_checkcomm(L, 1);
    lm_array *a = lm_checkarray(L, 2);
    int source = lm_checkrank(L, 3, c, "source", MPI_ANY_SOURCE), tag = lm_checktag(L, 4, MPI_ANY_TAG);
    lm_checkwrite(L, a);
    return array_receive(L, c, "Recv", a, source, tag, NULL);
}

static int p2p_Sendrecv(lua_State *L)
{
    lm_comm *c = lm_checkcomm(L, 1);
    const lm_array *a = lm_checkarray(L, 2);
    int dest = lm_checkrank(L, 3, c, "dest", MPI_UNDEFINED);
    lm_array *b = lm_checkarray(L, 4);
    int source = lm_checkrank(L, 5, c, "source", MPI_ANY_SOURCE);
    outgoing o = outgoing_new("Sendrecv", dest, lm_checktag(L, 6, 0), CONCURRENT);
    int recvtag = lm_checktag(L, 7, MPI_ANY_TAG);
    lm_checkwrite(L, b);
    if (lm_overlap(a, b)) luaL_argerror(L, 4, "the two arrays share memory; Sendrecv_replace sends and receives in place");
    envelope e;
    array_start(L, c, &o, a, &e);
    return array_receive(L, c, "Sendrecv", b, source, recvtag, &o);
}

/* --- methods: probes -------------------------------------------------------------------------------------- */

static int probe(lua_State *L, const char *call, bool wait)
{
    lm_comm *c = lm_checkcomm(L, 1);
    int source = lm_checkrank(L, 2, c, "source", MPI_ANY_SOURCE), tag = lm_checktag(L, 3, MPI_ANY_TAG);
    if (source == MPI_PROC_NULL) {
        lm_pushstatus(L, MPI_PROC_NULL, MPI_ANY_TAG, 0);
        return 1;
    }
    lm_wait(L, call, "source", source, tag);
    letter *found = c->letters ? letter_match(L, 1, c, source, tag, call) : NULL;
    if (!found) {
        int there = 1;
        MPI_Message message;
        MPI_Status status;
        if (wait) lm_mpi(L, MPI_Mprobe(source, tag, c->comm, &message, &status), call);
        else lm_mpi(L, MPI_Improbe(source, tag, c->comm, &there, &message, &status), call);
        if (!there) {
            lua_pushnil(L);
            return 1;
        }
        found = letter_open(L, 1, c, &message, &status, call);
    }
    lm_pushstatus(L, found->source, found->tag, head_count(&found->envelope.head));
    return 1;
}

static int p2p_probe(lua_State *L) { return probe(L, "probe", true); }
static int p2p_iprobe(lua_State *L) { return probe(L, "iprobe", false); }

static const luaL_Reg methods[] = {
    {"send", p2p_send},
    {"ssend", p2p_ssend},
    {"recv", p2p_recv},
    {"sendrecv", p2p_sendrecv},
    {"probe", p2p_probe},
    {"iprobe", p2p_iprobe},
    {"Send", p2p_Send},
    {"Ssend", p2p_Ssend},
    {"Recv", p2p_Recv},
    {"Sendrecv", p2p_Sendrecv},
    {NULL, NULL},
};

void luaopen_p2p(lua_State *L)
{
    lua_getfield(L, -1, "comm");
    luaL_setfuncs(L, methods, 0);
    lua_pop(L, 1);
}
