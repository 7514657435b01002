/* Point-to-point calls that block, and probes. */
#include "p2p.h"

#include "chunks.h"
#include "error.h"
#include "progress.h"
#include "status.h"
#include "stop.h"
#include "tick.h"
#include "wire.h"

#include <string.h>

/* --- receiving -------------------------------------------------------------------------------------------- */

static void payload_receive(lua_State *L, lm_comm *c, const char *call, const lm_head *head, lm_arrival from, void *room)
{
    lm_waitmoving(L, call, "source", from.source, from.tag);
    lm_mpi(L, lm_takepayload(c, head, from, room), call);
}

/* Consumes a body that nobody wants. */
static void payload_drain(lua_State *L, lm_comm *c, const char *call, const lm_head *head, lm_arrival from)
{
    if (head->bytes <= LM_ROOM) return;
    lm_waitmoving(L, call, "source", from.source, from.tag);
    lm_mpi(L, lm_drain(c, head, from), call);
}

/* Refuses a message: it is consumed, `pending` completed, and the reason raised. */
static void refuse(lua_State *L, lm_comm *c, const char *call, const lm_head *head, lm_arrival from, const lm_array *a,
                   lm_outgoing *pending)
{
    payload_drain(L, c, call, head, from);
    lm_completesend(L, pending);
    luaL_error(L, "%s", lm_pushrefusal(L, call, head, from, a));
}

/* Receives the payload of a value into a buffer, which is pushed, to be closed. */
static const lm_buffer *payload_buffer(lua_State *L, lm_comm *c, const char *call, const lm_head *head, lm_arrival from,
                                       lm_outgoing *pending)
{
    lm_buffer *b = lm_trybuffer(L);
    lua_toclose(L, -1);
    if (!b || !lm_reserve(L, b, head->bytes)) {
        payload_drain(L, c, call, head, from);
        lm_completesend(L, pending);
        luaL_error(L, "not enough memory");
    }
    payload_receive(L, c, call, head, from, lm_grow(L, b, head->bytes));
    return b;
}

/* Receives a value and pushes it and its status. The pending send of the same call (or NULL) is completed before
   decoding, which may raise. */
static int value_receive(lua_State *L, lm_comm *c, const char *call, int source, int tag, lm_outgoing *pending)
{
    if (source == MPI_PROC_NULL) {
        lm_completesend(L, pending);
        lua_pushnil(L);
        lm_pushstatus(L, MPI_PROC_NULL, MPI_ANY_TAG, 0);
        return 2;
    }
    lm_envelope e;
    lm_arrival from;
    size_t bytes;
    do from = lm_takeenvelope(L, 1, c, call, source, tag, &e, pending, !pending);
    while (e.head.content == LM_STREAM && !lm_receivestream(L, c, call, from, &e, &bytes));
    if (e.head.content != LM_STREAM) {
        const lm_buffer *b = NULL;
        if (!lm_acceptable(&e.head, NULL)) refuse(L, c, call, &e.head, from, NULL, pending);
        if (e.head.bytes > LM_ROOM) b = payload_buffer(L, c, call, &e.head, from, pending);
        lm_completesend(L, pending);
        lm_decode(L, b ? b->data : e.body, bytes = e.head.bytes);
    }
    lm_pushstatus(L, from.source, from.tag, (int64_t)bytes);
    return 2;
}

/* Where a message for the array arrives: a strided view is received packed, into memory that is pushed. */
static char *array_room(lua_State *L, lm_array *a) { return a->contiguous ? a->data : lua_newuserdatauv(L, lm_bytes(a), 0); }

/* Receives into the array, by way of its room, and pushes the status. */
static int array_receive(lua_State *L, lm_comm *c, const char *call, lm_array *a, char *room, int source, int tag,
                         lm_outgoing *pending)
{
    if (source == MPI_PROC_NULL) {
        lm_completesend(L, pending);
        lm_pushstatus(L, MPI_PROC_NULL, MPI_ANY_TAG, 0);
        return 1;
    }
    lm_envelope e;
    lm_arrival from = lm_takeenvelope(L, 1, c, call, source, tag, &e, pending, false);
    if (!lm_acceptable(&e.head, a)) refuse(L, c, call, &e.head, from, a, pending);
    if (!a->contiguous) lm_pack(a, room); /* fewer elements than it has leave the rest as it was */
    if (e.head.bytes <= LM_ROOM) memcpy(room, e.body, e.head.bytes);
    else payload_receive(L, c, call, &e.head, from, room);
    if (!a->contiguous) lm_unpack(a, room);
    lm_completesend(L, pending);
    lm_pushstatus(L, from.source, from.tag, lm_countof(&e.head));
    return 1;
}

/* --- methods: values -------------------------------------------------------------------------------------- */

static int send(lua_State *L, const char *call, lm_mode mode)
{
    lm_comm *c = lm_checkcomm(L, 1);
    luaL_checkany(L, 2);
    int dest = lm_checkrank(L, 3, c, "dest", MPI_UNDEFINED);
    lm_outgoing o = lm_outgoingto(call, dest, lm_checktag(L, 4, 0), mode);
    lm_sendvalue(L, c, &o, 2, lm_sendbuffer(L));
    lm_completesend(L, &o);
    return 0;
}

static int p2p_send(lua_State *L) { return send(L, "send", LM_STANDARD); }
static int p2p_ssend(lua_State *L) { return send(L, "ssend", LM_SYNCHRONOUS); }

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
    lm_outgoing o = lm_outgoingto("sendrecv", dest, lm_checktag(L, 5, 0), LM_CONCURRENT);
    int recvtag = lm_checktag(L, 6, MPI_ANY_TAG);
    lm_buffer *b = lm_newbuffer(L); /* the shared one may be used by a finalizer before the receive is done */
    if (!lm_guarded) lua_toclose(L, -1);
    lm_sendvalue(L, c, &o, 2, b);
    return value_receive(L, c, "sendrecv", source, recvtag, &o);
}

/* --- methods: arrays -------------------------------------------------------------------------------------- */

/* The array at arg, to be sent now. */
static const lm_array *check_sendable(lua_State *L, int arg)
{
    const lm_array *a = lm_checkarray(L, arg);
    const char *why = lm_unusable(a, false);
    if (why) luaL_argerror(L, arg, why);
    return a;
}

static int Send(lua_State *L, const char *call, lm_mode mode)
{
    lm_comm *c = lm_checkcomm(L, 1);
    const lm_array *a = check_sendable(L, 2);
    int dest = lm_checkrank(L, 3, c, "dest", MPI_UNDEFINED);
    lm_outgoing o = lm_outgoingto(call, dest, lm_checktag(L, 4, 0), mode);
    lm_envelope local, *e = lm_sendenvelope(L, &local);
    lm_sendarray(L, c, &o, a, lm_arraybody(L, a), e);
    lm_completesend(L, &o);
    return 0;
}

static int p2p_Send(lua_State *L) { return Send(L, "Send", LM_STANDARD); }
static int p2p_Ssend(lua_State *L) { return Send(L, "Ssend", LM_SYNCHRONOUS); }

static int p2p_Recv(lua_State *L)
{
    lm_comm *c = lm_checkcomm(L, 1);
    lm_array *a = lm_checkarray(L, 2);
    int source = lm_checkrank(L, 3, c, "source", MPI_ANY_SOURCE), tag = lm_checktag(L, 4, MPI_ANY_TAG);
    lm_checkwrite(L, a);
    return array_receive(L, c, "Recv", a, array_room(L, a), source, tag, NULL);
}

static int p2p_Sendrecv(lua_State *L)
{
    lm_comm *c = lm_checkcomm(L, 1);
    const lm_array *a = check_sendable(L, 2);
    int dest = lm_checkrank(L, 3, c, "dest", MPI_UNDEFINED);
    lm_array *b = lm_checkarray(L, 4);
    int source = lm_checkrank(L, 5, c, "source", MPI_ANY_SOURCE);
    lm_outgoing o = lm_outgoingto("Sendrecv", dest, lm_checktag(L, 6, 0), LM_CONCURRENT);
    int recvtag = lm_checktag(L, 7, MPI_ANY_TAG);
    lm_checkwrite(L, b);
    if (lm_overlap(a, b)) luaL_argerror(L, 4, "the two arrays share memory; Sendrecv_replace sends and receives in place");
    lm_envelope local, *e = lm_sendenvelope(L, &local);
    char *room = array_room(L, b); /* before the send, which must not be under way when memory runs out */
    lm_sendarray(L, c, &o, a, lm_arraybody(L, a), e);
    return array_receive(L, c, "Sendrecv", b, room, source, recvtag, &o);
}

static int p2p_Sendrecv_replace(lua_State *L)
{
    lm_comm *c = lm_checkcomm(L, 1);
    lm_array *a = lm_checkarray(L, 2);
    int dest = lm_checkrank(L, 3, c, "dest", MPI_UNDEFINED), source = lm_checkrank(L, 4, c, "source", MPI_ANY_SOURCE);
    lm_outgoing o = lm_outgoingto("Sendrecv_replace", dest, lm_checktag(L, 5, 0), LM_CONCURRENT);
    int recvtag = lm_checktag(L, 6, MPI_ANY_TAG);
    lm_checkwrite(L, a);
    lm_array *copy = lm_newarray(L, (lm_dtype)a->dtype, a->ndim, a->shape);
    lm_pack(a, copy->data);
    lm_envelope local, *e = lm_sendenvelope(L, &local);
    char *room = array_room(L, a);
    lm_sendarray(L, c, &o, copy, copy->data, e);
    return array_receive(L, c, o.call, a, room, source, recvtag, &o);
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
    lm_letter *found = lm_matchletter(L, 1, c, source, tag, call, NULL);
    if (!found) {
        int there = 1;
        MPI_Message message;
        MPI_Status status;
        if (wait && !lm_guarded && !lm_ticking()) lm_mpi(L, MPI_Mprobe(source, tag, c->comm, &message, &status), call);
        else do {
            lm_mpi(L, MPI_Improbe(source, tag, c->comm, &there, &message, &status), call);
            if (wait && !there && lm_stopping()) lm_raisestop(L, true);
            if (wait && !there) lm_tickwaiting(L);
        } while (wait && !there);
        if (!there) {
            lua_pushnil(L);
            return 1;
        }
        found = lm_openletter(L, 1, c, &message, &status, call, NULL);
    }
    lm_pushstatus(L, found->from.source, found->from.tag, lm_countof(&found->envelope.head));
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
    {"Sendrecv_replace", p2p_Sendrecv_replace},
    {NULL, NULL},
};

void luaopen_p2p(lua_State *L)
{
    lua_getfield(L, -1, "comm");
    luaL_setfuncs(L, methods, 0);
    lua_pop(L, 1);
}
