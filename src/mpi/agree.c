#include "agree.h"

#include "buffer.h"
#include "dtype.h"
#include "error.h"
#include "interrupt.h"
#include "pending.h"
#include "session.h"
#include "stop.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum lm_checking lm_checking = LM_CHECK_FIRST;

#define FIRST_CALLS 1000

static uint64_t mix_text(uint64_t h, const char *s)
{
    while (s && *s) h = lm_mix(h, (unsigned char)*s++);
    return h;
}

static uint64_t signature(const lm_intent *i)
{
    uint64_t h = mix_text(mix_text(1, i->call), i->op);
    h = lm_mix(lm_mix(lm_mix(lm_mix(h, (uint64_t)i->root), (uint64_t)i->dtype), (uint64_t)i->count), i->also);
    return h == UINT64_MAX ? 0 : h; /* UINT64_MAX says: a mistake */
}

static uint64_t weight_of(int rank) { return lm_mix(UINT64_MAX, (uint64_t)rank) | 1; }

uint64_t lm_share(const lm_comm *c, const lm_intent *i)
{
    uint64_t weight = 0, mine = i->mistake ? lm_mix(UINT64_MAX, (uint64_t)c->rank) : signature(i);
    if (c->rank > 0) return mine * weight_of(c->rank);
    for (int r = 1; r < c->size; r++) weight -= weight_of(r);
    return mine * weight;
}

static void add(char *to, size_t room, const char *format, ...)
{
    size_t used = strlen(to);
    va_list list;
    va_start(list, format);
    vsnprintf(to + used, room - used, format, list);
    va_end(list);
}

/* Writes what this rank was about to do. */
static void describe(char *to, size_t room, const lm_intent *i, int size, const char *place)
{
    const char *comma = "";
    *to = 0;
    if (i->mistake) {
        add(to, room, "%s", i->mistake);
    } else {
        add(to, room, "comm:%s(", i->call);
        if (i->dtype >= 0) add(to, room, "%s", lm_dtypes[i->dtype].name), comma = ", ";
        if (i->count >= 0) add(to, room, "[%" PRId64 "]", i->count), comma = ", ";
        if (i->varies && i->rows >= 0) add(to, room, "%srows=%" PRId64, comma, i->rows), comma = ", ";
        for (int r = 0; i->counts && r < size; r++) add(to, room, "%s%d", r ? ", " : *comma ? ", counts={" : "counts={", i->counts[r]);
        if (i->counts) add(to, room, "}"), comma = ", ";
        if (i->op) add(to, room, "%sop=%s", comma, i->op), comma = ", ";
        if (i->root >= 0) add(to, room, "%sroot=%d", comma, i->root);
        add(to, room, ")");
    }
    if (*place) add(to, room, " at %s", place);
}

#define ROW 4000 /* bytes that a rank has for its text; the first says whether it made a mistake */

int lm_telltexts(const lm_comm *c, const lm_intent *intent, const char *place, char **texts, MPI_Request *request)
{
    char *all = *texts = malloc(ROW * (size_t)c->size);
    if (!all) lm_abort(1);
    char *mine = all + ROW * (size_t)c->rank;
    *mine = intent->mistake != NULL;
    describe(mine + 1, ROW - 1, intent, c->size, place);
    return MPI_Iallgather(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, all, ROW, MPI_CHAR, c->later, request);
}

static const char *text_of(const char *texts, int rank) { return texts + ROW * (size_t)rank + 1; }
static bool is_mistake(const char *texts, int rank) { return texts[ROW * (size_t)rank]; }

/* Adds "[0-2,5]": the ranks whose text is that of `first`. */
static void add_ranks(luaL_Buffer *b, const char *texts, int size, int first)
{
    char piece[32];
    const char *separator = "[";
    for (int r = first; r < size; r++) {
        if (strcmp(text_of(texts, r), text_of(texts, first))) continue;
        int last = r;
        while (last + 1 < size && !strcmp(text_of(texts, last + 1), text_of(texts, first))) last++;
        if (last > r) snprintf(piece, sizeof piece, "%s%d-%d", separator, r, last);
        else snprintf(piece, sizeof piece, "%s%d", separator, r);
        luaL_addstring(b, piece);
        separator = ",";
        r = last;
    }
    luaL_addstring(b, "] ");
}

int lm_raisetexts(lua_State *L, int size, const char *texts)
{
    bool mistakes = false;
    int different = 0;
    luaL_Buffer b;
    for (int r = 0; r < size; r++) mistakes = mistakes || is_mistake(texts, r);
    luaL_buffinit(L, &b);
    luaL_addstring(&b, mistakes ? "" : "the ranks do not make the same call: ");
    for (int r = 0; r < size; r++) {
        bool seen = mistakes && !is_mistake(texts, r);
        for (int q = 0; q < r && !seen; q++) seen = !strcmp(text_of(texts, q), text_of(texts, r));
        if (seen) continue;
        if (different++) luaL_addstring(&b, "; ");
        if (size > 1) add_ranks(&b, texts, size, r);
        luaL_addstring(&b, text_of(texts, r));
    }
    if (!mistakes && different == 1) luaL_addstring(&b, " with different arguments");
    luaL_pushresult(&b);
    return lua_error(L);
}

/* Every rank learns every rank's text, and raises the same error. Collective. */
static void disagree(lua_State *L, lm_comm *c, const lm_intent *intent)
{
    char place[LUA_IDSIZE + 32] = "", *texts;
    MPI_Request request;
    int told = 0;
    lm_place(L, place, sizeof place);
    while (c->turns) { /* their channel is theirs until they have begun */
        lm_poll();
        if (lm_stopping()) lm_raisestop(L, true);
    }
    lm_mpi(L, lm_telltexts(c, intent, place, &texts, &request), intent->call);
    while (!told) {
        lm_mpi(L, MPI_Test(&request, &told, MPI_STATUS_IGNORE), intent->call);
        if (!told && lm_stopping()) lm_raisestop(L, true); /* the texts stay: MPI may still write there */
    }
    size_t bytes = ROW * (size_t)c->size;
    lm_buffer *copy = lm_trybuffer(L);
    bool kept = copy && lm_reserve(L, copy, bytes);
    if (kept) memcpy(copy->data, texts, bytes);
    free(texts);
    if (!kept) luaL_error(L, "not enough memory");
    lua_toclose(L, -1);
    lm_raisetexts(L, c->size, copy->data);
}

bool lm_compares(const lm_comm *c, bool always)
{
    if (c->size == 1) return false;
    return always || lm_guarded || lm_checking == LM_CHECK_ALL || (lm_checking == LM_CHECK_FIRST && c->record->agreed < FIRST_CALLS);
}

void lm_agree(lua_State *L, lm_comm *c, const lm_intent *intent, bool always)
{
    if (!lm_compares(c, always)) {
        if (intent->mistake) luaL_error(L, "%s", intent->mistake);
        return;
    }
    c->record->agreed++;
    if (lm_guarded) { /* as nonblocking collectives do it, so that the one is told from the other */
        uint64_t words[3] = {lm_share(c, intent)};
        if (!lm_sumguarded(L, c, words, intent->call)) lm_raisestop(L, true);
        if (words[0] || words[1]) disagree(L, c, intent);
    } else {
        uint64_t mine = intent->mistake ? UINT64_MAX : signature(intent), both[2] = {mine, intent->mistake ? mine : ~mine};
        lm_mpi(L, MPI_Allreduce(MPI_IN_PLACE, both, 2, MPI_UINT64_T, MPI_MAX, c->payload), intent->call);
        if (both[0] != ~both[1]) disagree(L, c, intent);
    }
}
