#include "topology.h"

#include "agree.h"
#include "collective.h"
#include "error.h"
#include "progress.h"

#include <limits.h>

typedef struct grid {
    int ndims;
    int dims[LM_MAXGRID], periods[LM_MAXGRID], coords[LM_MAXGRID];
} grid;

/* --- the topology of a communicator ----------------------------------------------------------------------- */

static void grid_get(lua_State *L, const lm_comm *c, const char *call, grid *g)
{
    int kind;
    lm_mpi(L, MPI_Topo_test(c->comm, &kind), call);
    if (kind != MPI_CART) luaL_error(L, "%s: the communicator has no topology; comm:cart makes one that has", call);
    lm_mpi(L, MPI_Cartdim_get(c->comm, &g->ndims), call);
    lm_mpi(L, MPI_Cart_get(c->comm, LM_MAXGRID, g->dims, g->periods, g->coords), call);
}

/* The rank n steps along dimension d, PROC_NULL beyond a border. */
static int grid_step(lua_State *L, const lm_comm *c, const char *call, const grid *g, int d, lua_Integer n)
{
    int at[LM_MAXGRID], rank;
    lua_Integer size = g->dims[d], to;
    for (int i = 0; i < g->ndims; i++) at[i] = g->coords[i];
    if (g->periods[d]) to = ((at[d] + n % size) % size + size) % size;
    else if (n < -at[d] || n >= size - at[d]) return MPI_PROC_NULL;
    else to = at[d] + n;
    at[d] = (int)to;
    lm_mpi(L, MPI_Cart_rank(c->comm, at, &rank), call);
    return rank;
}

int lm_neighbours(lua_State *L, const lm_comm *c, const char *call, int peers[2 * LM_MAXGRID])
{
    grid g;
    grid_get(L, c, call, &g);
    for (int d = 0; d < g.ndims; d++) {
        peers[2 * d] = grid_step(L, c, call, &g, d, -1);
        peers[2 * d + 1] = grid_step(L, c, call, &g, d, 1);
    }
    return 2 * g.ndims;
}

/* --- making ----------------------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t h, int x) { return (h + (uint64_t)x + 1) * UINT64_C(0x9E3779B97F4A7C15); }

/* Pushes the option, without metamethods: nothing may raise before the ranks have agreed. */
static int cart_option(lua_State *L, const char *name)
{
    lua_pushstring(L, name);
    return lua_rawget(L, 2);
}

static void cart_dims(lua_State *L, const lm_comm *c, grid *g, const char **mistake)
{
    if (cart_option(L, "dims") != LUA_TTABLE) {
        lm_mistake(L, mistake, 2, "cart", "dims: list of integers expected, got %s", lm_got(L, -1));
        return;
    }
    int list = lua_gettop(L);
    lua_Integer n = (lua_Integer)lua_rawlen(L, list), ranks = 1;
    if (n < 1 || n > LM_MAXGRID) {
        lm_mistake(L, mistake, 2, "cart", "dims: 1 to %d dimensions expected, got %I", LM_MAXGRID, n);
        return;
    }
    g->ndims = (int)n;
    for (int d = 0; d < g->ndims; d++) {
        int is;
        lua_rawgeti(L, list, d + 1);
        lua_Integer size = lua_tointegerx(L, -1, &is);
        lua_pop(L, 1);
        if (!is || size < 1 || size > INT_MAX) {
            lm_mistake(L, mistake, 2, "cart", "dims[%d] is not a number of ranks", d + 1);
            return;
        }
        g->dims[d] = (int)size;
        if (ranks <= c->size) ranks *= size;
    }
    if (ranks > c->size) lm_mistake(L, mistake, 2, "cart", "dims make more ranks than the %d of the communicator", c->size);
}

/* A list of booleans on top of the stack, one for each dimension. */
static void read_booleans(lua_State *L, int arg, const char *call, const char *what, int n, int *values, const char **mistake)
{
    int list = lua_gettop(L);
    if (!lua_istable(L, list)) {
        lm_mistake(L, mistake, arg, call, "%s: list of %d booleans expected, got %s", what, n, lm_got(L, list));
        return;
    }
    lua_Integer length = (lua_Integer)lua_rawlen(L, list);
    if (length != n) lm_mistake(L, mistake, arg, call, "%s: list of %d booleans expected, got %I", what, n, length);
    for (int d = 0; d < n && !*mistake; d++) {
        if (lua_rawgeti(L, list, d + 1) != LUA_TBOOLEAN)
            lm_mistake(L, mistake, arg, call, "%s[%d]: boolean expected, got %s", what, d + 1, lm_got(L, -1));
        values[d] = lua_toboolean(L, -1);
        if (!*mistake) lua_pop(L, 1);
    }
}

static void cart_periods(lua_State *L, grid *g, const char **mistake)
{
    int type = cart_option(L, "periods");
    if (type == LUA_TTABLE) {
        read_booleans(L, 2, "cart", "periods", g->ndims, g->periods, mistake);
        return;
    }
    if (type != LUA_TBOOLEAN && type != LUA_TNIL)
        lm_mistake(L, mistake, 2, "cart", "periods: boolean or list of booleans expected, got %s", lm_got(L, -1));
    for (int d = 0; d < g->ndims; d++) g->periods[d] = lua_toboolean(L, -1);
}

/* comm:cart{dims=, periods=, reorder=} */
static int topology_cart(lua_State *L)
{
    static const char *const known[] = {"dims", "periods", "reorder", NULL};
    lm_comm *c = lm_checkcomm(L, 1);
    const char *mistake = NULL;
    grid g = {0};
    bool reorder = false;
    lua_settop(L, 2);
    if (!lua_istable(L, 2)) {
        lm_mistake(L, &mistake, 2, "cart", "table {dims=…} expected, got %s", lm_got(L, 2));
    } else {
        const char *unknown = lm_unknownoption(L, 2, known);
        if (unknown) lm_mistake(L, &mistake, 2, "cart", "%s", unknown);
        if (!mistake) cart_dims(L, c, &g, &mistake);
        if (!mistake) cart_periods(L, &g, &mistake);
        int type = cart_option(L, "reorder");
        reorder = lua_toboolean(L, -1);
        if (type != LUA_TBOOLEAN && type != LUA_TNIL)
            lm_mistake(L, &mistake, 2, "cart", "reorder: boolean expected, got %s", lm_got(L, -1));
    }
    uint64_t also = mix(mix(0, g.ndims), reorder);
    for (int d = 0; d < g.ndims; d++) also = mix(mix(also, g.dims[d]), g.periods[d]);
    lm_wait(L, "cart", NULL, 0, -1);
    lm_intent intent = lm_plainintent("cart", also, mistake);
    lm_agree(L, c, &intent, true);
    MPI_Comm new;
    lm_mpi(L, MPI_Cart_create(c->comm, g.ndims, g.dims, g.periods, reorder, &new), "cart");
    lm_newcommornil(L, new, "cart");
    return 1;
}

/* comm:sub(keep): the slices of a grid, which keep some of its dimensions. */
static int topology_sub(lua_State *L)
{
    lm_comm *c = lm_checkcomm(L, 1);
    const char *mistake = NULL;
    int keep[LM_MAXGRID] = {0};
    grid g;
    grid_get(L, c, "sub", &g);
    lua_settop(L, 2);
    read_booleans(L, 2, "sub", "keep", g.ndims, keep, &mistake);
    uint64_t also = 0;
    for (int d = 0; d < g.ndims; d++) also = mix(also, keep[d]);
    lm_wait(L, "sub", NULL, 0, -1);
    lm_intent intent = lm_plainintent("sub", also, mistake);
    lm_agree(L, c, &intent, true);
    MPI_Comm new;
    lm_mpi(L, MPI_Cart_sub(c->comm, keep, &new), "sub");
    lm_newcommornil(L, new, "sub");
    return 1;
}

/* --- places on the grid ----------------------------------------------------------------------------------- */

static void push_integers(lua_State *L, const int *values, int n)
{
    lua_createtable(L, n, 0);
    for (int i = 0; i < n; i++) {
        lua_pushinteger(L, values[i]);
        lua_rawseti(L, -2, i + 1);
    }
}

static int topology_coords(lua_State *L)
{
    lm_comm *c = lm_checkopen(L, 1);
    grid g;
    grid_get(L, c, "coords", &g);
    int rank = lua_isnoneornil(L, 2) ? c->rank : (int)lm_checkrange(L, 2, "rank", 0, c->size - 1);
    lm_mpi(L, MPI_Cart_coords(c->comm, rank, LM_MAXGRID, g.coords), "coords");
    push_integers(L, g.coords, g.ndims);
    return 1;
}

static int topology_rank_at(lua_State *L)
{
    lm_comm *c = lm_checkopen(L, 1);
    grid g;
    grid_get(L, c, "rank_at", &g);
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_Integer length = (lua_Integer)lua_rawlen(L, 2);
    if (length != g.ndims)
        return luaL_argerror(L, 2, lua_pushfstring(L, "list of %d coordinates expected, got %I", g.ndims, length));
    for (int d = 0; d < g.ndims; d++) {
        int is;
        lua_rawgeti(L, 2, d + 1);
        lua_Integer at = lua_tointegerx(L, -1, &is), size = g.dims[d];
        if (!is) return luaL_argerror(L, 2, lua_pushfstring(L, "coordinate %d: integer expected, got %s", d + 1, lm_got(L, -1)));
        if (g.periods[d]) at = (at % size + size) % size;
        else if (at < 0 || at >= size)
            return luaL_argerror(L, 2, lua_pushfstring(L, "coordinate %d is %I, expected 0 to %I", d + 1, at, size - 1));
        g.coords[d] = (int)at;
        lua_pop(L, 1);
    }
    int rank;
    lm_mpi(L, MPI_Cart_rank(c->comm, g.coords, &rank), "rank_at");
    lua_pushinteger(L, rank);
    return 1;
}

/* comm:shift(dim[, n=1]) → source, dest */
static int topology_shift(lua_State *L)
{
    lm_comm *c = lm_checkopen(L, 1);
    grid g;
    grid_get(L, c, "shift", &g);
    int d = (int)lm_checkrange(L, 2, "dim", 1, g.ndims) - 1;
    lua_Integer n = luaL_optinteger(L, 3, 1);
    if (n == LUA_MININTEGER) return luaL_argerror(L, 3, "n is out of range");
    lua_pushinteger(L, grid_step(L, c, "shift", &g, d, -n));
    lua_pushinteger(L, grid_step(L, c, "shift", &g, d, n));
    return 2;
}

/* mpi.dims(n, k): k is the number of dimensions, or a list of sizes where 0 is to be chosen. */
static int topology_dims(lua_State *L)
{
    int n = (int)lm_checkrange(L, 1, "n", 1, INT_MAX), dims[LM_MAXGRID] = {0}, k;
    if (lua_istable(L, 2)) {
        lua_Integer length = (lua_Integer)lua_rawlen(L, 2), product = 1;
        bool open = false;
        if (length < 1 || length > LM_MAXGRID)
            return luaL_argerror(L, 2, lua_pushfstring(L, "1 to %d dimensions expected, got %I", LM_MAXGRID, length));
        k = (int)length;
        for (int d = 0; d < k; d++) {
            int is;
            lua_rawgeti(L, 2, d + 1);
            lua_Integer size = lua_tointegerx(L, -1, &is);
            if (!is || size < 0 || size > INT_MAX)
                return luaL_argerror(L, 2, lua_pushfstring(L, "entry %d is neither a number of ranks nor 0", d + 1));
            lua_pop(L, 1);
            dims[d] = (int)size;
            open = open || size == 0;
            if (size && product <= n) product *= size;
        }
        if (product > n || n % product || (!open && product != n))
            return luaL_argerror(L, 2, lua_pushfstring(L, "%d ranks cannot be divided so", n));
    } else {
        k = (int)lm_checkrange(L, 2, "k", 1, LM_MAXGRID);
    }
    lm_mpi(L, MPI_Dims_create(n, k, dims), "dims");
    push_integers(L, dims, k);
    return 1;
}

static const luaL_Reg methods[] = {
    {"cart", topology_cart},
    {"sub", topology_sub},
    {"coords", topology_coords},
    {"rank_at", topology_rank_at},
    {"shift", topology_shift},
    {NULL, NULL},
};

void luaopen_topology(lua_State *L)
{
    lua_pushcfunction(L, topology_dims);
    lua_setfield(L, -2, "dims");
    lua_getfield(L, -1, "comm");
    luaL_setfuncs(L, methods, 0);
    lua_pop(L, 1);
}
