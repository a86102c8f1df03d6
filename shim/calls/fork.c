#include "calls/fork.h"

#include "process/descriptors.h"
#include "process/limiter.h"
#include "process/near.h"
#include "process/real.h"
#include "process/snapshots.h"

#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

/* Up to this many descriptors each gets its reference. A process that forks with more (a database that writes a snapshot) has
 * a child that seldom touches them: there the child is given none, and is noted as a snapshot (snapshots.h). So such a fork
 * stays as cheap as without us. */
enum { SHARED_OUT_MOST = 512 };

static _Thread_local int under_way;   /* our own fork is around libc's, whose handlers then keep still */
static _Thread_local bool beginning;  /* between fork_begins and fork_ended */
static _Thread_local bool shared_out; /* or left */
static _Thread_local int snapshot;    /* the place noted for a child that is given none, -1 without */

NEAR static _Atomic uint32_t always = 1;
NEAREST _Atomic uint32_t *fork_mark = &always;

void fork_watch(void)
{
	_Atomic uint32_t *page = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED)
		return;
	if (madvise(page, sizeof(*page), MADV_WIPEONFORK) != 0) {
		munmap(page, sizeof(*page));
		return;
	}
	atomic_store(page, 1);
	fork_mark = page;
}

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

HOT void fork_begins(void)
{
	beginning = false;
	if (!limiter_is_open())
		return;
	int kept = errno;
	fork_look();
	snapshot_begets();
	descriptor_watch();
	shared_out = descriptor_number(SHARED_OUT_MOST + 1) <= SHARED_OUT_MOST;
	snapshot = -1;
	if (shared_out)
		descriptor_each(0, ~0U, hold);
	else
		snapshot = snapshot_begins();
	beginning = true;
	errno = kept;
}

/* errno is kept by what may change it: asking for it is one page of libc more that a child must have. */
static HOT void in_child(void)
{
	beginning = false;
	atomic_store(fork_mark, 1);
	limiter_in_child();
	snapshot_in_child(snapshot);
	/* Another thread of the parent accepted or closed between our count and the fork: which of the references are the
	 * child's cannot be told. It claims none; those that were added stay until the kernel says otherwise. */
	if (!shared_out || descriptor_disturbed())
		descriptor_forget();
	descriptor_unwatch();
}

HOT void fork_ended(pid_t pid)
{
	if (!beginning)
		return; /* there was no table when it began, or the child was seen to already */
	if (pid == 0) {
		in_child();
		return;
	}
	int kept = errno;
	beginning = false;
	if (pid < 0 && shared_out)
		descriptor_each(0, ~0U, drop);
	else if (pid > 0 && shared_out && descriptor_disturbed())
		descriptor_each(0, ~0U, hold_for_someone);
	else if (!shared_out && !snapshot_ended(snapshot, pid))
		descriptor_each(0, ~0U, hold_for_someone);
	descriptor_unwatch();
	errno = kept;
}

static void hold_own(int descriptor, reference held)
{
	/* A mark is no reference. What is gone from the table was let go by the parent before we looked. */
	if (!descriptor_is_mark(held) && !table_hold(limiter_table(), held))
		descriptor_take(descriptor);
}

void fork_unseen(void)
{
	int kept = errno;

	if (beginning) {
		/* The daemon's own handlers, of pthread_atfork(3) or of a signal, run before our call returns. */
		in_child();
	} else {
		atomic_store(fork_mark, 1);
		limiter_in_child();
		snapshot_in_child(-1);
		descriptor_each(0, ~0U, hold_own);
	}
	errno = kept;
}

INTERPOSE HOT pid_t fork(void)
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
		fork_ended(UNKNOWN_PID);
}

static void child(void)
{
	limiter_in_any_child();
	fork_ended(0);
}

__attribute__((constructor)) static void watch_forks(void)
{
	pthread_atfork(prepare, parent, child);
}
