#include "request.h"

#include "error.h"
#include "pending.h"
#include "progress.h"
#include "session.h"
#include "status.h"
#include "stop.h"
#include "tick.h"
#include "wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const lm_kind request_kind = {"mpi.request", sizeof(lm_request)};

static const char requests_key = 0; /* registry: address → open request; nil when the state has ended them */
static lm_request *open, *finished; /* finished: MPI is done, the registry still holds them */

/* Requests that no script has seen complete, by the line that made them. */
typedef struct omission {
    struct omission *next;
    char call[32], place[64];
    int times;
} omission;

static omission *omissions;
static unsigned era; /* interruptions so far */

/* --- going on --------------------------------------------------------------------------------------------- */

static void list_add(lm_request **list, lm_request *r)
{
    r->next = *list;
    r->link = list;
    if (*list) (*list)->link = &r->next;
    *list = r;
}

/* false: it was in no list. */
static bool list_remove(lm_request *r)
{
    if (!r->link) return false;
    *r->link = r->next;
    if (r->next) r->next->link = r->link;
    r->link = NULL;
    return true;
}

/* Takes it out of its list, if it is in one. */
static void request_leave(lm_request *r)
{
    if (list_remove(r)) lm_leavecomm(r->c);
}

static void request_unmark(lm_request *r)
{
    for (int i = 0; i < 2; i++)
        if (r->marks[i].block) lm_release(r->marks[i].block, &r->marks[i].flight);
}

static void request_finish(lm_request *r)
{
    if (r->state == LM_MOVES) lm_moves--;
    r->state = LM_COMPLETE;
    if (r->turn) r->c->collects--;
    request_unmark(r);
    bool arrived = !(r->turn && r->turn->texts) && !r->refused && !r->cancelled && !r->no_memory && r->code == MPI_SUCCESS;
    if (r->array && arrived) {
        if (r->type == LM_RECEIVES && r->envelope->head.bytes <= LM_ROOM) memcpy(r->room, r->envelope->body, r->envelope->head.bytes);
        if (!r->array->contiguous) lm_unpack(r->array, r->room);
    }
    if (list_remove(r)) list_add(&finished, r); /* else not opened yet */
}

/* The envelope is here. */
static void request_arrived(lm_request *r)
{
    static char nowhere[LM_EAGER];
    const lm_head *head = &r->envelope->head;
    r->refused = !lm_acceptable(head, r->array);
    if (head->bytes <= LM_ROOM) {
        request_finish(r);
        return;
    }
    r->state = LM_MOVES;
    lm_moves++;
    if (!r->refused && !r->array) {
        r->no_memory = !r->buffer || !lm_reserve(r->L, r->buffer, head->bytes);
        if (!r->no_memory) r->room = lm_grow(r->L, r->buffer, head->bytes);
    }
    if (r->refused || r->no_memory) r->code = lm_startdrain(r->c, head, r->from, nowhere, &r->mpi);
    else r->code = lm_startpayload(r->c, head, r->from, r->room, &r->mpi);
    r->parts = lm_pend(r, &r->mpi);
    if (!r->parts) request_finish(r);
}

/* MPI is done with a part of the request: starts what comes next. Raises nothing: also called while MPI waits. */
static void request_ended(lm_request *r, int code, const MPI_Status *status)
{
    if (code != MPI_SUCCESS) r->code = code;
    if (--r->parts > 0) return;
    if (r->turn && !r->turn->begun) {
        lm_answered(r->turn);
        return;
    }
    bool received = r->type == LM_RECEIVES && r->state == LM_WAITS;
    if (received) r->c->receives--;
    if (received && r->code == MPI_SUCCESS) {
        r->from = (lm_arrival){status->MPI_SOURCE, status->MPI_TAG};
        r->c->taken[r->from.source]++;
        request_arrived(r);
    } else {
        request_finish(r);
    }
}

/* Lets go of the requests MPI is done with. */
static void requests_sweep(lua_State *L)
{
    if (!finished) return;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &requests_key);
    while (finished) {
        lm_request *r = finished;
        request_leave(r);
        lua_pushnil(L);
        lua_rawsetp(L, -2, r);
    }
    lua_pop(L, 1);
    if (!open) lm_background = NULL;
}

/* --- making ----------------------------------------------------------------------------------------------- */

lm_request *lm_newrequest(lua_State *L, int comm, const char *call, const char *peer, int rank, int tag)
{
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &requests_key) == LUA_TNIL) luaL_error(L, "%s: the program has ended", call);
    lua_pop(L, 1);
    requests_sweep(L);
    lm_reservepending(L);
    comm = lua_absindex(L, comm);
    lm_request *r = lm_new(L, &request_kind, 2);
    lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
    r->L = lua_tothread(L, -1);
    lua_pop(L, 1);
    r->c = lua_touserdata(L, comm);
    r->call = call;
    r->peer = peer;
    r->rank = rank;
    r->tag = tag;
    r->mpi = MPI_REQUEST_NULL;
    r->era = era;
    r->out = lm_outgoingto(call, rank, tag, LM_CONCURRENT);
    lm_place(L, r->place, sizeof r->place);
    lua_newtable(L);
    lua_setiuservalue(L, -2, 1);
    lua_pushvalue(L, comm);
    lm_keep(L);
    return r;
}

void lm_keep(lua_State *L)
{
    lua_getiuservalue(L, -2, 1);
    lua_insert(L, -2);
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
    lua_pop(L, 1);
}

void lm_markarray(lua_State *L, lm_request *r, int index, bool receiving)
{
    const lm_array *a = lm_toarray(L, index);
    lm_mark *mark = &r->marks[r->marks[0].block != NULL];
    lm_claim(L, a, &mark->flight, receiving);
    mark->block = a->block;
    lua_pushvalue(L, index);
    lm_keep(L);
}

/* Keeps the request on top of the stack from the collector. First of all: when memory is out, nothing has begun. */
static void request_register(lua_State *L, lm_request *r)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &requests_key);
    lua_pushvalue(L, -2);
    lua_rawsetp(L, -2, r);
    lua_pop(L, 1);
}

static void request_list(lm_request *r, int type)
{
    r->type = type;
    r->c->requests++;
    list_add(&open, r);
    lm_background = lm_pollseldom;
}

/* Puts a request that MPI has begun among the open ones. */
static void request_open(lm_request *r, int type)
{
    request_list(r, type);
    r->parts = lm_pend(r, &r->mpi) + lm_pend(r, &r->out.parts[0]) + lm_pend(r, &r->out.parts[1]);
    if (!r->parts && type != LM_RECEIVES) request_finish(r);
}

void lm_openturn(lua_State *L, lm_request *r, lm_turn *t, bool compares)
{
    request_register(L, r);
    request_list(r, LM_COLLECTS);
    r->turn = t;
    lm_taketurn(t, compares);
}

void lm_requestbegun(lm_request *r, int code)
{
    r->code = code;
    r->parts = lm_pend(r, &r->mpi);
    if (!r->parts) request_finish(r);
}

/* --- results ---------------------------------------------------------------------------------------------- */

static lm_request *request_check(lua_State *L, int arg)
{
    lm_checkmpi(L);
    return lm_check(L, arg, &request_kind);
}

lm_request *lm_testrequest(lua_State *L, int index) { return lm_test(L, index, &request_kind); }

/* Argument: the request. What may run Lua code, and raise, on the way from what has arrived to the result. */
static int result_make(lua_State *L)
{
    lm_request *r = lua_touserdata(L, 1);
    if (r->finish) {
        r->finish(L, r, 1);
    } else {
        lm_decode(L, r->buffer->size ? r->buffer->data : r->envelope->body, r->envelope->head.bytes);
        lua_setiuservalue(L, 1, 2);
    }
    return 0;
}

/* Makes the result when a script asks first; asked again, it is the same, as is what went wrong. */
static void request_make(lua_State *L, int index, lm_request *r)
{
    if (r->result == LM_UNMADE) {
        r->result = LM_MAKING;
        lua_pushcfunction(L, result_make);
        lua_pushvalue(L, index);
        r->result = lua_pcall(L, 1, 0, 0) == LUA_OK ? LM_MADE : LM_SPOILED;
        if (r->result == LM_SPOILED) lua_setiuservalue(L, index, 2);
        if (r->buffer) lm_closebuffer(L, r->buffer);
    }
    if (r->result == LM_MAKING) luaL_error(L, "%s at %s: its result is just being made", r->call, *r->place ? r->place : "?");
    if (r->result == LM_MADE) return;
    lua_getiuservalue(L, index, 2);
    if (r->finish || lua_type(L, -1) != LUA_TSTRING) lua_error(L);
    luaL_error(L, "%s", lua_tostring(L, -1)); /* with the place of the asking: the decoder has no caller in Lua */
}

int lm_pushresult(lua_State *L, int index, lm_request *r)
{
    index = lua_absindex(L, index);
    r->observed = true;
    requests_sweep(L);
    lm_mpi(L, r->code, r->call);
    if (r->abandoned) return luaL_error(L, "%s at %s was interrupted", r->call, *r->place ? r->place : "?");
    if (r->closed) return luaL_error(L, "%s at %s has been collected", r->call, *r->place ? r->place : "?");
    if (r->turn && r->turn->texts) return lm_raisetexts(L, r->c->size, r->turn->texts);
    if (r->refused) return luaL_error(L, "%s", lm_pushrefusal(L, r->call, &r->envelope->head, r->from, r->array));
    if (r->no_memory) return luaL_error(L, "not enough memory");
    bool empty = r->type == LM_RECEIVES && (!r->envelope || r->cancelled);
    if (r->finish || (r->type == LM_RECEIVES && r->buffer && !empty)) request_make(L, index, r);
    if (empty) lua_pushnil(L);
    else lua_getiuservalue(L, index, 2);
    int64_t count = r->envelope && !empty ? lm_countof(&r->envelope->head) : 0;
    if (r->type != LM_RECEIVES) lua_pushnil(L);
    else lm_pushstatus(L, r->from.source, r->from.tag, count)->cancelled = r->cancelled;
    return 2;
}

void lm_waitrequest(lua_State *L, lm_request *r)
{
    lm_wait(L, r->call, r->peer, r->rank, r->tag);
    while (!lm_requestover(r)) {
        lm_poll();
        if (lm_stopping()) lm_raisestop(L, true);
        if (!lm_requestover(r)) lm_tickwaiting(L);
    }
}

/* --- methods of requests ---------------------------------------------------------------------------------- */

/* req:wait() → value, status */
static int method_wait(lua_State *L)
{
    lm_request *r = request_check(L, 1);
    lm_waitrequest(L, r);
    return lm_pushresult(L, 1, r);
}

/* req:test() → false, or true, value, status */
static int method_test(lua_State *L)
{
    lm_request *r = request_check(L, 1);
    lm_wait(L, r->call, r->peer, r->rank, r->tag);
    lm_poll();
    lua_pushboolean(L, lm_requestover(r));
    return lua_toboolean(L, -1) ? 1 + lm_pushresult(L, 1, r) : 1;
}

/* Cancels a receive that waits for its envelope, unless that comes just now. */
static void request_cancel(lm_request *r)
{
    int cancelled;
    MPI_Status status;
    r->code = lm_cancelpending(r, &status);
    if (r->code == MPI_SUCCESS) MPI_Test_cancelled(&status, &cancelled);
    if (r->code == MPI_SUCCESS && !cancelled) {
        request_ended(r, MPI_SUCCESS, &status);
        return;
    }
    r->cancelled = true;
    r->c->receives--;
    r->from = (lm_arrival){MPI_ANY_SOURCE, MPI_ANY_TAG};
    request_finish(r);
}

/* req:cancel() → whether the receive was cancelled */
static int method_cancel(lua_State *L)
{
    lm_request *r = request_check(L, 1);
    if (r->type != LM_RECEIVES) return luaL_error(L, "%s: only receives can be cancelled", r->call);
    lm_poll();
    if (r->state == LM_WAITS && !r->abandoned) {
        request_cancel(r);
        lm_mpi(L, r->code, r->call);
        if (r->cancelled) r->observed = true;
        requests_sweep(L);
    }
    lua_pushboolean(L, r->cancelled);
    return 1;
}

static int method_tostring(lua_State *L)
{
    const lm_request *r = lm_check(L, 1, &request_kind);
    lua_pushfstring(L, "mpi.request (%s at %s, %s)", r->call, *r->place ? r->place : "?",
                    r->cancelled ? "cancelled" : r->state == LM_COMPLETE ? "complete" : "open");
    return 1;
}

/* Remembers for the end that no script has seen a request complete. */
static void remember(lm_request *r)
{
    const char *place = *r->place ? r->place : "?";
    r->observed = true;
    if (r->c->record && r->c->record->excused) return;
    omission **at = &omissions;
    while (*at && (strcmp((*at)->place, place) || strcmp((*at)->call, r->call))) at = &(*at)->next;
    if (!*at && (*at = calloc(1, sizeof **at))) {
        snprintf((*at)->place, sizeof (*at)->place, "%s", place);
        snprintf((*at)->call, sizeof (*at)->call, "%s", r->call);
    }
    if (*at) (*at)->times++;
}

/* Waits for the end of a request as the program ends. */
static void request_close(lm_request *r)
{
    if (r->type == LM_NOTHING) {
        request_unmark(r);
        return;
    }
    if (!r->observed && r->era == era) remember(r); /* an interruption may have kept the script from waiting */
    static char end[160];
    snprintf(end, sizeof end, "the end of its program: %s at %s is open", r->call, *r->place ? r->place : "?");
    lm_wait(NULL, end, NULL, 0, -1);
    if (r->type == LM_RECEIVES && r->state == LM_WAITS) request_cancel(r);
    while (!lm_requestover(r)) lm_poll();
}

/* Ends a request for good; its memory may go then. */
static void request_end(lm_request *r)
{
    r->closed = true;
    request_close(r);
    if (r->turn) free(r->turn->texts);
    r->turn = NULL;
    if (r->buffer) lm_closebuffer(r->L, r->buffer);
    request_leave(r);
}

static int method_gc(lua_State *L)
{
    if (lm_isolated) return 0;
    request_end(lm_check(L, 1, &request_kind)); /* the registry goes with the Lua state */
    return 0;
}

/* --- interruptions ---------------------------------------------------------------------------------------- */

bool lm_missrequests(void)
{
    bool lasting = false;
    lm_poll();
    for (lm_request *r = open; r; r = r->next) {
        if (r->type == LM_RECEIVES && r->state == LM_WAITS) continue;
        if (!r->observed) remember(r);
        lasting = true;
    }
    return lasting;
}

void lm_droprequests(void)
{
    era++;
    for (lm_request *r = open, *next; r; r = next) {
        next = r->next;
        r->observed = true;
        if (r->type == LM_RECEIVES && r->state == LM_WAITS) request_cancel(r);
    }
}

bool lm_requestsmoved(void)
{
    lm_poll();
    for (const lm_request *r = open; r; r = r->next)
        if (r->type == LM_SENDS || r->state == LM_MOVES) return false;
    return true;
}

void lm_abandonrequests(void)
{
    while (open) {
        open->abandoned = true; /* the registry keeps it */
        lm_droppending(open);
        request_leave(open);
    }
}

/* --- point-to-point --------------------------------------------------------------------------------------- */

static int isend(lua_State *L, const char *call, lm_mode mode)
{
    lm_comm *c = lm_checkcomm(L, 1);
    luaL_checkany(L, 2);
    int dest = lm_checkrank(L, 3, c, "dest", MPI_UNDEFINED), tag = lm_checktag(L, 4, 0);
    lm_buffer *b = lm_newbuffer(L); /* before the request, which then is finalized before it */
    lm_request *r = lm_newrequest(L, 1, call, "dest", dest, tag);
    lua_rotate(L, -2, 1);
    lm_keep(L);
    r->buffer = b;
    r->out.mode = mode;
    lm_encodebody(L, 2, b);
    request_register(L, r);
    lm_sendbody(L, c, &r->out, b);
    request_open(r, LM_SENDS);
    return 1;
}

static int request_isend(lua_State *L) { return isend(L, "isend", LM_CONCURRENT); }
static int request_issend(lua_State *L) { return isend(L, "issend", LM_SYNCHRONOUS_CONCURRENT); }

static int Isend(lua_State *L, const char *call, lm_mode mode)
{
    lm_comm *c = lm_checkcomm(L, 1);
    const lm_array *a = lm_checkarray(L, 2);
    int dest = lm_checkrank(L, 3, c, "dest", MPI_UNDEFINED), tag = lm_checktag(L, 4, 0);
    lm_request *r = lm_newrequest(L, 1, call, "dest", dest, tag);
    lm_envelope *e = lua_newuserdatauv(L, sizeof *e, 0);
    lm_keep(L);
    const void *body = lm_arraybody(L, a);
    lm_keep(L);
    lm_markarray(L, r, 2, false);
    r->out.mode = mode;
    request_register(L, r);
    lm_sendarray(L, c, &r->out, a, body, e);
    request_open(r, LM_SENDS);
    return 1;
}

static int request_Isend(lua_State *L) { return Isend(L, "Isend", LM_CONCURRENT); }
static int request_Issend(lua_State *L) { return Isend(L, "Issend", LM_SYNCHRONOUS_CONCURRENT); }

/* Posts the receive of the request on top of the stack. */
static void request_post(lua_State *L, lm_request *r)
{
    if (r->rank == MPI_PROC_NULL) {
        r->type = LM_RECEIVES;
        r->from = (lm_arrival){MPI_PROC_NULL, MPI_ANY_TAG};
        r->state = LM_COMPLETE;
        return;
    }
    r->envelope = lua_newuserdatauv(L, sizeof *r->envelope, 0);
    lm_keep(L);
    lm_letter *opened = lm_matchletter(L, 1, r->c, r->rank, r->tag, r->call, NULL);
    request_register(L, r);
    if (!opened) lm_mpi(L, MPI_Irecv(r->envelope, LM_EAGER, MPI_BYTE, r->rank, r->tag, r->c->comm, &r->mpi), r->call);
    request_open(r, LM_RECEIVES);
    if (!opened) {
        r->c->receives++;
        return;
    }
    r->from = lm_takeletter(L, 1, r->c, opened, r->envelope);
    request_arrived(r);
}

static int request_irecv(lua_State *L)
{
    lm_comm *c = lm_checkcomm(L, 1);
    int source = lm_checkrank(L, 2, c, "source", MPI_ANY_SOURCE), tag = lm_checktag(L, 3, MPI_ANY_TAG);
    lm_buffer *b = lm_newbuffer(L); /* before the request, which then is finalized before it */
    lm_request *r = lm_newrequest(L, 1, "irecv", "source", source, tag);
    lua_rotate(L, -2, 1);
    lm_keep(L);
    r->buffer = b;
    request_post(L, r);
    return 1;
}

static int request_Irecv(lua_State *L)
{
    lm_comm *c = lm_checkcomm(L, 1);
    lm_array *a = lm_checkarray(L, 2);
    int source = lm_checkrank(L, 3, c, "source", MPI_ANY_SOURCE), tag = lm_checktag(L, 4, MPI_ANY_TAG);
    lm_request *r = lm_newrequest(L, 1, "Irecv", "source", source, tag);
    if (source != MPI_PROC_NULL) lm_markarray(L, r, 2, true);
    r->array = a;
    r->room = a->data;
    if (!a->contiguous) {
        lm_pack(a, r->room = lua_newuserdatauv(L, lm_bytes(a), 0));
        lm_keep(L);
    }
    lua_pushvalue(L, 2);
    lua_setiuservalue(L, -2, 2);
    request_post(L, r);
    return 1;
}

/* --- the end ---------------------------------------------------------------------------------------------- */

/* Ends what is open: sends are waited for, receives that nothing matched are cancelled. */
static void requests_close(void)
{
    while (open) request_end(open);
    while (finished) request_end(finished);
    lm_background = NULL;
}

/* Finalizer of the table of open requests, which is older than all that scripts make: finalizers of that may have opened
   requests that get none themselves. */
static int requests_gc(lua_State *L)
{
    if (lm_isolated) return 0;
    lua_pushnil(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &requests_key);
    requests_close();
    return 0;
}

/* Tells of requests that the script did not wait for. */
static int requests_end(void)
{
    requests_close();
    int lines = 0, rank;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    for (const omission *o = omissions; o; o = o->next, lines++)
        fprintf(stderr, "rank %d: %s at %s was never waited for (%d times)\n", rank, o->call, o->place, o->times);
    return lines;
}

/* --- open ------------------------------------------------------------------------------------------------- */

static const luaL_Reg request_methods[] = {
    {"wait", method_wait},
    {"test", method_test},
    {"cancel", method_cancel},
    {NULL, NULL},
};

static const luaL_Reg metamethods[] = {{"__tostring", method_tostring}, {"__gc", method_gc}, {NULL, NULL}};

static const luaL_Reg comm_methods[] = {
    {"isend", request_isend},
    {"issend", request_issend},
    {"irecv", request_irecv},
    {"Isend", request_Isend},
    {"Issend", request_Issend},
    {"Irecv", request_Irecv},
    {NULL, NULL},
};

void luaopen_request(lua_State *L)
{
    lm_atend(requests_end, false);
    lm_onended(request_ended);
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &requests_key) == LUA_TNIL) { /* else the module is loaded once more */
        lua_newtable(L);
        lua_createtable(L, 0, 1);
        lua_pushcfunction(L, requests_gc);
        lua_setfield(L, -2, "__gc");
        lua_setmetatable(L, -2);
        lua_rawsetp(L, LUA_REGISTRYINDEX, &requests_key);
    }
    lua_pop(L, 1);
    lm_newkind(L, &request_kind, request_methods, metamethods);
    lua_setfield(L, -2, "request");
    lua_getfield(L, -1, "comm");
    luaL_setfuncs(L, comm_methods, 0);
    lua_pop(L, 1);
}
