/* accept: the connection is taken from the kernel first, then decided on. */
#include "descriptors.h"
#include "limiter.h"
#include "linger.h"
#include "listeners.h"
#include "log.h"
#include "peer.h"
#include "real.h"
#include "refuse.h"

#include "../lib/confined.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/single_threaded.h>
#include <sys/syscall.h>

enum {
	/* Connections refused in one call before a daemon with a non-blocking listener gets control again. */
	REFUSED_MOST = 64,
	/* accept4 without flags is accept; the difference is kept so that a seccomp filter sees what it knows. */
	PLAIN = -1,
};

static int really_accept(int listener, struct sockaddr *address, socklen_t *length, int flags)
{
	return flags == PLAIN ? REAL(accept)(listener, address, length) : REAL(accept4)(listener, address, length, flags);
}

/* Whether we may touch the caller's buffers. The kernel answers a bad pointer with EFAULT, we would crash on it; so only
 * buffers on this thread's stack are touched, which is where nearly every daemon has them. */
static bool on_stack(const void *pointer)
{
	uintptr_t here = (uintptr_t)__builtin_frame_address(0);
	uintptr_t there = (uintptr_t)pointer;

	return there >= here && there - here < (1U << 20);
}

static bool may_touch(const struct sockaddr *address, const socklen_t *length)
{
	return address == NULL || (on_stack(address) && length != NULL && on_stack(length) && (int)*length >= 0);
}

/* Accepts one connection and learns its peer. Costs no system call more when we may use our own buffer. */
static int accept_peer(int listener, struct sockaddr *address, socklen_t *length, int flags, struct sockaddr_storage *peer,
		       socklen_t *peer_length)
{
	*peer_length = sizeof(*peer);
	if (!may_touch(address, length)) {
		int descriptor = really_accept(listener, address, length, flags);

		if (descriptor >= 0) {
			int kept = errno;
			if (!may_call(SYS_getpeername, descriptor, 0, 0) ||
			    getpeername(descriptor, (struct sockaddr *)peer, peer_length) != 0)
				*peer_length = 0;
			errno = kept;
		}
		return descriptor;
	}
	int descriptor = really_accept(listener, (struct sockaddr *)peer, peer_length, flags);
	if (descriptor >= 0 && address != NULL) {
		/* accept(2): the address is cut off to the buffer, the length is the whole one. */
		socklen_t room = *length;
		memcpy(address, peer, room < *peer_length ? room : *peer_length);
		*length = *peer_length;
	}
	return descriptor;
}

static bool decide(int listener, int descriptor, const struct sockaddr_storage *peer, socklen_t peer_length,
		   struct refusal *refusal)
{
	struct connection connection;
	reference held = 0;

	/* What the number still holds is of a connection that was closed behind our back. */
	if (__builtin_expect(descriptor_held(descriptor) != 0, 0))
		table_drop(limiter_table(), descriptor_take(descriptor));
	if (!connection_with_peer(&connection, descriptor, (const struct sockaddr *)peer, peer_length,
				  listener_endpoint(listener)))
		return true;
	enum verdict verdict = table_decide(limiter_table(), &connection, &held, refusal);
	if (__builtin_expect(refusal->reason != REFUSED_NOT, 0))
		log_refusal(refusal);
	if (__builtin_expect(refusal->uncounted, 0))
		log_uncounted();
	if (verdict == VERDICT_REFUSED)
		return false;
	descriptor_put(descriptor, held);
	return true;
}

static bool is_nonblocking(int listener)
{
	return may_call(SYS_fcntl, listener, F_GETFL, 0) && (REAL(fcntl)(listener, F_GETFL) & O_NONBLOCK) != 0;
}

static int accept_limited(int listener, struct sockaddr *address, socklen_t *length, int flags)
{
	int kept = errno;
	int cancellable = 0;
	bool aborted = false;

	if (!limiter_open())
		return really_accept(listener, address, length, flags);
	linger_look();
	for (int refused = 0;; refused++) {
		struct sockaddr_storage peer;
		struct refusal refusal;
		socklen_t peer_length;
		int descriptor = accept_peer(listener, address, length, flags, &peer, &peer_length);

		/* The daemon must not run short of descriptors by those that we hold. */
		if (descriptor < 0 && (errno == EMFILE || errno == ENFILE) && linger_end())
			descriptor = accept_peer(listener, address, length, flags, &peer, &peer_length);
		if (descriptor < 0)
			return descriptor;
		/* accept is a cancellation point; what we do after it must not be, or the descriptor would leak. */
		bool may_be_cancelled = !__libc_single_threaded;
		if (may_be_cancelled)
			pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancellable);
		bool admitted = decide(listener, descriptor, &peer, peer_length, &refusal);
		/* Take the next one only where that cannot block. On a blocking listener, the daemon may have polled and seen
		 * just this connection: it would hang. An error instead could end one that just loops over accept. What both
		 * know is a client that connects and resets at once, and so that is what it gets: the descriptor, already
		 * reset. A process that has forbidden itself all that takes is told so: it was one that thought of everything.
		 */
		bool next = !admitted && refused < REFUSED_MOST && is_nonblocking(listener);
		if (!admitted && next)
			refuse(descriptor, &refusal);
		else if (!admitted && !refuse_in_place(descriptor, &refusal))
			aborted = true;
		if (may_be_cancelled)
			pthread_setcancelstate(cancellable, NULL);
		errno = kept;
		if (aborted) {
			errno = ECONNABORTED;
			return -1;
		}
		if (!next)
			return descriptor;
	}
}

INTERPOSE int accept(int listener, struct sockaddr *address, socklen_t *length)
{
	return accept_limited(listener, address, length, PLAIN);
}

INTERPOSE int accept4(int listener, struct sockaddr *address, socklen_t *length, int flags)
{
	return accept_limited(listener, address, length, flags);
}

/* A daemon that listens is about to accept: now is the time to have the table, before it forks its workers. */
INTERPOSE int listen(int listener, int backlog)
{
	limiter_open();
	int result = REAL(listen)(listener, backlog);
	if (result == 0)
		listener_learn(listener);
	return result;
}
