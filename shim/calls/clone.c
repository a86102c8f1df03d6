/* clone(2) as libc gives it. With memory of its own the child is a fork; that of CLONE_VFORK is as vfork's; else it is a
 * thread. */
#include "process/descriptors.h"
#include "calls/fork.h"
#include "process/limiter.h"
#include "process/real.h"
#include "calls/vfork.h"

#include <errno.h>
#include <sched.h>
#include <stdarg.h>

struct start {
	int (*function)(void *);
	void *argument;
};

/* The child has a stack of its own, but a copy of its parent's memory, and so of our caller's frame. */
static int begin_child(void *given)
{
	struct start start = *(struct start *)given;

	fork_ended(0);
	return start.function(start.argument);
}

static int clone_as_vfork(int (*function)(void *), void *stack, int flags, void *argument, pid_t *parent_id, void *tls,
			  pid_t *child_id)
{
	vfork_begins();
	int pid = REAL(clone)(function, stack, flags, argument, parent_id, tls, child_id);
	vfork_depth--;
	return pid;
}

INTERPOSE int clone(int (*function)(void *), void *stack, int flags, void *argument, ...)
{
	va_list more;

	va_start(more, argument);
	pid_t *parent_id = va_arg(more, pid_t *);
	void *tls = va_arg(more, void *);
	pid_t *child_id = va_arg(more, pid_t *);
	va_end(more);
	if ((flags & CLONE_VM) != 0) {
		if ((flags & CLONE_VFORK) != 0 && (flags & (CLONE_FILES | CLONE_SETTLS)) == 0)
			return clone_as_vfork(function, stack, flags, argument, parent_id, tls, child_id);
		return REAL(clone)(function, stack, flags, argument, parent_id, tls, child_id);
	}
	if (!limiter_is_open() || function == NULL)
		return REAL(clone)(function, stack, flags, argument, parent_id, tls, child_id);
	struct start start = {.function = function, .argument = argument};
	fork_begins();
	int pid = REAL(clone)(begin_child, stack, flags, &start, parent_id, tls, child_id);
	fork_ended(pid);
	return pid;
}
