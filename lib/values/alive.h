/* Whether a process whose pid stands in the table still lives. */
#ifndef CONNLIMIT_ALIVE_H
#define CONNLIMIT_ALIVE_H

#include "values/confined.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>

/* False only if the kernel says that there is none (kill(2), ESRCH): one that may not be asked about may live.
 * Async-signal-safe; errno is kept. */
static inline bool process_alive(uint32_t pid)
{
	int kept = errno;
	bool there = !may_call(SYS_kill, (long)pid, 0, 0) || kill((pid_t)pid, 0) == 0 || errno != ESRCH;

	errno = kept;
	return there;
}

#endif
