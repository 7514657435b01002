#include "agree.h"

#include "dtype.h"
#include "error.h"
#include "interrupt.h"
#include "stop.h"

#include <stdio.h>
#include <string.h>

enum lm_checking lm_checking = LM_CHECK_FIRST;

#define FIRST_CALLS 1000

static uint64_t mix(uint64_t h, uint64_t x)
{
    h = (h ^ x) * UINT64_C(0x9E3779B97F4A7C15);
    return h ^ h >> 29;
}

static uint64_t mix_text(uint64_t h, const char *s)
{
    while (s && *s) h = mix(h, (unsigned char)*s++);
    return h;
}

static uint64_t signature(const lm_intent *i)
{
    uint64_t h = mix_text(mix_text(1, i->call), i->op);
    h = mix(mix(mix(mix(h, (uint64_t)i->root), (uint64_t)i->dtype), (uint64_t)i->count), i->also);
    return h == UINT64_MAX ? 0 : h; /* UINT64_MAX says: a mistake */
}

/* Pushes what this rank was about to do: "comm:Allreduce(float64[4], op=SUM) at script.lua:14", or its mistake. */
static void push_intent(lua_State *L, const lm_intent *i)
{
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    if (i->mistake) {
        luaL_addstring(&b, i->mistake);
    } else {
        const char *comma = "";
        lua_pushfstring(L, "comm:%s(", i->call);
        luaL_addvalue(&b);
        if (i->dtype >= 0) {
            lua_pushstring(L, lm_dtypes[i->dtype].name);
            luaL_addvalue(&b);
            comma = ", ";
        }
        if (i->count >= 0) {
            lua_pushfstring(L, "[%I]", (lua_Integer)i->count);
            luaL_addvalue(&b);
            comma = ", ";
        }
        if (i->op) {
            lua_pushfstring(L, "%sop=%s", comma, i->op);
            luaL_addvalue(&b);
            comma = ", ";
        }
        if (i->root >= 0) {
            lua_pushfstring(L, "%sroot=%d", comma, i->root);
            luaL_addvalue(&b);
        }
        luaL_addchar(&b, ')');
    }
    char place[LUA_IDSIZE + 32];
    if (lm_place(L, place, sizeof place)) {
        luaL_addstring(&b, " at ");
        luaL_addstring(&b, place);
    }
    luaL_pushresult(&b);
}

/* Adds "[0-2,5]": the ranks whose text is that of `first`. */
static void add_ranks(luaL_Buffer *b, const char *texts, const int *at, int size, int first)
{
    char piece[32];
    const char *separator = "[";
    for (int r = first; r < size; r++) {
        if (strcmp(texts + at[r], texts + at[first])) continue;
        int last = r;
        while (last + 1 < size && !strcmp(texts + at[last + 1], texts + at[first])) last++;
        if (last > r) snprintf(piece, sizeof piece, "%s%d-%d", separator, r, last);
        else snprintf(piece, sizeof piece, "%s%d", separator, r);
        luaL_addstring(b, piece);
        separator = ",";
        r = last;
    }
    luaL_addstring(b, "] ");
}

/* Every rank learns every rank's text, and raises the same error. Collective. */
static void disagree(lua_State *L, lm_comm *c, const lm_intent *intent)
{
    push_intent(L, intent);
    size_t length;
    const char *mine = lua_tolstring(L, -1, &length);
    int n = (int)length + 1, total = 0;
    int *sizes = lua_newuserdatauv(L, sizeof(int) * 2 * (size_t)c->size, 0), *at = sizes + c->size;
    /* the sign tells a mistake from a call that is merely another one */
    int signed_n = intent->mistake ? -n : n;
    lm_mpi(L, MPI_Allgather(&signed_n, 1, MPI_INT, sizes, 1, MPI_INT, c->payload), intent->call);
    bool mistakes = false;
    for (int r = 0; r < c->size; r++) {
        if (sizes[r] < 0) mistakes = true;
        at[r] = total;
        total += sizes[r] < 0 ? -sizes[r] : sizes[r];
    }
    bool *wrong = lua_newuserdatauv(L, (size_t)c->size, 0);
    for (int r = 0; r < c->size; r++) {
        wrong[r] = sizes[r] < 0;
        if (wrong[r]) sizes[r] = -sizes[r];
    }
    char *texts = lua_newuserdatauv(L, (size_t)total, 0);
    lm_mpi(L, MPI_Allgatherv(mine, n, MPI_CHAR, texts, sizes, at, MPI_CHAR, c->payload), intent->call);
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    luaL_addstring(&b, mistakes ? "" : "the ranks do not make the same call: ");
    const char *separator = "";
    int different = 0;
    for (int r = 0; r < c->size; r++) {
        bool seen = mistakes && !wrong[r];
        for (int q = 0; q < r && !seen; q++) seen = !strcmp(texts + at[q], texts + at[r]);
        if (seen) continue;
        luaL_addstring(&b, separator);
        if (c->size > 1) add_ranks(&b, texts, at, c->size, r);
        luaL_addstring(&b, texts + at[r]);
        separator = "; ";
        different++;
    }
    if (!mistakes && different == 1) luaL_addstring(&b, " with different arguments");
    luaL_pushresult(&b);
    lua_error(L);
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
    uint64_t mine = intent->mistake ? UINT64_MAX : signature(intent), both[3] = {mine, intent->mistake ? mine : ~mine};
    if (!lm_guarded) lm_mpi(L, MPI_Allreduce(MPI_IN_PLACE, both, 2, MPI_UINT64_T, MPI_MAX, c->payload), intent->call);
    else if (!lm_reduceguarded(L, c, both, intent->call)) lm_raisestop(L, true);
    if (both[0] != ~both[1]) disagree(L, c, intent);
}
