#include "process/linger.h"

#include "process/descriptors.h"
#include "process/limiter.h"
#include "process/near.h"
#include "process/real.h"

#include "values/clock.h"
#include "values/confined.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { READS = 64, READ_BYTES = 1024 };

/* A place is free at mark 0, and changes hands by swaps of its mark; with BEING_TAKEN its other fields are not yet written. */
struct place {
	_Atomic reference mark;
	_Atomic int descriptor;
	_Atomic uint64_t inode;
	_Atomic uint64_t until;
};

NEAREST _Atomic int lingering;

#define BEING_TAKEN UINT64_C(1)

static struct place places[LINGER_MOST];
static _Atomic uint32_t serial;
NEAR static atomic_flag sweeping = ATOMIC_FLAG_INIT;

/* A reference that no record has, since no table has so many slots: dropping it does nothing. */
static reference new_mark(void)
{
	return (reference)(atomic_fetch_add(&serial, 1) + 1) << 32 | UINT32_MAX;
}

void linger_none(int descriptor)
{
	struct linger at_once = {.l_onoff = 1, .l_linger = 0};

	if (may_call(SYS_setsockopt, descriptor, SOL_SOCKET, SO_LINGER))
		setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
}

/* 0 if it is not open. */
static uint64_t inode_of(int descriptor)
{
	struct stat facts;

	return fstat(descriptor, &facts) == 0 ? facts.st_ino : 0;
}

/* Whether the descriptor is still the one that was put here. The mark goes when the daemon closes it by a call that we see; by
 * one that we do not, the number may be anything by now. */
static bool still_ours(const struct place *place, int descriptor, reference mark)
{
	return descriptor_held(descriptor) == mark && inode_of(descriptor) == atomic_load(&place->inode);
}

/* Gives the place up and closes its descriptor, if that is still the one. */
static void end(struct place *place, reference mark, bool reset)
{
	int descriptor = atomic_load(&place->descriptor);
	bool ours = still_ours(place, descriptor, mark);

	if (!atomic_compare_exchange_strong(&place->mark, &mark, 0))
		return;
	atomic_fetch_sub(&lingering, 1);
	if (descriptor_held(descriptor) == mark)
		descriptor_take(descriptor);
	if (!ours)
		return;
	if (reset)
		linger_none(descriptor);
	REAL(close)(descriptor);
}

enum heard { MORE_MAY_COME, CLIENT_DONE };

static enum heard throw_away(int descriptor)
{
	char unread[READ_BYTES];

	for (int i = 0; i < READS; i++) {
		ssize_t length = recv(descriptor, unread, sizeof(unread), MSG_DONTWAIT);
		if (length > 0)
			continue;
		return length < 0 && (errno == EAGAIN || errno == EINTR) ? MORE_MAY_COME : CLIENT_DONE;
	}
	return MORE_MAY_COME;
}

void linger_sweep(void)
{
	uint64_t now = clock_ms();
	int kept = errno;
	int cancellable;

	if (!MAY_CALL_EACH(SYS_recvfrom, SYS_close) || !MAY_CALL_FSTAT || atomic_flag_test_and_set(&sweeping))
		return;
	/* recv and close are cancellation points: a thread that ended in one would leave `sweeping` set. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancellable);
	for (int i = 0; i < LINGER_MOST; i++) {
		struct place *place = &places[i];
		reference mark = atomic_load(&place->mark);
		int descriptor = atomic_load(&place->descriptor);

		if (mark == 0 || mark == BEING_TAKEN)
			continue;
		if (!still_ours(place, descriptor, mark))
			end(place, mark, false);
		else if (now >= atomic_load(&place->until))
			end(place, mark, true);
		else if (throw_away(descriptor) == CLIENT_DONE)
			end(place, mark, false);
	}
	atomic_flag_clear(&sweeping);
	pthread_setcancelstate(cancellable, NULL);
	errno = kept;
}

static struct place *oldest(void)
{
	struct place *found = &places[0];

	for (int i = 1; i < LINGER_MOST; i++)
		if (atomic_load(&places[i].until) < atomic_load(&found->until))
			found = &places[i];
	return found;
}

static bool settle(struct place *place, int descriptor, reference mark)
{
	reference nobody = 0;

	if (!atomic_compare_exchange_strong(&place->mark, &nobody, BEING_TAKEN))
		return false;
	atomic_store(&place->descriptor, descriptor);
	atomic_store(&place->inode, inode_of(descriptor));
	atomic_store(&place->until, clock_ms() + LINGER_MS);
	atomic_store(&place->mark, mark);
	atomic_fetch_add(&lingering, 1);
	return true;
}

void linger(int descriptor)
{
	reference mark = new_mark();

	if (throw_away(descriptor) == CLIENT_DONE) {
		REAL(close)(descriptor);
		return;
	}
	/* A program that the daemon executes has no use for it. */
	REAL(fcntl)(descriptor, F_SETFD, FD_CLOEXEC);
	descriptor_put(descriptor, mark);
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < LINGER_MOST; i++)
			if (settle(&places[i], descriptor, mark))
				return;
		struct place *place = oldest();
		reference mark_of_oldest = atomic_load(&place->mark);
		if (mark_of_oldest != 0 && mark_of_oldest != BEING_TAKEN)
			end(place, mark_of_oldest, true);
	}
	descriptor_take(descriptor);
	REAL(close)(descriptor);
}

bool linger_end(void)
{
	bool any = false;

	for (int i = 0; i < LINGER_MOST; i++) {
		reference mark = atomic_load(&places[i].mark);
		if (mark == 0 || mark == BEING_TAKEN)
			continue;
		end(&places[i], mark, true);
		any = true;
	}
	return any;
}

void linger_in_child(void)
{
	/* Another thread of the parent may have been at it; here is none. */
	atomic_flag_clear(&sweeping);
	if (atomic_load(&lingering) == 0)
		return;
	int kept = errno;
	for (int i = 0; i < LINGER_MOST; i++) {
		reference mark = atomic_load(&places[i].mark);
		if (mark == BEING_TAKEN)
			atomic_store(&places[i].mark, 0);
		else if (mark != 0)
			end(&places[i], mark, false);
	}
	errno = kept;
}
