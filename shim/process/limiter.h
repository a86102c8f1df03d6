/* This process's limiter: the settings it was started with and the table it shares.
 *
 * The table is opened when the process first listens, accepts, or passes or is given a socket, or at the start of a program
 * that the daemon started. Any other program pays nothing but a look at its environment. */
#ifndef CONNLIMIT_LIMITER_H
#define CONNLIMIT_LIMITER_H

#include "table/table.h"

#include <stdatomic.h>
#include <stdbool.h>

extern struct table limiter_of_process;
extern _Atomic int limiter_state;

enum { LIMITER_UNOPENED, LIMITER_OPENING, LIMITER_OUT, LIMITER_OPEN };

/* The table; to be called only where one is known to be open (a reference is held). */
static inline struct table *limiter_table(void)
{
	return &limiter_of_process;
}

static inline bool limiter_is_open(void)
{
	return atomic_load_explicit(&limiter_state, memory_order_acquire) == LIMITER_OPEN;
}

/* To be called by what listens or accepts. Opens the table if it is not. False if there is none: then we step aside
 * (it was said once). */
bool limiter_open_table(void);

static inline bool limiter_open(void)
{
	return __builtin_expect(limiter_is_open(), 1) || limiter_open_table();
}

/* The same for who is about to listen, or to accept, on this listener: not where there is nothing to count. */
bool limiter_open_for_slowly(int listener);

static inline bool limiter_open_for(int listener)
{
	return __builtin_expect(limiter_is_open(), 1) || limiter_open_for_slowly(listener);
}

/* What the environment said when this process started, before any file. */
const struct settings *limiter_settings(void);

/* The table's name, given or made for this start. */
const char *limiter_name(void);

/* This process passes a descriptor on, or is given one: if that is a TCP socket, it is one of the daemon's processes. Who
 * passes it on opens the table as one who listens does; who is given it takes part only in one that is there. errno may change.
 */
void limiter_sends(int descriptor);
void limiter_is_given(int descriptor);

/* Whether there is, or may be, a table. */
static inline bool limiter_is_of_daemon(void)
{
	return atomic_load_explicit(&limiter_state, memory_order_relaxed) != LIMITER_OUT;
}

/* A new process after fork: its own pid. */
void limiter_in_child(void);

/* In a child, before there may be a table: what another thread of the parent was at will not end here. */
void limiter_in_any_child(void);

#endif
