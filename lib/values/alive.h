/* Whether a process whose pid is in the table is still alive, and is not another process that got the same pid later. */
#ifndef CONNLIMIT_ALIVE_H
#define CONNLIMIT_ALIVE_H

#include "values/door.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

/* False only if the kernel says that there is none (kill(2), ESRCH). If we may not ask, the process may be alive.
 * Async-signal-safe; errno is kept. */
static inline bool process_alive(uint32_t pid)
{
	int kept = errno;
	bool there = door_kill((pid_t)pid, 0) == 0 || errno != ESRCH;

	errno = kept;
	return there;
}

/* The ids of this thread and this process, as in the table. If a filter forbids one of them, the other one is used. If it
 * forbids both, the result is 0, for which process_alive is always true (kill(2): the processes of the group).
 * Async-signal-safe; errno is kept. */
static inline uint32_t thread_self(void)
{
	int kept = errno;
	pid_t thread = door_gettid();

	if (thread < 0)
		thread = door_getpid();
	errno = kept;
	return thread > 0 ? (uint32_t)thread : 0;
}

static inline uint32_t process_self(void)
{
	int kept = errno;
	pid_t process = door_getpid();

	errno = kept;
	return process > 0 ? (uint32_t)process : thread_self();
}

/* Opens /proc/PID and `file`, which begins with '/', to be read. -1 with errno. Async-signal-safe. */
int process_open(uint32_t pid, const char *file);

/* The last result for a process. It is reused for all of the process's connections within one decision. All zero at first. */
struct process_seen {
	uint32_t pid; /* 0: no process was checked yet */
	uint32_t age; /* at that time, in hundredths of a second; UINT32_MAX if it is older than that, or if it is not known */
	bool lives;   /* and is no zombie */
};

/* True if a process with this pid is alive and no zombie, and started no later than `since` (clock_since), so that it is not a
 * later process with the same pid. For this process itself it is true without a check. If neither a pidfd nor /proc is
 * available, it is false. With a pidfd alone (pidfd_open(2)) the start time is not known, and it is assumed to be the same
 * process. The pid is one in this process's own pid namespace, and /proc must be mounted for that namespace as well.
 *
 * A check takes some 20 us and one descriptor at a time. Async-signal-safe; errno is kept. */
bool process_holds(uint32_t pid, uint32_t since);

/* The same, but uses the result in `seen` if that is for the same process. */
bool process_holds_seen(struct process_seen *seen, uint32_t pid, uint32_t since);

#endif
