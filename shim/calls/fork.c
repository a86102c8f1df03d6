/* fork: the child holds everything that its parent holds. */
#include "process/children.h"
#include "process/limiter.h"
#include "process/real.h"

#include <pthread.h>
#include <unistd.h>

static _Thread_local int under_way; /* we are inside our own fork around libc's, whose atfork handlers then do nothing */

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

/* _Fork runs no atfork handlers (it is the async-signal-safe form of fork). */
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

/* libc's own forks (daemon, forkpty) do not call our fork, but they run these handlers. As they are registered first, `prepare`
 * runs last before the real call, and the other two run first after it. */
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

/* Runs before the daemon's own handlers, which may accept or close before fork returns. */
static void child(void)
{
	child_in_itself();
}

__attribute__((constructor)) static void watch_forks(void)
{
	pthread_atfork(prepare, parent, child);
}
