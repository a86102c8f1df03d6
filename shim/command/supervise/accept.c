/* accept(2) on the program's behalf: the supervisor accepts through a copy of the listener, decides, and passes the descriptor
 * on. */
#include "command/supervise/accept.h"

#include "command/supervise/kept.h"
#include "command/supervise/listeners.h"
#include "command/supervise/target.h"
#include "process/defer.h"
#include "process/keepalive.h"
#include "process/limiter.h"
#include "process/log.h"
#include "process/peer.h"
#include "process/refuse.h"

#include "table/arrived.h"
#include "table/records.h"
#include "values/door.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

static void done(struct call *call)
{
	if (call->until != 0)
		shared->timed--;
	call->notification.id = 0;
}

static void finish(struct call *call, int error)
{
	target_answer(call, 0, error);
	done(call);
}

static void let_go_on(struct call *call)
{
	target_goes_on(call);
	done(call);
}

/* If we cannot do our job, the program must still get its connection. This is counted and reported. */
static void let_through(struct call *call)
{
	atomic_fetch_add(&limiter_table()->header->uncounted, 1);
	shared->unseen++;
	let_go_on(call);
}

static int number_of(int descriptor, int name)
{
	int value = -1;

	return door_option(descriptor, SOL_SOCKET, name, &value, sizeof(value)) ? value : -1;
}

static bool is_limited(int listener)
{
	struct limits limits;
	int protocol = number_of(listener, SO_PROTOCOL);

	if (number_of(listener, SO_ACCEPTCONN) != 1)
		return false;
	if (protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP)
		return true;
	limits_read(limiter_table(), &limits);
	return limits.per_uid != LIMIT_NONE && number_of(listener, SO_DOMAIN) == AF_UNIX;
}

/* What CONNLIMIT_KEEPALIVE and CONNLIMIT_PROXY say of a listener, and the former of a connection. Costs no system call if they
 * were never used. */
static void set_up(int descriptor, bool listens)
{
	struct limits limits;

	limits_read(limiter_table(), &limits);
	if (limits.keepalive != 0 || shared->kept_alive) {
		shared->kept_alive = true;
		keepalive_set(descriptor, limits.keepalive);
	}
	if (listens && limits.balancers > 0)
		defer_accept(descriptor);
}

static int flags_of(const struct call *call)
{
	return call->notification.data.nr == SYS_accept4 ? (int)call->notification.data.args[3] : 0;
}

static bool readable(int listener)
{
	struct pollfd ready = {.fd = listener, .events = POLLIN};

	return poll(&ready, 1, 0) == 1;
}

/* Another call took it, which may have asked otherwise whether it blocks. */
static void suit(struct call *call)
{
	int flags = fcntl(call->taken.descriptor, F_GETFL);
	int wanted = (flags & ~O_NONBLOCK) | ((flags_of(call) & SOCK_NONBLOCK) != 0 ? O_NONBLOCK : 0);

	if (flags >= 0 && flags != wanted)
		fcntl(call->taken.descriptor, F_SETFL, wanted);
	call->phase = call->taken.decided ? PHASE_DECIDED : PHASE_HELD;
}

static int accept_one(struct call *call, int listener)
{
	int flags = SOCK_CLOEXEC | (flags_of(call) & SOCK_NONBLOCK);

	call->taken = (struct taken){.peer_length = sizeof(call->taken.peer)};
	call->phase = PHASE_ACCEPTING;
	int accepted = accept4(listener, (struct sockaddr *)&call->taken.peer, &call->taken.peer_length, flags);
	if (accepted < 0) {
		call->phase = PHASE_TAKEN;
		return errno;
	}
	call->taken.descriptor = accepted;
	if (keep_exchange(&call->taken))
		suit(call);
	else
		call->phase = PHASE_HELD;
	return 0;
}

/* The program shares the listener's open file description, so we must not make it non-blocking. If a process that is not
 * supervised takes the connection first, an alarm ends our accept. */
static int accept_one_at_blocking(struct call *call, int listener)
{
	static const struct itimerval soon = {.it_interval.tv_usec = 10000, .it_value.tv_usec = 10000};
	static const struct itimerval never;

	if (!readable(listener))
		return EAGAIN;
	setitimer(ITIMER_REAL, &soon, NULL);
	int error = accept_one(call, listener);
	setitimer(ITIMER_REAL, &never, NULL);
	return error == EINTR ? EAGAIN : error;
}

static int take(struct call *call, int listener, bool blocking)
{
	if (keep_take(call->listener, &call->taken)) {
		suit(call);
		return 0;
	}
	return blocking ? accept_one_at_blocking(call, listener) : accept_one(call, listener);
}

/* The program holds the connection, and we do not see it closed. So the record is doubtful, and the kernel is asked. */
static void record_admitted(reference held)
{
	table_closing(limiter_table(), held);
	table_doubt(limiter_table(), held);
}

static bool is_recorded(const struct table *table, const struct connection *connection)
{
	uint32_t extent = record_extent(table);

	for (uint32_t slot = 0; slot < extent; slot++) {
		struct connection found;
		uint64_t state;

		if (record_read(table, slot, &state, &found) && endpoint_same(&found.peer, &connection->peer) &&
		    found.local.port == connection->local.port && found.network == connection->network)
			return true;
	}
	return false;
}

/* Whether the program gets it. `again`: another supervisor may have decided before it was killed. */
static bool decide(struct call *call, bool again, struct refusal *refusal)
{
	struct table *table = limiter_table();
	struct taken *taken = &call->taken;
	struct connection connection;
	struct address client;
	reference held;

	*refusal = (struct refusal){0};
	set_up(taken->descriptor, false);
	if (!connection_with_peer(&connection, taken->descriptor, (const struct sockaddr *)&taken->peer, taken->peer_length,
				  NULL) ||
	    (again && connection_ask_local(table, &connection) && is_recorded(table, &connection)))
		return true;
	connection_know_client(table, &connection, &client, taken->descriptor);
	enum verdict verdict = table_decide_arrival(table, &connection, &held, refusal);
	if (refusal->reason != REFUSED_NOT)
		log_refusal(refusal, &connection);
	if (refusal->uncounted)
		log_uncounted();
	if (refusal->unverified)
		log_unverified();
	if (verdict == VERDICT_ADMITTED)
		record_admitted(held);
	return verdict != VERDICT_REFUSED;
}

static void end(struct taken *taken)
{
	close(taken->descriptor);
	*taken = (struct taken){0};
}

/* The call was interrupted, or its thread is dead. */
static void take_back(struct call *call)
{
	if (!keep(call->listener, &call->taken))
		close(call->taken.descriptor);
	call->taken = (struct taken){0};
	done(call);
}

static void give(struct call *call)
{
	int error = target_write_peer(call, &call->taken);

	if (error == 0)
		error = target_give(call);
	if (error == ENOENT || error == ESRCH) {
		take_back(call);
		return;
	}
	if (error == EMFILE || error == ENFILE) {
		target_answer(call, 0, error);
		take_back(call);
		return;
	}
	end(&call->taken);
	if (error != 0)
		target_answer(call, 0, error);
	done(call);
}

/* The program gets the refused connection, as the descriptor of a connection that its client has reset. */
static void give_refused(struct call *call, const struct refusal *refusal)
{
	refuse_in_place(call->taken.descriptor, SOCK_CLOEXEC | (flags_of(call) & SOCK_NONBLOCK), refusal);
	call->taken.decided = true;
	call->phase = PHASE_DECIDED;
	give(call);
}

static void give_admitted(struct call *call)
{
	call->taken.decided = true;
	call->phase = PHASE_DECIDED;
	give(call);
}

/* Accepts other connections instead, while there are any and this cannot block. The program may have polled and seen this very
 * connection. So if none is admitted, it gets the last refused one (as in calls/accept.c). */
static void refuse_and_go_on(struct call *call, int listener, bool blocking, struct refusal *refusal)
{
	struct refused_so_far so_far = {0};

	while (!blocking && refuse_goes_on(&so_far, refusal)) {
		struct refusal refused_for = *refusal;

		call->refused = call->taken;
		if (take(call, listener, blocking) != 0) {
			call->taken = call->refused;
			call->refused = (struct taken){0};
			call->phase = PHASE_HELD;
			break;
		}
		refuse(call->refused.descriptor, &refused_for);
		call->refused = (struct taken){0};
		if (call->phase == PHASE_DECIDED || decide(call, false, refusal)) {
			give_admitted(call);
			return;
		}
	}
	give_refused(call, refusal);
}

static void accept_for(struct call *call, int listener, bool again)
{
	bool blocking = (fcntl(listener, F_GETFL) & O_NONBLOCK) == 0;
	int error = again ? 0 : take(call, listener, blocking);
	struct refusal refusal;

	if (error == EAGAIN && blocking) {
		if (!listener_await(call, listener))
			let_through(call);
	} else if (error != 0) {
		finish(call, error);
	} else if (call->phase == PHASE_DECIDED || decide(call, again, &refusal)) {
		give_admitted(call);
	} else {
		refuse_and_go_on(call, listener, blocking, &refusal);
	}
}

/* listen(2) goes on as it is; what the listener's connections need is set before. */
static void handle_listen(struct call *call)
{
	int listener = target_descriptor(call, (int)call->notification.data.args[0]);

	if (listener >= 0) {
		set_up(listener, true);
		close(listener);
	}
	let_go_on(call);
}

static void handle_accept(struct call *call, bool again)
{
	if (call->notification.data.nr == SYS_listen) {
		handle_listen(call);
		return;
	}
	int listener = target_descriptor(call, (int)call->notification.data.args[0]);
	uint64_t cookie = 0;

	if (listener < 0 && errno != EBADF) {
		if (target_waits(call))
			let_through(call);
		else
			done(call);
		return;
	}
	/* Listeners that are not limited, and invalid arguments, are left to the kernel. */
	if (listener < 0 || !is_limited(listener) || (flags_of(call) & ~(SOCK_CLOEXEC | SOCK_NONBLOCK)) != 0) {
		if (listener >= 0)
			close(listener);
		let_go_on(call);
		return;
	}
	door_option(listener, SOL_SOCKET, SO_COOKIE, &cookie, sizeof(cookie));
	call->listener = cookie;
	set_up(listener, true);
	if (!again && !target_has_room(call))
		finish(call, EMFILE);
	else
		accept_for(call, listener, again);
	close(listener);
}

void handle(struct call *call)
{
	shared->current = (unsigned)(call - shared->call);
	handle_accept(call, false);
}

/* Whether the program has read from it or written to it. Then it was given, and has been closed since. */
static bool was_used(int descriptor)
{
	struct tcp_info facts = {0};
	socklen_t length = sizeof(facts);
	int unread = 0;

	return getsockopt(descriptor, IPPROTO_TCP, TCP_INFO, &facts, &length) == 0 &&
	       ioctl(descriptor, FIONREAD, &unread) == 0 &&
	       (facts.tcpi_bytes_sent > 0 || (facts.tcpi_bytes_received > 0 && unread == 0));
}

void resume(struct call *call)
{
	if (call->refused.descriptor > 0 && call->refused.descriptor != call->taken.descriptor)
		close(call->refused.descriptor);
	call->refused = (struct taken){0};
	bool waits = target_waits(call);
	int number = call->phase == PHASE_GIVING && call->number < 0 ? target_find(call, call->taken.descriptor) : call->number;

	shared->current = (unsigned)(call - shared->call);
	if (call->phase == PHASE_GIVING && (number >= 0 || (!waits && was_used(call->taken.descriptor)))) {
		if (waits)
			target_answer(call, number, 0);
		end(&call->taken);
		done(call);
	} else if (!waits && call->taken.descriptor != 0) {
		take_back(call);
	} else if (!waits) {
		done(call);
	} else if (call->phase >= PHASE_DECIDED) {
		give(call);
	} else if (call->phase != PHASE_WAITING) {
		handle_accept(call, call->phase == PHASE_HELD);
	}
}
