#include "turn.h"

#include "pending.h"
#include "progress.h"
#include "request.h"
#include "stop.h"

/* --- beginning -------------------------------------------------------------------------------------------- */

/* MPI looks for something to do also in the calls made here, of which one must not begin inside another. */
static void turn_begin(lm_turn *t)
{
    int code = t->request->code;
    t->begun = true;
    t->c->beginning = true;
    if (t->answer == LM_UNASKED) code = t->begin(t, t->c->comm);
    else if (t->answer == LM_AGREED) code = t->begin(t, t->c->later);
    else if (code == MPI_SUCCESS) code = lm_telltexts(t->c, &t->intent, t->request->place, &t->texts, &t->request->mpi);
    t->c->beginning = false;
    lm_requestbegun(t->request, code);
}

/* Begins those in front that have their answer. */
static void turns_go(lm_comm *c)
{
    while (!c->beginning && c->turns && (c->turns->answer == LM_AGREED || c->turns->answer == LM_DIFFER)) {
        lm_turn *t = c->turns;
        c->turns = t->next;
        lm_holdpending(-1);
        turn_begin(t);
    }
}

/* --- asking ----------------------------------------------------------------------------------------------- */

static int turn_ask(lm_turn *t)
{
    lm_request *r = t->request;
    t->c->record->agreed++;
    t->words[0] = lm_share(t->c, &t->intent);
    t->words[1] = t->remainder;
    /* where blocking collectives are interrupted, a rank may join in with the third word set, to say that it stops */
    int code = MPI_Iallreduce(MPI_IN_PLACE, t->words, 3, MPI_UINT64_T, MPI_SUM, t->c->payload, &r->mpi);
    r->parts = lm_pend(r, &r->mpi);
    return code;
}

void lm_taketurn(lm_turn *t, bool compares)
{
    lm_comm *c = t->c;
    c->collects++;
    if (compares) {
        if (c->turns) c->last_turn->next = t;
        else c->turns = t;
        c->last_turn = t;
        lm_holdpending(1);
        if ((t->request->code = turn_ask(t)) != MPI_SUCCESS) t->answer = LM_DIFFER;
    } else {
        t->answer = LM_UNASKED;
        turn_begin(t);
    }
    turns_go(c);
}

void lm_answered(lm_turn *t)
{
    bool same = t->request->code == MPI_SUCCESS && t->words[0] == 0 && t->words[1] == 0;
    t->answer = t->words[2] ? LM_STOPPED : same ? LM_AGREED : LM_DIFFER;
    turns_go(t->c);
}

/* --- the end ---------------------------------------------------------------------------------------------- */

void lm_endturns(lua_State *L, lm_comm *c, const char *call)
{
    lm_wait(L, call, NULL, 0, -1);
    while (c->collects > 0) {
        lm_poll();
        if (lm_stopping()) lm_raisestop(L, true);
    }
}

void lm_leaveturns(lm_comm *c)
{
    for (; c->turns; c->turns = c->turns->next) lm_holdpending(-1);
    c->collects = 0;
}
