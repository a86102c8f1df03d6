/* A bound on the work of one decision, whatever is in shared memory.
 *
 * The work is counted, not measured, as reading the CPU clock is a system call: each step is charged what it takes on a typical
 * machine. So a decision does the same work under load, in an emulator and under a sanitizer. The budget is the thread's. A
 * decision in a signal handler has its own budget, and outside of decisions there is no bound. Async-signal-safe. */
#ifndef CONNLIMIT_BUDGET_H
#define CONNLIMIT_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

enum {
	DECISION_NS = 620000,
	RECORD_NS = 15,	      /* looking at a record, in order */
	APART_NS = 200,	      /* looking at a record elsewhere, which is a cache miss */
	ASKED_NS = 3500,      /* asking the kernel a question */
	PROCESS_NS = 2500,    /* finding out whether a process exists */
	HOLDER_NS = 20000,    /* finding out whether it still holds what it held (alive.h) */
	REGROUPED_NS = 11000, /* counting a record for another client */
	SEARCH_NS = 500000,   /* the part of a search that looks at processes (search.h) */
	/* How long a search takes is the kernel's affair. It is begun only if this much is left, and leaves less: so a decision
	 * searches once at most, and not when its budget is spent. */
	SEARCH_LEAST_NS = 160000,
};
#define BUDGET_NONE INT64_MAX

extern _Thread_local int64_t budget_left;

/* Sets what is left, and returns what was left before. */
static inline int64_t budget_set(int64_t ns)
{
	int64_t before = budget_left;

	budget_left = ns;
	return before;
}

static inline bool budget_has(int64_t ns)
{
	return budget_left >= ns;
}

/* Charges so much. True if it was left. */
bool budget_spend(int64_t ns);

/* After a search. */
static inline void budget_searched(void)
{
	if (budget_left != BUDGET_NONE && budget_left >= SEARCH_LEAST_NS)
		budget_left = SEARCH_LEAST_NS - 1;
}

/* The cost of walking over the owners of so many slots. */
static inline int64_t walk_ns(uint32_t slots)
{
	return (int64_t)slots * 9 / 16;
}

/* The number of slots for which half of the rest is enough. */
uint32_t budget_slots(void);

#endif
