#include "process/children.h"

#include "process/descriptors.h"
#include "process/limiter.h"
#include "process/reload.h"
#include "process/report.h"
#include "process/sole.h"

#include "table/bridge.h"
#include "values/door.h"

#include <errno.h>

_Thread_local reference child_for __attribute__((tls_model("initial-exec")));

/* How many forks this thread is in. More than one if a signal handler forks while the thread does. */
static _Thread_local unsigned under_way __attribute__((tls_model("initial-exec")));

HOT void child_begins(void)
{
	sole_ends();
	under_way++;
}

HOT void child_made(pid_t pid)
{
	if (under_way > 0)
		under_way--;
	sole_may_begin_again();
	if (pid <= 0 || child_for == 0)
		return;
	/* Only if the child is not noted as the holder yet: it may have done this itself, and let go of the connection since.
	 */
	uint32_t self = limiter_table()->pid;
	if (self != 0)
		table_holds_on(limiter_table(), child_for, self, (uint32_t)pid);
	table_doubt(limiter_table(), child_for);
	child_for = 0;
}

HOT void child_in_itself(void)
{
	uint32_t parent = limiter_table()->pid;
	int kept = errno;

	limiter_in_any_child();
	sole_in_child();
	/* If a signal handler forked while this thread was forking, the child is still inside that fork. */
	if (under_way > 0)
		under_way--;
	for (unsigned i = 0; i < under_way; i++)
		sole_ends();
	descriptor_made_for = child_for;
	child_for = 0;
	if (limiter_is_open()) {
		limiter_in_child();
		reload_belongs_here();
		if (descriptor_made_for != 0 && parent != 0 && limiter_table()->pid != 0)
			table_holds_on(limiter_table(), descriptor_made_for, parent, limiter_table()->pid);
	}
	errno = kept;
}

COLD uint64_t accept_token_slowly(void)
{
	/* This child was made in a way that we did not see, such as a system call in assembly. */
	if (!sole_is_known())
		child_in_itself();
	return sole_take_token();
}

/* Where the real user differs from the effective one, the loader ignores preloads (ld.so(8)). A daemon that executes itself so
 * before it listens would serve without limits, and nobody would know why. */
static COLD void executes_unseen(void)
{
	static bool said;

	if (said || (door(SYS_getuid, 0, 0, 0, 0, 0, 0) == door(SYS_geteuid, 0, 0, 0, 0, 0, 0) &&
		     door(SYS_getgid, 0, 0, 0, 0, 0, 0) == door(SYS_getegid, 0, 0, 0, 0, 0, 0)))
		return;
	said = true;
	report_urgent(
	    "note: a program is executed as a user who is not the real one, so preloads are ignored: if it accepts "
	    "connections, they are NOT limited (but see connlimit run --way supervise)",
	    NULL);
}

int child_executes(void)
{
	int kept = errno;
	int bridge = -1;

	if (!limiter_is_open()) {
		executes_unseen();
		errno = kept;
		return EXEC_UNPREPARED;
	}
	if (descriptor_made_for != 0)
		descriptor_let_go(descriptor_made_for);
	descriptors_let_go_begins();
	if (bridge_is_needed(limiter_table()))
		bridge = bridge_build(limiter_table());
	errno = kept;
	return bridge;
}

int child_does_not_execute(int bridge, int result)
{
	if (bridge >= 0)
		bridge_remove(bridge);
	if (bridge != EXEC_UNPREPARED)
		sole_may_begin_again();
	return result;
}
