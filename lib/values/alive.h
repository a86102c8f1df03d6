/* Whether a process whose pid stands in the table still lives, and whether it is still the one that was meant. */
#ifndef CONNLIMIT_ALIVE_H
#define CONNLIMIT_ALIVE_H

#include "values/door.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

/* False only if the kernel says that there is none (kill(2), ESRCH): one that may not be asked about may live.
 * Async-signal-safe; errno is kept. */
static inline bool process_alive(uint32_t pid)
{
	int kept = errno;
	bool there = door_kill((pid_t)pid, 0) == 0 || errno != ESRCH;

	errno = kept;
	return there;
}

/* This thread and this process as they stand in the table. Where the one may not be asked for, the other stands for it; with
 * neither it is 0, of which nobody is ever told that it is gone (kill(2): the processes of the group). Async-signal-safe; errno
 * is kept. */
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

/* What was last found of a process: its verdict serves for all that it holds, while one decision lasts. All zero at first. */
struct process_seen {
	uint32_t pid; /* 0: none was looked at */
	uint32_t age; /* in hundredths of a second, when it was; UINT32_MAX for longer, and where it is not known */
	bool lives;   /* and is no zombie */
};

/* True while a process of that pid lives which is no zombie, and which began no later than `since` (clock_since): so it is not
 * a later one that was given the same pid. This process itself lives without being looked at. Where neither a pidfd nor /proc
 * is available, nobody is known to live; with a pidfd alone (pidfd_open(2)), a pid is taken for its first owner. The pid is one
 * of this process's own pid namespace; /proc must be of that as well.
 *
 * Looking takes some 20 us and one descriptor at a time. Async-signal-safe; errno is kept. */
bool process_holds(uint32_t pid, uint32_t since);

/* The same, looking only where `seen` is another one's. */
bool process_holds_seen(struct process_seen *seen, uint32_t pid, uint32_t since);

#endif
