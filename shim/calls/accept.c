/* accept: a connection is first accepted from the kernel, then decided on. */
#include "process/caller.h"
#include "process/children.h"
#include "process/descriptors.h"
#include "process/limiter_open.h"
#include "process/linger.h"
#include "process/listeners.h"
#include "process/log.h"
#include "process/peer.h"
#include "process/real.h"
#include "process/refuse.h"
#include "process/sole.h"

#include "table/arrived.h"
#include "values/door.h"
#include "values/point.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <string.h>

/* accept4 without flags is accept; the difference is kept so that a seccomp filter sees what it knows. */
enum { PLAIN = -1 };

static int really_accept(int listener, struct sockaddr *address, socklen_t *length, int flags)
{
	return flags == PLAIN ? REAL(accept)(listener, address, length) : REAL(accept4)(listener, address, length, flags);
}

static inline bool is_near(const void *pointer)
{
	return caller_has_on_stack(pointer, sizeof(struct sockaddr_storage)) ||
	       caller_has_near(pointer, sizeof(struct sockaddr_storage));
}

/* Whether we may touch the caller's buffers (caller.h). */
static bool may_touch(const struct sockaddr *address, const socklen_t *length)
{
	return address == NULL || (is_near(address) && is_near(length) && (int)*length >= 0);
}

/* A connection that was accepted, and its peer. */
struct arrival {
	struct sockaddr_storage peer;
	socklen_t peer_length;
	socklen_t room; /* the size of the caller's buffer */
	int descriptor;
	uint64_t token; /* taken before it was accepted */
};

static COLD void accept_and_ask(int listener, struct sockaddr *address, socklen_t *length, int flags, struct arrival *arrival)
{
	arrival->descriptor = really_accept(listener, address, length, flags);
	if (arrival->descriptor < 0)
		return;
	int kept = errno;
	if (!may_call(SYS_getpeername, arrival->descriptor, 0, 0) ||
	    getpeername(arrival->descriptor, (struct sockaddr *)&arrival->peer, &arrival->peer_length) != 0)
		arrival->peer_length = 0;
	errno = kept;
}

/* Accepts one connection and learns its peer. Takes no extra system call if we may write to the caller's buffers. */
static inline int accept_peer(int listener, struct sockaddr *address, socklen_t *length, int flags, struct arrival *arrival)
{
	arrival->peer_length = sizeof(arrival->peer);
	arrival->token = accept_token();
	if (__builtin_expect(!may_touch(address, length), 0)) {
		accept_and_ask(listener, address, length, flags, arrival);
		return arrival->descriptor;
	}
	arrival->descriptor = really_accept(listener, (struct sockaddr *)&arrival->peer, &arrival->peer_length, flags);
	if (arrival->descriptor >= 0 && address != NULL) {
		/* accept(2): the address is truncated to the buffer, but the length is the full one. */
		arrival->room = *length;
		if (arrival->peer_length == sizeof(struct sockaddr_in) && arrival->room >= sizeof(struct sockaddr_in))
			memcpy(address, &arrival->peer, sizeof(struct sockaddr_in));
		else
			memcpy(address, &arrival->peer,
			       arrival->room < arrival->peer_length ? arrival->room : arrival->peer_length);
		*length = arrival->peer_length;
	}
	return arrival->descriptor;
}

static COLD void tell(const struct refusal *refusal, const struct connection *connection)
{
	if (refusal->reason != REFUSED_NOT)
		log_refusal(refusal, connection);
	if (refusal->uncounted)
		log_uncounted();
	if (refusal->unverified)
		log_unverified();
}

/* Decides whether the daemon gets the connection. If it does, no cancellation point may be on the way, or the descriptor would
 * leak (pthreads(7)). */
static inline bool decide(int listener, const struct arrival *arrival, struct refusal *refusal)
{
	struct connection connection;
	struct address client;
	reference held = 0;
	int descriptor = arrival->descriptor;

	descriptor_stale(descriptor);
	listeners_follow(limiter_table(), descriptor);
	if (!connection_with_peer(&connection, descriptor, (const struct sockaddr *)&arrival->peer, arrival->peer_length,
				  listener_of(listener)))
		return true;
	connection_know_client(limiter_table(), &connection, &client, descriptor);
	/* In a process that forks, the kernel decides whether a connection is still open, and it cannot look one up by its port
	 * alone. */
	if (__builtin_expect(sole_has_forked(), 0))
		connection_ask_local(limiter_table(), &connection);
	enum verdict verdict = table_decide_arrival(limiter_table(), &connection, &held, refusal);
	if (__builtin_expect(refusal->reason != REFUSED_NOT || refusal->uncounted || refusal->unverified, 0))
		tell(refusal, &connection);
	if (verdict == VERDICT_REFUSED)
		return false;
	if (held == 0)
		return true;
	descriptor_enter(descriptor, held, arrival->token);
	child_for = held;
	point_reached(POINT_ENTERED);
	/* Since before the connection was accepted, somebody copied descriptors or closed a range of them. */
	if (__builtin_expect(!sole_still(arrival->token), 0))
		descriptor_came_between(held);
	return true;
}

static bool is_nonblocking(int listener)
{
	int status = door_fcntl(listener, F_GETFL, 0);

	return status >= 0 && (status & O_NONBLOCK) != 0;
}

/* The connection was refused, but the daemon gets its descriptor, which behaves as if the client had reset the connection. */
static COLD int hand_over_refused(const struct arrival *arrival, int flags, const struct refusal *refusal)
{
	if (refuse_in_place(arrival->descriptor, flags == PLAIN ? 0 : flags, refusal) ||
	    !may_call(SYS_close, arrival->descriptor, 0, 0))
		return arrival->descriptor;
	/* A process whose filter forbids all of this can also handle an error. */
	REAL(close)(arrival->descriptor);
	errno = ECONNABORTED;
	return -1;
}

/* Closes refused connections and accepts the next one, as long as there is one and the call cannot block. If none of them may
 * stay, the daemon cannot just be told so: it polled and knows that somebody is there. With a blocking listener it would hang;
 * with a non-blocking one some daemons pause for seconds or crash if nobody is there or accept fails. But every daemon can
 * handle a client that connects and resets the connection at once. So the daemon gets the last refused connection in that
 * state. */
static int refuse_and_go_on(int listener, struct sockaddr *address, socklen_t *length, int flags, struct arrival *arrival,
			    struct refusal *refusal)
{
	bool next = is_nonblocking(listener);
	struct refused_so_far so_far = {0};
	struct refusal refused_for;

	while (next && refuse_goes_on(&so_far, refusal) && refuse_may_close(arrival->descriptor)) {
		int refused = arrival->descriptor;
		bool ours = address != NULL && may_touch(address, length);
		socklen_t shown = arrival->peer_length;

		refused_for = *refusal;
		if (ours)
			*length = arrival->room;
		if (accept_peer(listener, address, length, flags, arrival) < 0) {
			/* The caller's buffer still contains the address of this one. */
			arrival->descriptor = refused;
			if (ours)
				*length = shown;
			break;
		}
		refuse(refused, &refused_for);
		if (decide(listener, arrival, refusal))
			return arrival->descriptor;
	}
	return hand_over_refused(arrival, flags, refusal);
}

/* If the thread is cancelled here, the connections must not leak. */
static COLD int refuse_uncancelled(int listener, struct sockaddr *address, socklen_t *length, int flags,
				   struct arrival *arrival, struct refusal *refusal)
{
	int cancellable = 0;
	int kept = errno;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancellable);
	int descriptor = refuse_and_go_on(listener, address, length, flags, arrival, refusal);
	pthread_setcancelstate(cancellable, NULL);
	if (descriptor >= 0)
		errno = kept;
	return descriptor;
}

static HOT int accept_limited(int listener, struct sockaddr *address, socklen_t *length, int flags)
{
	struct arrival arrival;
	struct refusal refusal;
	int kept = errno;

	if (!limiter_open_for(listener))
		return really_accept(listener, address, length, flags);
	linger_look();
	if (accept_peer(listener, address, length, flags, &arrival) < 0)
		return -1;
	if (left_out(ORDERING_TOKEN_THEN_ACCEPT))
		arrival.token = accept_token();
	bool admitted = decide(listener, &arrival, &refusal);
	errno = kept;
	if (__builtin_expect(!admitted, 0))
		return refuse_uncancelled(listener, address, length, flags, &arrival, &refusal);
	return arrival.descriptor;
}

INTERPOSE HOT int accept(int listener, struct sockaddr *address, socklen_t *length)
{
	return accept_limited(listener, address, length, PLAIN);
}

INTERPOSE HOT int accept4(int listener, struct sockaddr *address, socklen_t *length, int flags)
{
	return accept_limited(listener, address, length, flags);
}

/* A daemon that listens will accept soon: open the table now, before it forks its workers. */
INTERPOSE int listen(int listener, int backlog)
{
	if (limiter_open_for(listener)) {
		limiter_listens();
		listener_set_up(listener);
	}
	int result = REAL(listen)(listener, backlog);
	if (result == 0 && limiter_is_open())
		listener_learn(listener);
	return result;
}
