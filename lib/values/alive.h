/* Whether a process whose pid stands in the table still lives. */
#ifndef CONNLIMIT_ALIVE_H
#define CONNLIMIT_ALIVE_H

#include "values/door.h"

#include <errno.h>
#include <signal.h>
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

#endif
