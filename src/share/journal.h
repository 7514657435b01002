/* Journals: files of checksummed records, each a number and a value, to which all ranks append. */
#ifndef LM_JOURNAL_H
#define LM_JOURNAL_H

#include <lua.h>

int luaopen_journal(lua_State *L); /* require "mpi.journal.core" */

#endif
