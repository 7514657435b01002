/* Reductions of any Lua value: numbers are combined by MPI, anything else on one rank. */
#include "collective_values.h"

#include "error.h"
#include "wire.h"

/* Arguments: operator's id, the operator, the list by rank, whether all prefixes are wanted. Returns the combination in
   rank order, or the list of prefixes. */
static int protected_fold(lua_State *L)
{
    lm_opid op = (lm_opid)lua_tointeger(L, 1);
    bool prefixes = lua_toboolean(L, 4);
    lua_getfield(L, 3, "n");
    lua_Integer n = lua_tointeger(L, -1);
    lua_pop(L, 1);
    if (prefixes) lua_createtable(L, (int)n, 0);
    lua_rawgeti(L, 3, 1);
    for (lua_Integer r = 1; r <= n; r++) {
        if (r > 1) {
            lua_rawgeti(L, 3, r);
            lm_combine(L, op, 2);
        }
        if (prefixes) {
            lua_pushvalue(L, -1);
            lua_rawseti(L, 5, r);
        }
    }
    if (prefixes) {
        lua_settop(L, 5);
        lua_pushinteger(L, n);
        lua_setfield(L, 5, "n");
    }
    return 1;
}

/* A combination of any values. */
typedef struct combination {
    lm_valuecall *call;
    int root;
    lm_buffer *b; /* this rank's value, and at the root the result */
    lm_parcel p;
} combination;

/* Arguments: the combination, the value. Returns what the combination needs of memory. */
static int protected_begin(lua_State *L)
{
    combination *m = lua_touserdata(L, 1);
    lm_gathermemory(m->call, m->root);
    m->b = lm_newbuffer(L);
    m->p = (lm_parcel){0};
    lm_encode(L, 2, m->b);
    m->p.size = m->b->size;
    return 2;
}

/* Argument: the combination. Returns the list by rank. */
static int protected_gather(lua_State *L)
{
    combination *m = lua_touserdata(L, 1);
    lm_gathervalues(m->call, m->root, &m->p, m->b);
    return 1;
}

/* Arguments: the combination, the error of an operator that is none of Lua's functions. Returns the message. */
static int protected_explain(lua_State *L)
{
    const combination *m = lua_touserdata(L, 1);
    lua_pushfstring(L, "%s with mpi.%s: %s; a Lua function may combine any values", m->call->name, lm_opnames[m->call->op],
                    lm_errortext(L, 2));
    return 1;
}

/* At the root: pushes the combination, or the list of prefixes; or the error, and returns false. */
static bool combine_here(lua_State *L, combination *m, bool prefixes)
{
    lm_opid op = m->call->op;
    lua_pushcfunction(L, protected_gather);
    lua_pushlightuserdata(L, m);
    if (lm_quietcall(L, 1, 1) != LUA_OK) return false;
    int list = lua_gettop(L);
    lua_pushcfunction(L, protected_fold);
    lua_pushinteger(L, op);
    lua_pushvalue(L, 3);
    lua_pushvalue(L, list);
    lua_pushboolean(L, prefixes);
    if (lua_pcall(L, 4, 1, 0) == LUA_OK) return true;
    if (op == LM_FUNCTION) return false;
    lua_pushcfunction(L, protected_explain);
    lua_pushlightuserdata(L, m);
    lua_pushvalue(L, -3);
    lm_quietcall(L, 2, 1);
    return false;
}

/* Any operator on any values: the values meet on one rank, are combined there in rank order, and the result (or the
   error, so that it is the same everywhere) goes to all. Pushes what each rank gets: the combination, or for scans the
   list of prefixes. */
static void combine_anywhere(lm_valuecall *k, int root, bool prefixes)
{
    lua_State *L = k->L;
    combination m = {.call = k, .root = root};
    lua_pushcfunction(L, protected_begin);
    lua_pushlightuserdata(L, &m);
    lua_pushvalue(L, 2);
    /* a value that could not be encoded is a mistake, of which all ranks learn */
    int failed = lm_quietcall(L, 2, 2) != LUA_OK;
    if (failed) k->mistake = lua_tostring(L, -1);
    else lua_toclose(L, -1);
    lm_mpi(L, MPI_Allreduce(MPI_IN_PLACE, &failed, 1, MPI_INT, MPI_MAX, k->c->comm), k->name);
    if (failed) lm_agreecall(k, true);
    if (k->c->rank == root) {
        bool fine = combine_here(L, &m, prefixes);
        m.b->size = 0;
        m.p = fine ? lm_encodeparcel(L, -1, m.b) : lm_messageparcel(L, m.b);
    } else {
        lm_gathervalues(k, root, &m.p, m.b);
    }
    if (!lm_bcastvalue(k, root, &m.p, m.b)) luaL_error(L, "%s", lua_tostring(L, -1));
}

static lm_valuecall call_reduction(lua_State *L, const char *name, int root_arg)
{
    lua_settop(L, 4);
    lm_valuecall k = lm_begincall(L, name, root_arg);
    k.op = lm_readop(L, 3, name, &k.mistake);
    if (k.op == LM_BLOCKS) lm_mistake(L, &k.mistake, 3, name, "mpi.op works on arrays; pass the Lua function itself");
    lm_agreecall(&k, false);
    return k;
}

/* Pushes the combination on every rank. */
static void reduce(lm_valuecall *k)
{
    lua_State *L = k->L;
    if (k->op < LM_FUNCTION) {
        lm_scalar s;
        lm_toscalar(L, 2, k->op, &s);
        lm_mpi(L, MPI_Allreduce(MPI_IN_PLACE, &s, 1, lm_scalartype(), lm_scalarop(), k->c->comm), k->name);
        if (lm_isscalar(&s)) {
            lm_pushscalar(L, &s);
            return;
        }
    }
    combine_anywhere(k, k->root < 0 ? 0 : k->root, false);
}

static int reduce_allreduce(lua_State *L)
{
    lm_valuecall k = call_reduction(L, "allreduce", 0);
    reduce(&k);
    return 1;
}

static int reduce_reduce(lua_State *L)
{
    lm_valuecall k = call_reduction(L, "reduce", 4);
    reduce(&k);
    if (k.c->rank != k.root) lua_pushnil(L);
    return 1;
}

/* Rank r gets the combination of the values of ranks 0 to r, or for exscan to r-1 (rank 0: nil). */
static int scan(lua_State *L, const char *name, bool exclusive)
{
    lm_valuecall k = call_reduction(L, name, 0);
    lm_comm *c = k.c;
    if (k.op < LM_FUNCTION) {
        lm_scalar mine, s;
        int other = !lm_toscalar(L, 2, k.op, &mine);
        s = mine;
        lm_mpi(L, (exclusive ? MPI_Exscan : MPI_Scan)(&mine, &s, 1, lm_scalartype(), lm_scalarop(), c->comm), name);
        lm_mpi(L, MPI_Allreduce(MPI_IN_PLACE, &other, 1, MPI_INT, MPI_MAX, c->comm), name);
        if (!other) {
            if (exclusive && c->rank == 0) lua_pushnil(L);
            else lm_pushscalar(L, &s);
            return 1;
        }
    }
    combine_anywhere(&k, 0, true);
    lua_rawgeti(L, -1, c->rank + !exclusive);
    return 1;
}

static int reduce_scan(lua_State *L) { return scan(L, "scan", false); }
static int reduce_exscan(lua_State *L) { return scan(L, "exscan", true); }

/* --- open ------------------------------------------------------------------------------------------------- */

static const luaL_Reg methods[] = {
    {"reduce", reduce_reduce},
    {"allreduce", reduce_allreduce},
    {"scan", reduce_scan},
    {"exscan", reduce_exscan},
    {NULL, NULL},
};

void luaopen_collective_reduce(lua_State *L)
{
    lua_getfield(L, -1, "comm");
    luaL_setfuncs(L, methods, 0);
    lua_pop(L, 1);
}
