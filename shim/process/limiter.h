/* This process's limiter: the settings it was started with and the table it shares. */
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

/* The settings from the environment when this process started, without any file; and the table's name, as given or as made up
 * for this start. Both are written by the start alone (limiter_open.c). */
extern struct settings limiter_settings;
extern char limiter_name[TABLE_NAME_MOST + 1];

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
