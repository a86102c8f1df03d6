/* fork: the child holds whatever its parent holds, and is by itself from then on. */
#include "process/children.h"
#include "process/limiter.h"
#include "process/real.h"

#include <pthread.h>
#include <unistd.h>

static _Thread_local int under_way; /* our own call is around libc's, whose handlers then keep still */

INTERPOSE HOT pid_t fork(void)
{
	under_way++;
	child_begins();
	pid_t pid = REAL(fork)();
	under_way--;
	if (pid != 0)
		child_made(pid);
	return pid;
}

/* It runs no handlers (fork(2) of the C library's manual: async-signal-safe). */
INTERPOSE pid_t _Fork(void)
{
	under_way++;
	child_begins();
	pid_t pid = REAL(_Fork)();
	under_way--;
	if (pid == 0)
		child_in_itself();
	else
		child_made(pid);
	return pid;
}

/* libc's own forks (daemon, forkpty) do not come through our fork, but they run these. Registered first, the first is the last
 * before the real call and the other two are the first behind it. */
static void prepare(void)
{
	if (under_way == 0)
		child_begins();
}

static void parent(void)
{
	if (under_way == 0)
		child_made(0);
}

/* Also where the daemon's own handlers, which run before fork returns, accept or close. */
static void child(void)
{
	child_in_itself();
}

__attribute__((constructor)) static void watch_forks(void)
{
	pthread_atfork(prepare, parent, child);
}
