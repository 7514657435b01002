#include "recover.h"

#include "datatype.h"
#include "error.h"
#include "progress.h"
#include "request.h"
#include "session.h"
#include "topology.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void (*leavers[4])(void);

/* Another step that takes a while begins: a job that goes from one to the next is not stuck. */
static void recover_wait(void) { lm_wait(NULL, "the end of an interruption", NULL, 0, -1); }

/* One rank that gave up here would leave the others waiting. */
static void recover_check(int code)
{
    char reason[MPI_MAX_ERROR_STRING];
    int length;
    if (code == MPI_SUCCESS) return;
    MPI_Error_string(code, reason, &length);
    fprintf(stderr, "luampi: after an interruption a communicator cannot be made anew: %s\n", reason);
    lm_abort(1);
}

/* --- sends that nobody waits for any more ------------------------------------------------------------------ */

typedef struct orphan {
    struct orphan *next;
    MPI_Request parts[2];
} orphan;

static const char orphans_key = 0; /* registry: address → orphan, whose user value holds what it needs */
static orphan *orphans;

void lm_orphan(lua_State *L, const lm_outgoing *o)
{
    int top = lua_gettop(L);
    luaL_checkstack(L, 5, NULL);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &orphans_key);
    orphan *new = lua_newuserdatauv(L, sizeof *new, 1);
    *new = (orphan){orphans, {o->parts[0], o->parts[1]}};
    lua_createtable(L, top, 0);
    for (int i = 1; i <= top; i++) {
        lua_pushvalue(L, i);
        lua_rawseti(L, -2, i);
    }
    lua_setiuservalue(L, -2, 1);
    lua_rawsetp(L, -2, new);
    lua_pop(L, 1);
    orphans = new;
}

static bool orphans_done(lua_State *L)
{
    while (orphans) {
        int done;
        MPI_Testall(2, orphans->parts, &done, MPI_STATUSES_IGNORE);
        if (!done) return false;
        orphan *done_with = orphans;
        orphans = orphans->next;
        lua_rawgetp(L, LUA_REGISTRYINDEX, &orphans_key);
        lua_pushnil(L);
        lua_rawsetp(L, -2, done_with);
        lua_pop(L, 1);
    }
    return true;
}

/* --- messages that nobody takes ---------------------------------------------------------------------------- */

static char nowhere[LM_EAGER];

static void drain_payload(lm_commrecord *r, const lm_head *head, int source)
{
    if (head->bytes <= LM_ROOM) return;
    MPI_Request request;
    lm_comm c = {.payload = r->payload};
    lm_startdrain(&c, head, (lm_arrival){source, 0}, nowhere, &request);
    MPI_Wait(&request, MPI_STATUS_IGNORE); /* it was sent together with its envelope */
}

/* Takes what has arrived on the communicator. */
static void drain(lm_commrecord *r)
{
    static lm_envelope e;
    while (r->comm != MPI_COMM_NULL) {
        int there;
        MPI_Message message;
        MPI_Status status;
        if (MPI_Improbe(MPI_ANY_SOURCE, MPI_ANY_TAG, r->comm, &there, &message, &status) != MPI_SUCCESS || !there) return;
        e.head.bytes = 0; /* a note of a pool is shorter than a head */
        MPI_Mrecv(&e, LM_EAGER, MPI_BYTE, &message, MPI_STATUS_IGNORE);
        drain_payload(r, &e.head, status.MPI_SOURCE);
    }
}

static void drain_letters(lm_commrecord *r)
{
    if (!r->object) return;
    for (const lm_letter *l = r->object->letters; l; l = l->next) drain_payload(r, &l->envelope.head, l->from.source);
}

/* Every rank takes messages until every rank's sends have ended. */
static void drain_all(lua_State *L, MPI_Comm control)
{
    MPI_Request barrier = MPI_REQUEST_NULL;
    int met = 0;
    bool entered = false;
    recover_wait();
    for (lm_commrecord *r = lm_firstrecord(); r; r = r->next) drain_letters(r);
    while (!met) {
        for (lm_commrecord *r = lm_firstrecord(); r; r = r->next) drain(r);
        bool sent = orphans_done(L);
        if (!lm_requestsmoved()) sent = false;
        if (sent && !entered) {
            MPI_Ibarrier(control, &barrier);
            entered = true;
        }
        if (entered) MPI_Test(&barrier, &met, MPI_STATUS_IGNORE);
    }
}

/* --- communicators made anew ------------------------------------------------------------------------------- */

/* The topology of the old one, and what is set on it. The old one is left as it is: messages may still arrive. */
static MPI_Comm replace(MPI_Comm old, MPI_Comm plain)
{
    int kind, ndims, dims[LM_MAXGRID], periods[LM_MAXGRID], coords[LM_MAXGRID], length;
    char name[MPI_MAX_OBJECT_NAME];
    MPI_Comm new = plain;
    MPI_Topo_test(old, &kind);
    if (kind == MPI_CART) {
        MPI_Cartdim_get(old, &ndims);
        MPI_Cart_get(old, LM_MAXGRID, dims, periods, coords);
        recover_check(MPI_Cart_create(plain, ndims, dims, periods, 0, &new));
        MPI_Comm_free(&plain);
    }
    MPI_Comm_get_name(old, name, &length);
    MPI_Comm_set_name(new, name);
    return new;
}

static void renew(lm_commrecord *r, MPI_Comm plain)
{
    if (plain == MPI_COMM_NULL) { /* some rank has it no more */
        r->comm = r->payload = r->later = MPI_COMM_NULL;
    } else {
        r->comm = replace(r->comm, plain);
        recover_check(lm_makechannels(r));
    }
    r->excused = true;
    r->agreed = 0;
    r->letters = 0;
    if (r->object) lm_renewcomm(r->object);
}

static bool renewable(const lm_commrecord *r) { return r->object && r->comm != MPI_COMM_NULL; }

static int compare_ids(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Each rank tells which communicators it has; those that all their ranks have are made anew, in the same order
   everywhere. The collector must not take one in between. */
static void renew_all(lua_State *L, MPI_Comm control)
{
    int ranks, mine = 0, total = 0;
    MPI_Comm_size(control, &ranks);
    for (lm_commrecord *r = lm_firstrecord(); r; r = r->next) mine += renewable(r) && r->size > 1;
    uint64_t *ids = lua_newuserdatauv(L, sizeof *ids * ((size_t)mine + 1), 0);
    int *counts = lua_newuserdatauv(L, sizeof *counts * 2 * (size_t)ranks, 0), *displs = counts + ranks;
    mine = 0;
    for (lm_commrecord *r = lm_firstrecord(); r; r = r->next) {
        if (!renewable(r)) continue;
        if (r->size > 1) {
            ids[mine++] = r->id;
            continue;
        }
        MPI_Comm plain;
        recover_check(MPI_Comm_dup(MPI_COMM_SELF, &plain));
        renew(r, plain);
    }
    lm_mpi(L, MPI_Allgather(&mine, 1, MPI_INT, counts, 1, MPI_INT, control), "interrupt");
    for (int r = 0; r < ranks; r++) {
        displs[r] = total;
        total += counts[r];
    }
    uint64_t *known = lua_newuserdatauv(L, sizeof *known * ((size_t)total + 1), 0);
    lm_mpi(L, MPI_Allgatherv(ids, mine, MPI_UINT64_T, known, counts, displs, MPI_UINT64_T, control), "interrupt");
    qsort(known, (size_t)total, sizeof *known, compare_ids);
    for (int i = 0, holders; i < total; i += holders) {
        for (holders = 1; i + holders < total && known[i + holders] == known[i]; holders++) continue;
        lm_commrecord *r = lm_findrecord(known[i]);
        if (r && !renewable(r)) r = NULL;
        MPI_Comm plain;
        recover_wait();
        recover_check(MPI_Comm_split(control, r && holders == r->size ? 0 : MPI_UNDEFINED, r ? r->rank : 0, &plain));
        if (r) renew(r, plain);
    }
    lua_pop(L, 3);
}

void lm_atrecovery(void (*leave)(void))
{
    int i = 0;
    while (leavers[i] && leavers[i] != leave) i++;
    leavers[i] = leave;
}

void lm_recover(lua_State *L, MPI_Comm control)
{
    for (int i = 0; leavers[i]; i++) leavers[i]();
    lm_droprequests();
    drain_all(L, control);
    lm_abandonrequests();
    bool collects = lua_gc(L, LUA_GCISRUNNING);
    lua_gc(L, LUA_GCSTOP);
    renew_all(L, control);
    if (collects) lua_gc(L, LUA_GCRESTART);
}

void luaopen_recover(lua_State *L)
{
    lua_newtable(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &orphans_key);
}
