#include "fork.h"

#include "descriptors.h"
#include "limiter.h"
#include "linger.h"
#include "real.h"

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

/* Up to this many descriptors each gets its reference. A process that forks with more (a database that writes a snapshot) has
 * a child that seldom touches them: there the child is given none, and what the parent closes while the child may live is left to
 * the kernel's word. So such a fork stays as cheap as without us. */
enum { SHARED_OUT_MOST = 512 };

static _Thread_local int under_way;	/* our own fork is around libc's, whose handlers then keep still */
static _Thread_local bool shared_out; /* or left */

static void hold(int descriptor, reference held)
{
	(void)descriptor;
	table_hold(limiter_table(), held);
}

static void drop(int descriptor, reference held)
{
	(void)descriptor;
	table_drop(limiter_table(), held);
}

static void hold_for_someone(int descriptor, reference held)
{
	(void)descriptor;
	if (table_hold(limiter_table(), held))
		table_let_fly(limiter_table(), held);
}

void fork_begins(void)
{
	if (!limiter_is_open())
		return;
	int kept = errno;
	descriptor_watch();
	shared_out = descriptor_number(SHARED_OUT_MOST + 1) <= SHARED_OUT_MOST;
	if (shared_out)
		descriptor_each(0, ~0U, hold);
	errno = kept;
}

static void in_child(void)
{
	limiter_in_child();
	linger_in_child();
	/* Another thread of the parent accepted or closed between our count and the fork: which of the references are the child's
	 * cannot be told. It claims none; those that were added stay until the kernel says otherwise. */
	if (!shared_out || descriptor_disturbed())
		descriptor_forget();
	descriptor_unwatch();
}

void fork_ended(pid_t pid)
{
	if (!limiter_is_open())
		return;
	int kept = errno;
	if (pid == 0) {
		in_child();
	} else {
		if (pid < 0 && shared_out)
			descriptor_each(0, ~0U, drop);
		else if (pid > 0 && (!shared_out || descriptor_disturbed()))
			descriptor_each(0, ~0U, hold_for_someone);
		descriptor_unwatch();
	}
	errno = kept;
}

INTERPOSE pid_t fork(void)
{
	under_way++;
	fork_begins();
	pid_t pid = REAL(fork)();
	fork_ended(pid);
	under_way--;
	return pid;
}

INTERPOSE pid_t _Fork(void)
{
	under_way++;
	fork_begins();
	pid_t pid = REAL(_Fork)();
	fork_ended(pid);
	under_way--;
	return pid;
}

/* libc's own forks (daemon, forkpty) do not come through our fork, but they run these. */
static void prepare(void)
{
	if (under_way == 0)
		fork_begins();
}

static void parent(void)
{
	if (under_way == 0)
		fork_ended(1);
}

static void child(void)
{
	if (under_way == 0)
		fork_ended(0);
}

__attribute__((constructor)) static void watch_forks(void)
{
	pthread_atfork(prepare, parent, child);
}
