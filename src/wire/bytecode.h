/* Functions that string.dump or lua_dump wrote (Lua 5.4), checked before Lua loads them: Lua itself trusts them. */
#ifndef LM_BYTECODE_H
#define LM_BYTECODE_H

#include <lua.h>
#include <stddef.h>

/* NULL when these bytes have the structure of a function: sizes, constants, nested functions, debug information, and
   instructions whose registers, constants, upvalues and jumps lie inside the function and that stand where the
   virtual machine takes them for granted. Else what is wrong. Sets the number of upvalues. */
const char *lm_checkbytecode(lua_State *L, const char *bytes, size_t n, int *upvalues);

#endif
