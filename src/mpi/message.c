#include "message.h"

#include "chunks.h"
#include "datatype.h"
#include "error.h"
#include "progress.h"
#include "recover.h"
#include "stop.h"
#include "tick.h"
#include "wire.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* --- sending ---------------------------------------------------------------------------------------------- */

lm_head lm_newhead(lm_comm *c, lm_content content, lm_dtype dtype, size_t bytes, int dest)
{
    return (lm_head){(uint8_t)content, (uint8_t)dtype, lm_nextsequence(c, dest), bytes};
}

lm_outgoing lm_outgoingto(const char *call, int dest, int tag, lm_mode mode)
{
    if (lm_guarded && mode < LM_CONCURRENT) mode += LM_CONCURRENT; /* it can be left */
    return (lm_outgoing){call, dest, tag, mode, {MPI_REQUEST_NULL, MPI_REQUEST_NULL}};
}

lm_buffer *lm_sendbuffer(lua_State *L) { return lm_guarded ? lm_newbuffer(L) : lm_scratch(L); }

lm_envelope *lm_sendenvelope(lua_State *L, lm_envelope *local) { return lm_guarded ? lua_newuserdatauv(L, sizeof *local, 0) : local; }

/* Sends an envelope: `bytes` from its head on. */
static void send_envelope(lua_State *L, lm_comm *c, lm_outgoing *o, const void *head, size_t bytes)
{
    lm_wait(L, o->call, "dest", o->dest, o->tag);
    c->posted[o->dest]++;
    int n = (int)bytes, code;
    switch (o->mode) {
    case LM_STANDARD: code = MPI_Send(head, n, MPI_BYTE, o->dest, o->tag, c->comm); break;
    case LM_SYNCHRONOUS: code = MPI_Ssend(head, n, MPI_BYTE, o->dest, o->tag, c->comm); break;
    case LM_CONCURRENT: code = MPI_Isend(head, n, MPI_BYTE, o->dest, o->tag, c->comm, &o->parts[0]); break;
    default: code = MPI_Issend(head, n, MPI_BYTE, o->dest, o->tag, c->comm, &o->parts[0]);
    }
    lm_mpi(L, code, o->call);
}

void lm_sendpayload(lua_State *L, lm_comm *c, lm_outgoing *o, const void *body, const lm_head *head)
{
    lm_span span = lm_spanof(MPI_BYTE, (int64_t)head->bytes);
    int code = MPI_Isend(body, span.count, span.type, o->dest, (int)head->sequence, c->payload, &o->parts[1]);
    lm_endspan(&span);
    lm_mpi(L, code, o->call);
}

void lm_sendvalue(lua_State *L, lm_comm *c, lm_outgoing *o, int index, lm_buffer *b)
{
    lm_grow(L, b, sizeof(lm_head));
    bool streams = o->mode == LM_STANDARD && o->dest != c->rank && o->dest != MPI_PROC_NULL && lua_istable(L, index);
    lm_sink *sink = streams ? lm_opensink(L, c, o) : NULL;
    lm_encodeto(L, index, b, sink);
    if (streams && sink->taken) {
        lm_closesink(L, o, b);
        return;
    }
    lm_sendbody(L, c, o, b);
}

void lm_encodebody(lua_State *L, int index, lm_buffer *b)
{
    lm_grow(L, b, sizeof(lm_head));
    lm_encode(L, index, b);
}

void lm_sendbody(lua_State *L, lm_comm *c, lm_outgoing *o, const lm_buffer *b)
{
    if (o->dest == MPI_PROC_NULL) return;
    size_t bytes = b->size - sizeof(lm_head);
    lm_head head = lm_newhead(c, LM_VALUE, 0, bytes, o->dest);
    memcpy(b->data, &head, sizeof head);
    send_envelope(L, c, o, b->data, bytes <= LM_ROOM ? b->size : sizeof head);
    if (bytes > LM_ROOM) lm_sendpayload(L, c, o, b->data + sizeof head, &head);
}

const void *lm_arraybody(lua_State *L, const lm_array *a)
{
    size_t bytes = lm_bytes(a);
    if (a->contiguous || bytes <= LM_ROOM) {
        lua_pushnil(L);
        return a->data;
    }
    char *packed = lua_newuserdatauv(L, bytes, 0);
    lm_pack(a, packed);
    return packed;
}

void lm_sendarray(lua_State *L, lm_comm *c, lm_outgoing *o, const lm_array *a, const void *body, lm_envelope *e)
{
    if (o->dest == MPI_PROC_NULL) return;
    size_t bytes = lm_bytes(a);
    e->head = lm_newhead(c, LM_ARRAY, (lm_dtype)a->dtype, bytes, o->dest);
    if (bytes <= LM_ROOM) lm_pack(a, e->body);
    send_envelope(L, c, o, e, sizeof e->head + (bytes <= LM_ROOM ? bytes : 0));
    if (bytes > LM_ROOM) lm_sendpayload(L, c, o, body, &e->head);
}

void lm_completesend(lua_State *L, lm_outgoing *o)
{
    if (!o || (o->parts[0] == MPI_REQUEST_NULL && o->parts[1] == MPI_REQUEST_NULL)) return;
    lm_wait(L, o->call, "dest", o->dest, o->tag);
    if (!lm_guarded) { /* one after the other: Waitall takes longer */
        if (o->parts[0] != MPI_REQUEST_NULL) lm_mpi(L, MPI_Wait(&o->parts[0], MPI_STATUS_IGNORE), o->call);
        if (o->parts[1] != MPI_REQUEST_NULL) lm_mpi(L, MPI_Wait(&o->parts[1], MPI_STATUS_IGNORE), o->call);
        return;
    }
    for (int done = 0; !done;) {
        lm_mpi(L, MPI_Testall(2, o->parts, &done, MPI_STATUSES_IGNORE), o->call);
        if (done || !lm_stopping()) continue;
        lm_orphan(L, o);
        lm_raisestop(L, true);
    }
}

/* --- letters ---------------------------------------------------------------------------------------------- */

/* (comm) → the table of its letters, and a new one in it */
static int letter_new(lua_State *L)
{
    if (lua_getiuservalue(L, 1, 2) != LUA_TTABLE) {
        lua_newtable(L);
        lua_pushvalue(L, -1);
        lua_setiuservalue(L, 1, 2);
    }
    lm_letter *new = lua_newuserdatauv(L, sizeof *new, 0);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, -3, new);
    return 2;
}

/* Consumes a message that there is no memory for. */
static _Noreturn void letter_refuse(lua_State *L, lm_comm *c, MPI_Message *message, lm_arrival from, const char *call,
                                    lm_outgoing *pending)
{
    lm_envelope e;
    lm_mpi(L, MPI_Mrecv(&e, LM_EAGER, MPI_BYTE, message, MPI_STATUS_IGNORE), call);
    c->taken[from.source]++;
    if (e.head.bytes > LM_ROOM) {
        lm_waitmoving(L, call, "source", from.source, from.tag);
        lm_mpi(L, lm_drain(c, &e.head, from), call);
    }
    lm_completesend(L, pending);
    luaL_error(L, "not enough memory");
    abort();
}

lm_letter *lm_openletter(lua_State *L, int comm, lm_comm *c, MPI_Message *message, const MPI_Status *status, const char *call,
                         lm_outgoing *pending)
{
    lm_arrival from = {status->MPI_SOURCE, status->MPI_TAG};
    comm = lua_absindex(L, comm);
    lua_pushcfunction(L, letter_new);
    lua_pushvalue(L, comm);
    if (lm_quietcall(L, 1, 2) != LUA_OK) letter_refuse(L, c, message, from, call, pending);
    lm_letter *new = lua_touserdata(L, -1);
    *new = (lm_letter){.from = from};
    lm_mpi(L, MPI_Mrecv(&new->envelope, LM_EAGER, MPI_BYTE, message, MPI_STATUS_IGNORE), call);
    c->taken[from.source]++;
    lua_pop(L, 2);
    c->record->letters++;
    lm_letter **last = &c->letters;
    while (*last) last = &(*last)->next;
    return *last = new;
}

/* Whether message a was sent before b, by the same sender; the numbers wrap at LM_SEQUENCES. */
static bool sent_before(const lm_letter *a, const lm_letter *b)
{
    return (a->envelope.head.sequence - b->envelope.head.sequence) % LM_SEQUENCES >= LM_SEQUENCES / 2;
}

/* The first one that its sender sent, of the sender of the one that was opened first. */
static lm_letter *letter_find(const lm_comm *c, int source, int tag)
{
    lm_letter *found = NULL;
    for (lm_letter *l = c->letters; l; l = l->next) {
        if (tag != MPI_ANY_TAG && tag != l->from.tag) continue;
        if (found ? l->from.source == found->from.source && sent_before(l, found)
                  : source == MPI_ANY_SOURCE || source == l->from.source) found = l;
    }
    return found;
}

lm_letter *lm_matchletter(lua_State *L, int comm, lm_comm *c, int source, int tag, const char *call, lm_outgoing *pending)
{
    /* MPI may still hold an earlier message of the sender, which the probe's tag passed over; while that is opened, a
       finalizer may receive any letter */
    for (bool opened = false;;) {
        lm_letter *found = c->letters ? letter_find(c, source, tag) : NULL;
        if (!found || opened) return found;
        int there;
        MPI_Message message;
        MPI_Status status;
        lm_mpi(L, MPI_Improbe(found->from.source, tag, c->comm, &there, &message, &status), call);
        if (!there) return found;
        lm_openletter(L, comm, c, &message, &status, call, pending);
        opened = true;
    }
}

lm_arrival lm_takeletter(lua_State *L, int comm, lm_comm *c, lm_letter *l, lm_envelope *e)
{
    lm_arrival from = l->from;
    *e = l->envelope;
    c->record->letters--;
    lm_letter **at = &c->letters;
    while (*at != l) at = &(*at)->next;
    *at = l->next;
    lua_getiuservalue(L, comm, 2);
    lua_pushnil(L);
    lua_rawsetp(L, -2, l);
    lua_pop(L, 1);
    return from;
}

/* --- receiving -------------------------------------------------------------------------------------------- */

/* Waits for an envelope while something is to be served between looks, such as the tasks of a pool. */
static void await_envelope(lua_State *L, lm_comm *c, const char *call, int source, int tag)
{
    for (int there = 0; !there && lm_ticking() > 0 && !lm_stopping();) {
        lm_mpi(L, MPI_Iprobe(source, tag, c->comm, &there, MPI_STATUS_IGNORE), call);
        if (!there) lm_tickwaiting(L);
    }
}

/* Receives an envelope, or raises when this rank is to stop. */
static void take_guarded(lua_State *L, lm_comm *c, const char *call, int source, int tag, lm_envelope *e,
                         const lm_outgoing *pending, MPI_Status *status)
{
    MPI_Request request;
    lm_mpi(L, MPI_Irecv(e, LM_EAGER, MPI_BYTE, source, tag, c->comm, &request), call);
    for (int done = 0; !done;) {
        lm_mpi(L, MPI_Test(&request, &done, status), call);
        if (done || !lm_stopping()) continue;
        int cancelled;
        MPI_Cancel(&request);
        MPI_Wait(&request, status);
        MPI_Test_cancelled(status, &cancelled);
        if (!cancelled) return; /* it has just come */
        if (pending) lm_orphan(L, pending);
        lm_raisestop(L, true);
    }
}

lm_arrival lm_takeenvelope(lua_State *L, int comm, lm_comm *c, const char *call, int source, int tag, lm_envelope *e,
                           lm_outgoing *pending, bool streams)
{
    lm_wait(L, call, "source", source, tag);
    lm_letter *opened = lm_matchletter(L, comm, c, source, tag, call, pending);
    if (opened) return lm_takeletter(L, comm, c, opened, e);
    MPI_Status status;
    if (lm_ticking() > 0 && !pending) await_envelope(L, c, call, source, tag);
    if (lm_guarded) {
        take_guarded(L, c, call, source, tag, e, pending, &status);
    } else {
        streams = streams && lm_invite(c, source, tag);
        int code = MPI_Recv(e, LM_EAGER, MPI_BYTE, source, tag, c->comm, &status);
        if (streams) lm_uninvite();
        lm_mpi(L, code, call);
    }
    c->taken[status.MPI_SOURCE]++;
    return (lm_arrival){status.MPI_SOURCE, status.MPI_TAG};
}

int lm_takepayload(lm_comm *c, const lm_head *head, lm_arrival from, void *room)
{
    lm_span span = lm_spanof(MPI_BYTE, (int64_t)head->bytes);
    int code = MPI_Recv(room, span.count, span.type, from.source, (int)head->sequence, c->payload, MPI_STATUS_IGNORE);
    lm_endspan(&span);
    return code;
}

int lm_startpayload(lm_comm *c, const lm_head *head, lm_arrival from, void *room, MPI_Request *request)
{
    lm_span span = lm_spanof(MPI_BYTE, (int64_t)head->bytes);
    int code = MPI_Irecv(room, span.count, span.type, from.source, (int)head->sequence, c->payload, request);
    lm_endspan(&span);
    return code;
}

int lm_startdrain(lm_comm *c, const lm_head *head, lm_arrival from, void *room, MPI_Request *request)
{
    /* all pieces of the body go to the same place */
    MPI_Datatype piece, parts[2], all;
    MPI_Type_contiguous(LM_EAGER, MPI_BYTE, &piece);
    MPI_Type_create_hvector((int)(head->bytes / LM_EAGER), 1, 0, piece, &parts[0]);
    MPI_Type_contiguous((int)(head->bytes % LM_EAGER), MPI_BYTE, &parts[1]);
    MPI_Type_create_struct(2, (int[]){1, 1}, (MPI_Aint[]){0, 0}, parts, &all);
    MPI_Type_commit(&all);
    int code = MPI_Irecv(room, 1, all, from.source, (int)head->sequence, c->payload, request);
    MPI_Type_free(&all);
    MPI_Type_free(&piece);
    MPI_Type_free(&parts[0]);
    MPI_Type_free(&parts[1]);
    return code;
}

int lm_drain(lm_comm *c, const lm_head *head, lm_arrival from)
{
    char room[LM_EAGER];
    MPI_Request request;
    int code = lm_startdrain(c, head, from, room, &request);
    return code == MPI_SUCCESS ? MPI_Wait(&request, MPI_STATUS_IGNORE) : code;
}

int64_t lm_countof(const lm_head *head)
{
    return (int64_t)(head->content == LM_ARRAY ? head->bytes / lm_dtypes[head->dtype].size : head->bytes);
}

bool lm_acceptable(const lm_head *head, const lm_array *a)
{
    return a ? head->content == LM_ARRAY && head->dtype == a->dtype && head->bytes <= lm_bytes(a) : head->content == LM_VALUE;
}

const char *lm_pushrefusal(lua_State *L, const char *call, const lm_head *head, lm_arrival from, const lm_array *a)
{
    const char *where = lua_pushfstring(L, "%s: the message from rank %d (tag %d)", call, from.source, from.tag);
    lua_Integer count = lm_countof(head);
    if (!a)
        return lua_pushfstring(L, "%s is an array of %I %s elements; receive it with Recv", where, count, lm_dtypes[head->dtype].name);
    if (head->content != LM_ARRAY)
        return lua_pushfstring(L, "%s is a value, not an array; receive it with recv", where);
    if (head->dtype != a->dtype)
        return lua_pushfstring(L, "%s holds %s, the array is %s", where, lm_dtypes[head->dtype].name, lm_dtypes[a->dtype].name);
    return lua_pushfstring(L, "%s has %I %s elements, the array only %I", where, count, lm_dtypes[a->dtype].name, (lua_Integer)a->size);
}
