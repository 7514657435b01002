/* What goes over the wire by name: modules, registered tables, the globals, and functions and constants that are
   fields of modules. */
#ifndef LM_NAMES_H
#define LM_NAMES_H

#include "map.h"
#include "object.h"

/* Short strings that an encoding met, each in one of a few places that its address gives, as long as no others take them:
   unlike a map of all this stays in the cache. */
#define LM_RECENT 4096
#define LM_PLACES 4

/* What encodings of a state share. */
typedef struct lm_codec {
    const lm_kind *kind;
    lm_map objects;              /* of the encoding under way */
    lm_entry strings[LM_RECENT]; /* those of the encoding under way are stamped with its number, 1 to 65535 */
    uint64_t encoding;
    lm_map named;            /* tables that have a name: their addresses; some may have lost it */
    uint64_t modules;        /* digest of package.loaded when `named` was filled, 0 when it must be filled again */
    const void *globals;     /* at that time */
    const void *watch;       /* the metatable of package.loaded that sees new modules */
    uint64_t listed;         /* the same when the fields of modules were listed */
} lm_codec;

/* The state's codec. */
lm_codec *lm_codecof(lua_State *L);

/* Brings `named` up to date; false when memory is out. */
bool lm_updatenames(lua_State *L, lm_codec *codec);

typedef enum lm_name { LM_NONAME, LM_ISGLOBALS, LM_ISMODULE, LM_ISREGISTERED } lm_name;

/* The kind of name the value at index has as a whole; pushes the name unless none or globals. */
lm_name lm_pushname(lua_State *L, int index);

/* Pushes module and field when the function or userdata at index is a field of a module: 1; else 0. Before the answer
   is no, the fields are listed again with refresh, or when other modules are loaded; -1 when memory for that is out.
   Runs no Lua code, not even finalizers. */
int lm_pushfieldname(lua_State *L, int index, bool refresh);

/* Pushes the name the metatable at index was registered under; false: it was not, nothing pushed. */
bool lm_pushregisteredname(lua_State *L, int index);

/* Replaces the name on top by what it names; raises when there is no such thing here. */
void lm_toregistered(lua_State *L);
void lm_tomodule(lua_State *L);
void lm_tofield(lua_State *L); /* module and field on top: both are replaced */

int lm_register(lua_State *L); /* mpi.register(name, table) → table */

void luaopen_names(lua_State *L); /* pushes nothing */

#endif
