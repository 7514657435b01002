/* What the ranks print while a line of the prompt runs. Standard output of each goes to a file in memory, whoever
   writes there: print, io.write, C code, children. Rank 0 reads the files of its machine through /proc, at any time and
   without the writer's help; a rank of another machine reads its own. */
#ifndef LM_CAPTURE_H
#define LM_CAPTURE_H

#include <lua.h>
#include <stdbool.h>

/* Whole lines, as many as are quickly read; all there is; or the last of it. */
typedef enum lm_part { LM_LINES, LM_ALL, LM_TAIL } lm_part;

/* On rank 0: pushes a list by rank of what was printed since the last time; entries are nil where there is nothing new,
   or another machine. Returns whether there is any. */
bool lm_captured(lua_State *L, lm_part part);

/* Writes all of the text to where this process's standard output goes. */
void lm_writeout(const char *text, size_t size);

int luaopen_capture(lua_State *L);

#endif
