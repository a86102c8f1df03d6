/* clone(2) as called through libc, and unshare(2). A child with its own memory and descriptors is like a fork. One that shares
 * memory until it executes is like a vfork child. A thread is a thread. Any other child shares something that sole holding
 * requires for this process alone. */
#include "calls/vfork.h"
#include "process/children.h"
#include "process/limiter.h"
#include "process/real.h"
#include "process/sole.h"

#include <errno.h>
#include <sched.h>
#include <stdarg.h>

struct start {
	int (*function)(void *);
	void *argument;
};

/* The child has its own stack, but it has a copy of its parent's memory, and so of `start`. */
static int begin_child(void *given)
{
	struct start start = *(struct start *)given;

	child_in_itself();
	return start.function(start.argument);
}

void clone_shares(unsigned long flags)
{
	if ((flags & CLONE_THREAD) == 0 && limiter_is_of_daemon() &&
	    ((flags & CLONE_FILES) != 0 || (flags & (CLONE_VM | CLONE_VFORK)) == CLONE_VM))
		sole_ends_for_good();
}

INTERPOSE int clone(int (*function)(void *), void *stack, int flags, void *argument, ...)
{
	va_list more;
	int pid;

	va_start(more, argument);
	pid_t *parent_id = va_arg(more, pid_t *);
	void *tls = va_arg(more, void *);
	pid_t *child_id = va_arg(more, pid_t *);
	va_end(more);
	clone_shares((unsigned long)(unsigned)flags);
	if ((flags & CLONE_VM) == 0 && function != NULL) {
		struct start start = {.function = function, .argument = argument};
		child_begins();
		pid = REAL(clone)(begin_child, stack, flags, &start, parent_id, tls, child_id);
		child_made(pid);
	} else if ((flags & CLONE_VFORK) != 0 && (flags & (CLONE_FILES | CLONE_SETTLS)) == 0) {
		vfork_begins();
		pid = REAL(clone)(function, stack, flags, argument, parent_id, tls, child_id);
		vfork_ends();
	} else {
		pid = REAL(clone)(function, stack, flags, argument, parent_id, tls, child_id);
	}
	return pid;
}

/* Afterwards the thread has its own descriptor table, but our map describes only one. */
INTERPOSE int unshare(int flags)
{
	if ((flags & CLONE_FILES) != 0 && limiter_is_of_daemon())
		sole_ends_for_good();
	return REAL(unshare)(flags);
}
