/* How a connection is refused. The kernel delivers a reset or a close. An answer is sent without blocking, as the empty send
 * buffer of a new connection always has room for it, and the connection then lingers until the client has read it (linger.h).
 *
 * If the daemon set its listener to wait on close (socket(7), SO_LINGER), connections inherit that. Ours never wait. */
#include "process/refuse.h"

#include "process/limiter.h"
#include "process/linger.h"
#include "process/real.h"

#include "values/door.h"

#include <netinet/in.h>
#include <string.h>

/* RFC 6585, 4: 429. RFC 9112, 9.6: Connection: close. The client learns neither the limit nor its own count. */
#define BODY "Too many connections from your address. Please try again later.\n"
static const char http_answer[] =
    "HTTP/1.1 429 Too Many Requests\r\n"
    "Content-Type: text/plain\r\n"
    "Content-Length: 64\r\n"
    "Retry-After: 10\r\n"
    "Cache-Control: no-store\r\n"
    "Connection: close\r\n"
    "\r\n" BODY;
_Static_assert(sizeof(BODY) - 1 == 64, "Content-Length");

static const struct sockaddr nowhere = {.sa_family = AF_UNSPEC};

/* connect(2): AF_UNSPEC dissolves the association, which for TCP sends a reset. A read then fails with ECONNRESET, as after a
 * reset by the client. The shutdown fails with ENOTCONN, but has an effect: from then on the socket is readable, which many a
 * daemon waits for alone (poll(2), POLLIN), and after the error comes the end, as after a reset by the client too. */
static bool disconnect(int descriptor)
{
	if (door_connect(descriptor, &nowhere, sizeof(nowhere)) != 0)
		return false;
	(void)door_shutdown(descriptor, SHUT_RDWR);
	return true;
}

/* Determines the effect of the next close: either a reset, which leaves no TIME_WAIT state for an attacker to pile up, or a
 * normal close, in both cases without waiting. False if the close might wait. */
static bool close_will(bool reset, int descriptor)
{
	struct linger linger = {.l_onoff = reset ? 1 : 0, .l_linger = 0};

	return door_setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)) == 0 || disconnect(descriptor);
}

static bool send_text(int descriptor, const char *text, size_t length)
{
	return door_sendto(descriptor, text, length, MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0) == (ssize_t)length;
}

static __attribute__((noinline)) bool send_own_text(int descriptor)
{
	char text[REFUSE_TEXT_MOST + 1];

	limits_refuse_text(limiter_table(), text);
	return send_text(descriptor, text, strlen(text));
}

static bool answers(const struct refusal *refusal)
{
	return refusal->how == REFUSE_HTTP || refusal->how == REFUSE_TEXT;
}

/* Discards what has arrived, so that a close does not become a reset because of the client's request. */
static __attribute__((noinline)) void throw_away(int descriptor)
{
	enum { READS = 64 };
	char unread[512];

	for (int i = 0; i < READS; i++)
		if (door_recvfrom(descriptor, unread, sizeof(unread), MSG_DONTWAIT, NULL, NULL) <= 0)
			return;
}

/* Sends the answer to the client. From then on something other than the descriptor keeps the connection open. */
static void answer(int descriptor, const struct refusal *refusal)
{
	bool sent = refusal->how == REFUSE_HTTP ? send_text(descriptor, http_answer, sizeof(http_answer) - 1)
						: send_own_text(descriptor);

	if (sent && door_shutdown(descriptor, SHUT_WR) == 0 && !linger(descriptor))
		throw_away(descriptor);
}

bool refuse_may_close(int descriptor)
{
	return may_call(SYS_close, descriptor, 0, 0) &&
	       (may_call_so(SYS_setsockopt, descriptor, SOL_SOCKET, SO_LINGER, 0, sizeof(struct linger), 0) ||
		may_call(SYS_connect, descriptor, 0, sizeof(nowhere)));
}

void refuse(int descriptor, const struct refusal *refusal)
{
	if (close_will(refusal->how == REFUSE_RESET, descriptor) && answers(refusal))
		answer(descriptor, refusal);
	REAL(close)(descriptor);
}

/* unix(7): if a peer closes with unread data, that is a reset. */
static int reset_unix_socket(void)
{
	int pair[2];

	if (door_socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0)
		return -1;
	send_text(pair[0], "", 1);
	door_close(pair[1]);
	return pair[0];
}

/* Makes a socket that looks as if its peer had reset the connection. For TCP it is connected to itself, which involves nobody
 * else, and then disconnected, which resets it without any packet leaving the machine. -1 if that is not possible. */
static int reset_socket(int like)
{
	struct sockaddr_storage address = {0};
	int domain = AF_INET;
	socklen_t length;

	door_option(like, SOL_SOCKET, SO_DOMAIN, &domain, sizeof(domain));
	if (domain == AF_UNIX)
		return reset_unix_socket();
	int made = door_socket(domain, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (made < 0)
		return -1;
	address.ss_family = (sa_family_t)domain;
	if (domain == AF_INET)
		((struct sockaddr_in *)&address)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else if (domain == AF_INET6)
		((struct sockaddr_in6 *)&address)->sin6_addr = in6addr_loopback;
	else
		return made;
	length = domain == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
	/* If a step fails, the socket was never connected, which is close enough. */
	if (door_bind(made, &address, length) == 0 && door_getsockname(made, &address, &length) == 0) {
		(void)door_connect(made, &address, length);
		(void)disconnect(made);
	}
	return made;
}

_Static_assert(SOCK_CLOEXEC == O_CLOEXEC, "accept4's flag is dup3's");

/* Puts a dead socket where the daemon expects its connection. The daemon must neither write to a client that has been answered,
 * nor read and serve what that client sent. */
static bool replace(int descriptor, int flags, const struct refusal *refusal)
{
	int dead = reset_socket(descriptor);

	if (dead < 0)
		return false;
	if ((flags & SOCK_NONBLOCK) == 0)
		door_fcntl(dead, F_SETFL, 0);
	bool done =
	    may_call(SYS_dup3, dead, descriptor, flags & SOCK_CLOEXEC) && close_will(refusal->how == REFUSE_RESET, descriptor);
	if (done) {
		if (answers(refusal))
			answer(descriptor, refusal);
		done = door_dup3(dead, descriptor, flags & SOCK_CLOEXEC) == descriptor;
	}
	door_close(dead);
	return done;
}

bool refuse_in_place(int descriptor, int flags, const struct refusal *refusal)
{
	/* A Unix socket cannot be disconnected (EINVAL). */
	if (refusal->how == REFUSE_RESET && disconnect(descriptor))
		return true;
	return replace(descriptor, flags, refusal) || disconnect(descriptor) || door_shutdown(descriptor, SHUT_RDWR) == 0;
}
