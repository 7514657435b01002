/* Objects: userdata that know what they are. Every userdata struct begins with `const lm_kind *kind`, and the kind
   carries the struct's size: a test costs two API calls instead of a registry lookup, and cannot be fooled by
   another library's userdata. */
#ifndef LM_OBJECT_H
#define LM_OBJECT_H

#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>

typedef struct lm_kind {
    const char *name; /* "mpi.comm": what messages say and the metatable's key in the registry */
    size_t size;      /* of the struct; more memory may follow it */
} lm_kind;

/* The struct when the value is of this kind, else NULL. */
static inline void *lm_test(lua_State *L, int index, const lm_kind *kind)
{
    const lm_kind **object = lua_touserdata(L, index);
    return object && lua_rawlen(L, index) >= kind->size && *object == kind ? (void *)object : NULL;
}

/* The struct, or "bad argument #1 to 'Send' (mpi.array expected, got table)"; a method called with a dot is told so. */
void *lm_check(lua_State *L, int arg, const lm_kind *kind);

/* Pushes a new zeroed object with its metatable and `values` user values. */
void *lm_new(lua_State *L, const lm_kind *kind, int values);

/* As lua_pcall, without a handler; and no hook runs meanwhile, neither a script's nor a tick's: for what is done in the
   midst of something else. */
int lm_quietcall(lua_State *L, int arguments, int results);

/* A userdata of which each state has one, in the registry under this address. That of the state which asked last is
   remembered: finding it in the registry takes a twentieth of a small message's time. */
typedef struct lm_single {
    const void *registry; /* of that state */
    void *object;
} lm_single;

void *lm_findsingle(lua_State *L, lm_single *s);

/* The state's. */
static inline void *lm_getsingle(lua_State *L, lm_single *s)
{
    return lua_topointer(L, LUA_REGISTRYINDEX) == s->registry ? s->object : lm_findsingle(L, s);
}

/* Makes the userdata on top the state's, and pops it. */
void lm_setsingle(lua_State *L, lm_single *s);

/* Makes the metatable of a kind: metamethods, and the methods as __index. Pushes the methods table.
   Called once in luaopen, so that no object ever meets a half-built one. */
void lm_newkind(lua_State *L, const lm_kind *kind, const luaL_Reg *methods, const luaL_Reg *metamethods);

/* Adds the first n values on the stack as print shows them: by tostring, a tab between two. */
void lm_addline(lua_State *L, luaL_Buffer *b, int n);

/* Pushes the text of the error object at index: by tostring, or "(error object is a table value)" when that raises. Never
   raises itself. */
const char *lm_errortext(lua_State *L, int index);

/* NULL when the table at index has only the options named in the NULL-ended list; else what is wrong, pushed as text. */
const char *lm_unknownoption(lua_State *L, int index, const char *const names[]);

/* Raises unless the table at arg (nil is an empty one) has only the options named in the NULL-ended list. */
void lm_checkoptions(lua_State *L, int arg, const char *const names[]);

/* What a value is, for "…, got mpi.op": the name of its kind or type, or the number with a fraction. May push it. */
const char *lm_got(lua_State *L, int index);

/* An integer, or "bad argument #1 to 'recv' (source: integer expected, got 0.5)". */
lua_Integer lm_checkinteger(lua_State *L, int arg, const char *what);

/* An integer from `low` to `high`, or "bad argument #2 to 'send' (dest is 7, expected 0 to 3)". */
lua_Integer lm_checkrange(lua_State *L, int arg, const char *what, lua_Integer low, lua_Integer high);

#endif
