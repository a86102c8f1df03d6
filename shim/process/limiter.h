/* This process's limiter: the settings it was started with and the table it shares.
 *
 * The table is opened when the process first listens or accepts, or at start when a table of the name in CONNLIMIT_TABLE is
 * already there (this is then a program that the daemon executed). A program that does neither pays nothing but a look at its
 * environment. */
#ifndef CONNLIMIT_LIMITER_H
#define CONNLIMIT_LIMITER_H

#include "table/table.h"

#include <stdatomic.h>
#include <stdbool.h>

extern struct table limiter_of_process;
extern _Atomic int limiter_state;

/* HELD: this program was executed by the daemon and has its table, but neither listens nor accepts: it lets go of what it
 * inherited, and what a signal does to it is no business of ours. */
enum { LIMITER_UNOPENED, LIMITER_OPENING, LIMITER_OUT, LIMITER_HELD, LIMITER_OPEN };

/* The table; to be called only where one is known to be open (a reference is held). */
static inline struct table *limiter_table(void)
{
	return &limiter_of_process;
}

static inline bool limiter_is_open(void)
{
	return atomic_load_explicit(&limiter_state, memory_order_acquire) >= LIMITER_HELD;
}

/* To be called by what listens or accepts. Opens the table if it is not. False if there is none to be had: then we step aside
 * (it was said once). */
bool limiter_open_table(void);

static inline bool limiter_open(void)
{
	return __builtin_expect(atomic_load_explicit(&limiter_state, memory_order_acquire) == LIMITER_OPEN, 1) ||
	       limiter_open_table();
}

/* What the environment said when this process started, before any file. */
const struct settings *limiter_settings(void);

/* The table's name, given or made for this start. */
const char *limiter_name(void);

/* Whether it is this process's to remove the table when nobody else has it: it made it, or what made it is no more. Which
 * process that was is known from when the table was opened; the table, to which a worker may write, is not asked again. */
bool limiter_may_remove_table(void);

/* A new process after fork: its own pid. */
void limiter_in_child(void);

/* In a child, before there may be a table: what another thread of the parent was at will not end here. */
void limiter_in_any_child(void);

#endif
