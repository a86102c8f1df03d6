/* What one decision may take, whatever stands in shared memory.
 *
 * Counted and not measured, as a clock of CPU time is a system call: each step is charged what it takes on a usual machine. So
 * a decision does the same under load, under an emulator and under a sanitizer. It belongs to the thread; a decision in a
 * signal handler has its own, and what is no decision has no bounds. Async-signal-safe. */
#ifndef CONNLIMIT_BUDGET_H
#define CONNLIMIT_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

enum {
	DECISION_NS = 620000,
	RECORD_NS = 15,	     /* a record that is looked at, in order */
	APART_NS = 200,	     /* one somewhere else */
	ASKED_NS = 3500,     /* a question to the kernel */
	PROCESS_NS = 2500,   /* whether a process is there */
	HOLDER_NS = 20000,   /* whether a process that is there holds what it held (alive.h) */
	REGROUPED_NS = 8000, /* a record that is counted for another client */
	SEARCH_NS = 500000,  /* of a search, what goes to looks at processes (search.h) */
	/* How long a search takes is the kernel's affair. It is begun only if this much is left, and leaves less: so a decision
	 * searches once at most, and not when its budget is spent. */
	SEARCH_LEAST_NS = 160000,
};
#define BUDGET_NONE INT64_MAX

extern _Thread_local int64_t budget_left;

/* Sets what is left, and returns what was. */
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

/* True if that was left. */
bool budget_spend(int64_t ns);

/* After a search. */
static inline void budget_searched(void)
{
	if (budget_left != BUDGET_NONE && budget_left >= SEARCH_LEAST_NS)
		budget_left = SEARCH_LEAST_NS - 1;
}

/* A walk over the owners of so many slots. */
static inline int64_t walk_ns(uint32_t slots)
{
	return (int64_t)slots * 9 / 16;
}

/* The slots that half of what is left goes over. */
uint32_t budget_slots(void);

#endif
