/* Children that were made while so many descriptors were held that they were not given references of their own.
 *
 * While such a child may live, it may hold any connection that is older than itself. So what its parent then lets go stays
 * counted, in flight, until the kernel knows it no more; anything younger, and everything once the child has ended, is dropped
 * exactly as ever. The child's end is seen by waitid(2) without taking its status from the daemon. */
#ifndef CONNLIMIT_SNAPSHOTS_H
#define CONNLIMIT_SNAPSHOTS_H

#include "process/limiter.h"

#include <sys/types.h>

enum { UNKNOWN_PID = 1 }; /* of a child that libc made for itself */

extern _Atomic int snapshots; /* that may live */

void snapshot_let_go_slowly(reference held);

/* A descriptor of this process lets go of what it held. Async-signal-safe. */
static inline void snapshot_let_go(reference held)
{
	if (__builtin_expect(atomic_load_explicit(&snapshots, memory_order_relaxed) == 0, 1))
		table_drop(limiter_table(), held);
	else
		snapshot_let_go_slowly(held);
}

/* Around the fork: takes a place (-1 if there is none), and fills it or gives it back (pid -1). False if the child could not be
 * noted. */
int snapshot_begins(void);
bool snapshot_ended(int place, pid_t pid);

/* In any new child: the snapshots are its parent's; it is the one at `place` itself, or none (-1). */
void snapshot_in_child(int place);

/* This process is about to make a child. If it is a snapshot itself, its end proves nothing from now on. */
void snapshot_begets(void);

#endif
