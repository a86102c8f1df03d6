/* The start of a program, and opening its table.
 *
 * The table is opened when the process first listens, accepts, or passes or is given a socket, or at the start of a program
 * that the daemon started. In any other program the only cost is reading its environment. */
#ifndef CONNLIMIT_LIMITER_OPEN_H
#define CONNLIMIT_LIMITER_OPEN_H

#include "process/limiter.h"

/* Called before listening or accepting. Opens the table if it is not open. False if there is none: then nothing is limited
 * (which was reported once). */
bool limiter_open_table(void);

static inline bool limiter_open(void)
{
	return __builtin_expect(limiter_is_open(), 1) || limiter_open_table();
}

/* The same before listening or accepting on this listener. False if there is nothing to count on it. */
bool limiter_open_for_slowly(int listener);

static inline bool limiter_open_for(int listener)
{
	return __builtin_expect(limiter_is_open(), 1) || limiter_open_for_slowly(listener);
}

/* This program is about to listen: it says if its settings are not those of the start that executed it. */
void limiter_listens(void);

/* Called when this process passes a descriptor to another process, or receives one. If that is a TCP socket, this is one of the
 * daemon's processes. A process that passes one on opens the table, as if it listened. A process that receives one only joins a
 * table that exists. errno may change. */
void limiter_sends(int descriptor);
void limiter_is_given(int descriptor);

#endif
