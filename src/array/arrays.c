/* The module "array": what its files add to the module, to the arrays' methods and to their metatable. */
#include "array.h"

void lm_callmodule(lua_State *L, const char *module, const char *name, int n, int r)
{
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    if (lua_getfield(L, -1, module) != LUA_TTABLE) {
        luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
        lua_getfield(L, -1, module);
        lua_pushstring(L, module);
        lua_call(L, 1, 1);
        lua_pushvalue(L, -1);
        lua_setfield(L, -5, module);
        lua_replace(L, -3);
        lua_pop(L, 1);
    }
    lua_getfield(L, -1, name);
    lua_replace(L, -3);
    lua_pop(L, 1);
    lua_insert(L, -n - 1);
    lua_call(L, n, r);
}

static int array_free(lua_State *L)
{
    lm_free(L, ((lm_array *)lm_check(L, 1, &lm_array_kind))->block);
    return 0;
}

static int array_tostring(lua_State *L)
{
    const lm_array *a = lm_check(L, 1, &lm_array_kind);
    lua_settop(L, 1);
    if (!a->block->data) {
        lua_pushfstring(L, "mpi.array (freed): %s %s", lm_dtypes[a->dtype].name, lm_pushshape(L, a->ndim, a->shape));
        return 1;
    }
    lm_callmodule(L, "mpi.arraytext", "text", 1, 1);
    return 1;
}

/* Makes the metatable on top of the stack anew, with room to spare and what each access to an element looks up put in
   first: so it lies where the look-up begins. Otherwise that is luck, another in each run, as the strings' hashes are. */
static void spread_metatable(lua_State *L)
{
    static const char *const first[] = {"__index", "__newindex"};
    lua_createtable(L, 0, 64);
    for (size_t i = 0; i < sizeof first / sizeof *first; i++) {
        lua_getfield(L, -2, first[i]);
        lua_setfield(L, -2, first[i]);
    }
    lua_pushnil(L);
    while (lua_next(L, -3)) {
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, -4);
    }
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &lm_array_kind);
    lua_pushvalue(L, -1);
    lua_setfield(L, LUA_REGISTRYINDEX, lm_array_kind.name);
    lua_replace(L, -2);
}

static const luaL_Reg arraymethods[] = {{"free", array_free}, {NULL, NULL}};
static const luaL_Reg metamethods[] = {{"__tostring", array_tostring}, {"__close", array_free}, {NULL, NULL}};

int luaopen_array(lua_State *L)
{
    lm_newkind(L, &lm_array_kind, arraymethods, metamethods);
    luaL_getmetatable(L, lm_array_kind.name);
    lua_insert(L, -2);
    const luaL_Reg *const parts[] = {lm_indexmethods,   lm_viewmethods,     lm_createmethods,
                                     lm_comparemethods, lm_cumulatemethods, lm_blasmethods};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) luaL_setfuncs(L, parts[i], 0);
    lm_indexopen(L);
    lm_elementwiseopen(L);
    lm_reductionopen(L);
    lua_pop(L, 1);
    luaL_setfuncs(L, lm_comparemetamethods, 0);
    spread_metatable(L);
    lua_pop(L, 1);
    lua_newtable(L);
    luaL_setfuncs(L, lm_createfunctions, 0);
    luaL_setfuncs(L, lm_randomfunctions, 0);
    luaL_setfuncs(L, lm_npyfunctions, 0);
    lm_npyopen(L);
    return 1;
}
