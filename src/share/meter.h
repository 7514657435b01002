/* The line that tells how far a map is, on the terminal the program was started from. A thread writes it, so that it goes
   on whatever the rank is doing; it uses nothing of MPI or Lua. */
#ifndef LM_METER_H
#define LM_METER_H

#include "stock.h"

/* Begins, when there is a terminal and no other line: `done` items of a sheet's `ranks` are counted towards `total`, -1
   when that is not known. The sheet must stay. */
void lm_startmeter(const lm_sheet *sheet, int ranks, int64_t total, const char *call);

/* Ends the line of this sheet, if there is one, and wipes it. */
void lm_stopmeter(const lm_sheet *sheet);

#endif
