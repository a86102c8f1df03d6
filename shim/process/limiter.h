/* This process's limiter: the settings it was started with and the table it shares.
 *
 * The table is opened when the process first listens, accepts, or passes or is given a socket, or at the start of a program
 * that the daemon started. In any other program the only cost is reading its environment. */
#ifndef CONNLIMIT_LIMITER_H
#define CONNLIMIT_LIMITER_H

#include "table/table.h"

#include <stdatomic.h>
#include <stdbool.h>

extern struct table limiter_of_process;
extern _Atomic int limiter_state;

enum { LIMITER_UNOPENED, LIMITER_OPENING, LIMITER_OUT, LIMITER_OPEN };

/* The table. Call this only if a table is known to be open, for example because there is a reference to a record. */
static inline struct table *limiter_table(void)
{
	return &limiter_of_process;
}

static inline bool limiter_is_open(void)
{
	return atomic_load_explicit(&limiter_state, memory_order_acquire) == LIMITER_OPEN;
}

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

/* The settings from the environment when this process started, without any file. */
const struct settings *limiter_settings(void);

/* The table's name, as given or as made up for this start. */
const char *limiter_name(void);

/* Called when this process passes a descriptor to another process, or receives one. If that is a TCP socket, this is one of the
 * daemon's processes. A process that passes one on opens the table, as if it listened. A process that receives one only joins a
 * table that exists. errno may change. */
void limiter_sends(int descriptor);
void limiter_is_given(int descriptor);

/* Whether there is, or may later be, a table. */
static inline bool limiter_is_of_daemon(void)
{
	return atomic_load_explicit(&limiter_state, memory_order_relaxed) != LIMITER_OUT;
}

/* A new process after fork: its own pid. */
void limiter_in_child(void);

/* In a child, even without a table: an operation that another thread of the parent was executing will not finish here. */
void limiter_in_any_child(void);

#endif
