/* What scripts see of the wire. */
#include "wire.h"

#include "names.h"

static int wire_pack(lua_State *L)
{
    luaL_checkany(L, 1);
    lm_buffer *b = lm_scratch(L);
    lm_encode(L, 1, b);
    lua_pushlstring(L, b->data, b->size);
    return 1;
}

static int wire_unpack(lua_State *L)
{
    size_t n;
    const char *bytes = luaL_checklstring(L, 1, &n);
    lm_decode(L, bytes, n);
    return 1;
}

static const luaL_Reg functions[] = {
    {"pack", wire_pack},
    {"register", lm_register},
    {"unpack", wire_unpack},
    {NULL, NULL},
};

void luaopen_wire(lua_State *L)
{
    luaopen_names(L);
    luaL_setfuncs(L, functions, 0);
}
