#include "names.h"

#include "array.h"

#include <string.h>

static const lm_kind codec_kind = {"mpi.codec", sizeof(lm_codec)};
static lm_single codec_single;
static const char registered_key, loaded_key;

/* The codec's user values: tables from value to the name of its module, and of its field in it. */
enum { MODULEOF = 1, FIELDOF = 2 };

lm_codec *lm_codecof(lua_State *L) { return lm_getsingle(L, &codec_single); }

static void push_codec(lua_State *L) { lua_rawgetp(L, LUA_REGISTRYINDEX, &codec_single); }

static void push_loaded(lua_State *L) { lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE); }

/* --- tables -------------------------------------------------------------------------------------------------- */

static bool named_add(lua_State *L, lm_codec *codec, int index)
{
    const void *address = lua_topointer(L, index);
    lm_entry *e = lm_mapfind(&codec->named, address);
    return lm_mapheld(&codec->named, e) || lm_mapfill(L, &codec->named, e, address, 0);
}

static bool named_fill(lua_State *L, lm_codec *codec)
{
    if (!lm_mapclear(L, &codec->named)) return false;
    bool ok = true;
    lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
    ok = named_add(L, codec, -1);
    lua_pop(L, 1);
    push_loaded(L);
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1))
        if (lua_istable(L, -1)) ok = ok && named_add(L, codec, -1);
    lua_pop(L, 1);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &registered_key);
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1))
        if (lua_istable(L, -1)) ok = ok && named_add(L, codec, -1);
    lua_pop(L, 1);
    return ok;
}

/* Replaces the assignment of a new field of package.loaded. */
static int loaded_newindex(lua_State *L)
{
    lm_codec *codec = lm_codecof(L);
    codec->modules = 0;
    lua_rawset(L, 1);
    return 0;
}

/* Sees to it that new modules are noticed when they come, so that small messages need not look for them. Where
   package.loaded has a metatable already, they must. */
static void loaded_watch(lua_State *L, lm_codec *codec)
{
    push_loaded(L);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &loaded_key);
    if (!lua_getmetatable(L, -1)) {
        lua_createtable(L, 0, 1);
        codec->watch = lua_topointer(L, -1);
        lua_pushcfunction(L, loaded_newindex);
        lua_setfield(L, -2, "__newindex");
        lua_setmetatable(L, -2);
    } else {
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

/* Leaves up to three values on the stack. */
static bool names_valid(lua_State *L, const lm_codec *codec)
{
    if (!codec->modules) return false;
    lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &loaded_key);
    return lua_topointer(L, -2) == codec->globals && lua_getmetatable(L, -1) && lua_topointer(L, -1) == codec->watch;
}

bool lm_updatenames(lua_State *L, lm_codec *codec)
{
    int top = lua_gettop(L);
    bool valid = names_valid(L, codec);
    lua_settop(L, top);
    if (valid) return true;
    lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
    const void *globals = lua_topointer(L, -1);
    uint64_t digest = (uintptr_t)globals;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &loaded_key);
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        digest = (digest ^ (uintptr_t)lua_topointer(L, -1)) * UINT64_C(0x9E3779B97F4A7C15);
        digest ^= digest >> 32;
    }
    lua_settop(L, top);
    digest |= 1;
    if (digest == codec->modules) return true;
    codec->modules = 0;
    if (!named_fill(L, codec)) return false;
    codec->modules = digest;
    codec->globals = globals;
    return true;
}

lm_name lm_pushname(lua_State *L, int index)
{
    index = lua_absindex(L, index);
    lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
    bool globals = lua_rawequal(L, -1, index);
    lua_pop(L, 1);
    if (globals) return LM_ISGLOBALS;
    push_loaded(L);
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1))
        if (lua_rawequal(L, -1, index) && lua_type(L, -2) == LUA_TSTRING) {
            lua_pop(L, 1);
            lua_remove(L, -2);
            return LM_ISMODULE;
        }
    lua_pop(L, 1);
    return lm_pushregisteredname(L, index) ? LM_ISREGISTERED : LM_NONAME;
}

/* --- fields of modules --------------------------------------------------------------------------------------- */

/* Modules that every rank has: their names are taken first. The globals come last of them, so that a constant
   which is also a global goes by its module. */
static const char *const everywhere[] = {"mpi", "mpi.array", "string", "table", "math", "utf8", "coroutine", "os", "io",
                                         "debug", "package", LUA_GNAME, NULL};

/* Whether the value on top, called field in this module, is one that goes by name. A file is a resource of this
   process. A global is the user's, and may be another thing elsewhere: of those only the basic library counts. */
static bool field_travels(lua_State *L, const char *module, const char *field)
{
    bool global = !strcmp(module, LUA_GNAME);
    switch (lua_type(L, -1)) {
    case LUA_TFUNCTION:
        if (!lua_iscfunction(L, -1)) return !strcmp(module, "mpi") || !strncmp(module, "mpi.", 4);
        if (!global || !strcmp(field, "require") || !lua_getupvalue(L, -1, 1)) return true;
        lua_pop(L, 1);
        return false;
    case LUA_TUSERDATA:
        return !global && !lm_toarray(L, -1) && !luaL_testudata(L, -1, LUA_FILEHANDLE);
    case LUA_TLIGHTUSERDATA:
        return !global;
    default:
        return false;
    }
}

/* Enters the fields of the module on top, its name below, into the tables at 1 (modules) and 2 (fields). */
static void fields_enter(lua_State *L)
{
    int name = lua_absindex(L, -2);
    if (lua_type(L, name) != LUA_TSTRING || !lua_istable(L, -1)) return;
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING || !field_travels(L, lua_tostring(L, name), lua_tostring(L, -2))) continue;
        lua_pushvalue(L, -1);
        bool known = lua_rawget(L, 1) != LUA_TNIL;
        lua_pop(L, 1);
        if (known) continue;
        lua_pushvalue(L, -1);
        lua_pushvalue(L, name);
        lua_rawset(L, 1);
        lua_pushvalue(L, -1);
        lua_pushvalue(L, -3);
        lua_rawset(L, 2);
    }
}

static int fields_fill(lua_State *L)
{
    luaL_checkstack(L, LUA_MINSTACK, NULL);
    for (int i = MODULEOF; i <= FIELDOF; i++) {
        lua_newtable(L);
        lua_rawgetp(L, LUA_REGISTRYINDEX, &codec_kind); /* the metatable that makes them weak */
        lua_setmetatable(L, -2);
    }
    push_loaded(L);
    for (int i = 0; everywhere[i]; i++) {
        lua_pushstring(L, everywhere[i]);
        lua_pushvalue(L, -1);
        lua_rawget(L, -3);
        fields_enter(L);
        lua_pop(L, 2);
    }
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) fields_enter(L);
    push_codec(L);
    for (int i = MODULEOF; i <= FIELDOF; i++) {
        lua_pushvalue(L, i);
        lua_setiuservalue(L, -2, i);
    }
    return 0;
}

/* Pushes what the tables say; the field must still be there. */
static bool fields_find(lua_State *L, int index)
{
    int top = lua_gettop(L);
    push_codec(L);
    for (int i = MODULEOF; i <= FIELDOF; i++) {
        lua_getiuservalue(L, top + 1, i);
        lua_pushvalue(L, index);
        lua_rawget(L, -2);
        lua_remove(L, -2);
    }
    lua_remove(L, top + 1);
    if (lua_isstring(L, -1)) {
        push_loaded(L);
        lua_pushvalue(L, top + 1);
        if (lua_rawget(L, -2) == LUA_TTABLE) {
            lua_pushvalue(L, top + 2);
            lua_rawget(L, -2);
            if (lua_rawequal(L, -1, index)) {
                lua_settop(L, top + 2);
                return true;
            }
        }
    }
    lua_settop(L, top);
    return false;
}

int lm_pushfieldname(lua_State *L, int index, bool refresh)
{
    index = lua_absindex(L, index);
    if (fields_find(L, index)) return 1;
    lm_codec *codec = lm_codecof(L);
    if (!refresh && codec->listed == codec->modules) return 0;
    bool running = lua_gc(L, LUA_GCISRUNNING);
    lua_gc(L, LUA_GCSTOP);
    lua_pushcfunction(L, fields_fill);
    int status = lm_quietcall(L, 0, 0);
    if (running) lua_gc(L, LUA_GCRESTART);
    if (status != LUA_OK) {
        lua_pop(L, 1);
        return -1;
    }
    codec->listed = codec->modules;
    return fields_find(L, index);
}

/* --- back ---------------------------------------------------------------------------------------------------- */

bool lm_pushregisteredname(lua_State *L, int index)
{
    lua_pushvalue(L, index);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &registered_key);
    lua_insert(L, -2);
    lua_rawget(L, -2);
    lua_remove(L, -2);
    if (lua_type(L, -1) == LUA_TSTRING) return true;
    lua_pop(L, 1);
    return false;
}

void lm_toregistered(lua_State *L)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &registered_key);
    lua_pushvalue(L, -2);
    if (lua_rawget(L, -2) != LUA_TTABLE)
        luaL_error(L, "the message has a table registered as '%s'; here mpi.register has not named one so",
                   lua_tostring(L, -3));
    lua_remove(L, -2);
    lua_remove(L, -2);
}

void lm_tomodule(lua_State *L)
{
    push_loaded(L);
    lua_pushvalue(L, -2);
    if (lua_rawget(L, -2) == LUA_TNIL) {
        lua_pop(L, 1);
        lua_getglobal(L, "require");
        lua_pushvalue(L, -3);
        lua_call(L, 1, 1);
    }
    lua_remove(L, -2);
    lua_remove(L, -2);
}

void lm_tofield(lua_State *L)
{
    lua_pushvalue(L, -2);
    lm_tomodule(L);
    bool found = lua_istable(L, -1);
    if (found) {
        lua_pushvalue(L, -2);
        found = lua_rawget(L, -2) != LUA_TNIL;
        lua_remove(L, -2);
    }
    if (!found) luaL_error(L, "the message names %s.%s, which is not there", lua_tostring(L, -3), lua_tostring(L, -2));
    lua_replace(L, -3);
    lua_pop(L, 1);
}

/* --- mpi.register -------------------------------------------------------------------------------------------- */

int lm_register(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TSTRING);
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_settop(L, 2);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &registered_key);
    lua_pushvalue(L, 1);
    if (lua_rawget(L, 3) != LUA_TNIL && !lua_rawequal(L, -1, 2))
        luaL_argerror(L, 1, lua_pushfstring(L, "'%s' names another table already", lua_tostring(L, 1)));
    lua_pushvalue(L, 2);
    if (lua_rawget(L, 3) != LUA_TNIL && !lua_rawequal(L, -1, 1))
        luaL_argerror(L, 2, lua_pushfstring(L, "the table is registered as '%s' already", lua_tostring(L, -1)));
    lua_settop(L, 3);
    lm_codec *codec = lm_codecof(L);
    codec->modules = 0;
    lua_pushvalue(L, 1);
    lua_pushvalue(L, 2);
    lua_rawset(L, 3);
    lua_pushvalue(L, 2);
    lua_pushvalue(L, 1);
    lua_rawset(L, 3);
    lua_settop(L, 2);
    return 1;
}

static int codec_gc(lua_State *L)
{
    lm_codec *codec = lm_test(L, 1, &codec_kind);
    if (codec) {
        lm_mapfree(L, &codec->objects);
        lm_mapfree(L, &codec->named);
    }
    return 0;
}

static const luaL_Reg methods[] = {{NULL, NULL}};
static const luaL_Reg metamethods[] = {{"__gc", codec_gc}, {NULL, NULL}};

void luaopen_names(lua_State *L)
{
    lua_newtable(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &registered_key);
    lua_createtable(L, 0, 1);
    lua_pushliteral(L, "k");
    lua_setfield(L, -2, "__mode");
    lua_rawsetp(L, LUA_REGISTRYINDEX, &codec_kind);
    lm_newkind(L, &codec_kind, methods, metamethods);
    lua_pop(L, 1);
    lm_new(L, &codec_kind, 2);
    lua_newtable(L);
    lua_setiuservalue(L, -2, MODULEOF);
    lua_newtable(L);
    lua_setiuservalue(L, -2, FIELDOF);
    lm_setsingle(L, &codec_single);
    loaded_watch(L, lm_codecof(L));
}
