/* The terminal of a session with line editing. Under mpirun its keys come through rank 0's standard input, which mpirun
   forwards; its settings and what is shown on it go by /dev/tty. */
#ifndef LM_TTY_H
#define LM_TTY_H

#include <stdbool.h>
#include <stddef.h>

/* Whether mpirun started this process, on this machine. */
bool lm_undermpirun(void);

/* Whether this process reads what somebody types: on its own standard input, or on mpirun's. */
bool lm_typed(void);

/* Opens the terminal of this process, if it has one that lines can be edited on. Before MPI starts, and once: a child
   is forked that gives the terminal its settings back should this process die. */
void lm_opentty(void);

/* Its descriptor, or -1. */
int lm_ttyfd(void);

/* Begins to read keys from that descriptor; with whatever the terminal's settings are. */
void lm_startkeys(int fd);

/* While no line is being edited: keys come at once, are not echoed and mean nothing. */
void lm_ttyraw(void);

/* The next key, waited for; -1: there are no more. */
int lm_key(void);

/* Waits for the next key, at most so many milliseconds; whether lm_key need not wait. */
bool lm_awaitkey(int milliseconds);

/* Whether the next key is there already. */
bool lm_keyready(void);

/* Reads what was typed meanwhile, for lm_key, without waiting. How often Ctrl-C is among it: what was typed before that
   is dropped. */
int lm_typedahead(void);

/* Waits until keys come; without a terminal, and at most, so many milliseconds. */
void lm_waitforkeys(int milliseconds);

/* Gives the terminal its settings back. */
void lm_closetty(void);

#endif
