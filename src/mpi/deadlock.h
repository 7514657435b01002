/* Deadlocks: a board in shared memory on which every rank of a machine writes what it is waiting for. When all of the
   job's ranks have looked in vain for a while, none of them can ever go on: that is told, and the job ended. In a job
   that spans machines the first ranks of these tell one another what they have read. */
#ifndef LM_DEADLOCK_H
#define LM_DEADLOCK_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void lm_startboard(void); /* collective, after MPI_Init */
void lm_endboard(void);   /* collective */

/* What a rank on the board does besides waiting for others. */
enum { LM_RUNNING = -2, LM_ENDED = -1 }; /* else it leaves by os.exit with this status */

/* Opens a new wait of this rank: `text` says in what. */
void lm_board(const char *text, int leaving);

/* Counts a look, and says whether data is under way to this rank, which is no deadlock however long it takes, and
   whether the look took as long as if some had come; now and then reads the whole board. Does not return from a
   deadlock, unless lm_onstuck is set: that is called instead while some rank is at work. */
void lm_look(double now, bool moving, bool worked);

extern void (*lm_onstuck)(void);

/* What the board has room for besides, see chunks.h: a rank (of a communicator, else -1) waits for the next message from
   another, of which it has taken so many. */
typedef struct lm_invitation {
    _Atomic uint32_t version; /* odd while it is written */
    uint64_t comm;
    int rank, source, tag;
    uint32_t taken;
} lm_invitation;

/* That of this machine's rank number r, or of this rank with -1; NULL: there is none. */
lm_invitation *lm_boardinvitation(int r);

/* What this rank does in a program that is stopped when it is stuck. */
enum { LM_AT_REST, LM_AT_WORK, LM_AT_END, LM_AT_FAULT };
void lm_boardstate(int state);

/* Pushes the list by rank of "running", "done", "failed", "idle" or "waits in …"; nil without a board. */
int lm_pushstates(lua_State *L);

/* A word for all ranks: the largest ever written. Without a board (false) nothing is written, and 0 is read. */
bool lm_boardstop(uint32_t word);
uint32_t lm_boardstopped(void);
int lm_boardleft(void);   /* the status of a rank that has left by os.exit, or -1 */
bool lm_boardwhole(void); /* whether all ranks share one */

#endif
