#include "process/snapshots.h"

#include "process/near.h"
#include "process/real.h"

#include "values/clock.h"
#include "values/confined.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { PLACES = 16 };

NEAREST _Atomic int snapshots;

/* A place is free at pid 0. BEING_FILLED counts as alive. */
enum { BEING_FILLED = -1 };

NEAR static struct {
	_Atomic int pid;
	_Atomic uint32_t taken; /* seconds of clock_ms; connections accepted later are not the child's */
} places[PLACES];

/* Shared with the snapshots: whether one made children of its own. */
NEAR static _Atomic uint32_t *_Atomic has_children;
NEAR static int own_place = -1;

static bool share_words(void)
{
	if (atomic_load(&has_children) != NULL)
		return true;
	if (!may_call(SYS_mmap, 0, 0, 0))
		return false;
	void *made = mmap(NULL, PLACES * sizeof(uint32_t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	_Atomic uint32_t *nothing = NULL;
	if (made == MAP_FAILED)
		return false;
	if (!atomic_compare_exchange_strong(&has_children, &nothing, made))
		munmap(made, PLACES * sizeof(uint32_t));
	return true;
}

static HOT bool lives(int place)
{
	int pid = atomic_load(&places[place].pid);
	siginfo_t ended = {.si_pid = 0};

	if (pid == 0)
		return false;
	if (pid == BEING_FILLED || atomic_load(&has_children)[place] != 0 || !may_call(SYS_waitid, 0, 0, 0))
		return true;
	/* By its number, since waitid(3) is a cancellation point. */
	if (REAL(syscall)(SYS_waitid, P_PID, pid, &ended, WEXITED | WNOHANG | WNOWAIT | __WALL, NULL) == 0) {
		if (ended.si_pid != pid)
			return true;
	} else if (errno != ECHILD) {
		return true;
	}
	if (atomic_compare_exchange_strong(&places[place].pid, &pid, 0))
		atomic_fetch_sub(&snapshots, 1);
	return false;
}

static bool may_be_held(uint32_t since)
{
	for (int i = 0; i < PLACES; i++)
		if (atomic_load(&places[i].pid) != 0 && since <= atomic_load(&places[i].taken) && lives(i))
			return true;
	return false;
}

void snapshot_let_go_slowly(reference held)
{
	uint32_t since;
	int kept = errno;

	if (table_since(limiter_table(), held, &since)) {
		if (may_be_held(since) && table_hold(limiter_table(), held))
			table_let_fly(limiter_table(), held);
		table_drop(limiter_table(), held);
	}
	errno = kept;
}

HOT int snapshot_begins(void)
{
	if (!share_words())
		return -1;
	for (int i = 0; i < PLACES; i++) {
		int nobody = 0;

		if (lives(i) || !atomic_compare_exchange_strong(&places[i].pid, &nobody, BEING_FILLED))
			continue;
		/* Until it is known when the child was made, anything may be its. */
		atomic_store(&places[i].taken, UINT32_MAX);
		atomic_store(&atomic_load(&has_children)[i], 0);
		atomic_fetch_add(&snapshots, 1);
		return i;
	}
	return -1;
}

HOT bool snapshot_ended(int place, pid_t pid)
{
	if (place < 0)
		return pid < 0;
	if (pid < 0 || pid == UNKNOWN_PID) {
		atomic_store(&places[place].pid, 0);
		atomic_fetch_sub(&snapshots, 1);
		return pid < 0;
	}
	atomic_store(&places[place].taken, (uint32_t)(clock_ms() / 1000));
	atomic_store(&places[place].pid, pid);
	return true;
}

HOT void snapshot_in_child(int place)
{
	for (int i = 0; atomic_load(&snapshots) != 0 && i < PLACES; i++)
		atomic_store(&places[i].pid, 0);
	atomic_store(&snapshots, 0);
	own_place = place;
}

HOT void snapshot_begets(void)
{
	if (own_place >= 0)
		atomic_store(&atomic_load(&has_children)[own_place], 1);
}
