/* A reset or a close is the kernel's to deliver. An answer is sent without blocking, which a fresh connection's empty send
 * buffer always has room for, and the connection then lingers until the client has read it (linger.h).
 *
 * A daemon may have had its listener wait on close (socket(7), SO_LINGER), which connections inherit. Ours wait for nothing. */
#include "process/refuse.h"

#include "process/limiter.h"
#include "process/linger.h"
#include "process/real.h"

#include "values/door.h"

#include <netinet/in.h>
#include <string.h>

/* RFC 6585, 4: 429. RFC 9112, 9.6: Connection: close. The client is not told the limit, nor how many it holds. */
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

/* connect(2): AF_UNSPEC dissolves the association, which for TCP is a reset. A read gives ECONNRESET, as after the client's
 * own. */
static bool disconnect(int descriptor)
{
	return door_connect(descriptor, &nowhere, sizeof(nowhere)) == 0;
}

/* What the next close does: reset the connection, which leaves no TIME_WAIT for an attacker to pile up, or end it, and in
 * neither case wait. False if it may wait. */
static bool close_will(bool reset, int descriptor)
{
	struct linger linger = {.l_onoff = reset ? 1 : 0, .l_linger = 0};

	return door_setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)) == 0 || disconnect(descriptor);
}

static bool is_unix(int descriptor)
{
	int domain = 0;
	socklen_t length = sizeof(domain);

	return door_getsockopt(descriptor, SOL_SOCKET, SO_DOMAIN, &domain, &length) == 0 && domain == AF_UNIX;
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

/* What has come is thrown away, so that a close is none for the client's request where nothing lingers. */
static __attribute__((noinline)) void throw_away(int descriptor)
{
	enum { READS = 64 };
	char unread[512];

	for (int i = 0; i < READS; i++)
		if (door_recvfrom(descriptor, unread, sizeof(unread), MSG_DONTWAIT, NULL, NULL) <= 0)
			return;
}

/* The client gets its answer, and what holds the connection from here on is not the descriptor. */
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

/* unix(7): a peer that closes with something unread is a reset. */
static int reset_unix_socket(void)
{
	int pair[2];

	if (door_socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0)
		return -1;
	send_text(pair[0], "", 1);
	door_close(pair[1]);
	return pair[0];
}

/* A socket that is in the state of one which its peer has reset. For TCP: connected to itself, which needs nobody else, and
 * then disconnected, which is a reset; it did not leave the machine. -1 if it cannot be had. */
static int reset_socket(int like)
{
	struct sockaddr_storage address = {0};
	int domain = AF_INET;
	socklen_t length = sizeof(domain);

	door_getsockopt(like, SOL_SOCKET, SO_DOMAIN, &domain, &length);
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
	/* Where any of it fails, the socket is one that was never connected, which is near enough. */
	if (door_bind(made, &address, length) == 0 && door_getsockname(made, &address, &length) == 0) {
		(void)door_connect(made, &address, length);
		(void)disconnect(made);
	}
	return made;
}

_Static_assert(SOCK_CLOEXEC == O_CLOEXEC, "accept4's flag is dup3's");

/* Puts a dead socket where the daemon expects its connection: neither may it speak to a client that has been answered, nor
 * read, and serve, what that has sent. */
static bool replace(int descriptor, int flags, const struct refusal *refusal)
{
	int dead = reset_socket(descriptor);

	if (dead < 0)
		return false;
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
	if ((refusal->how != REFUSE_RESET || is_unix(descriptor)) && replace(descriptor, flags, refusal))
		return true;
	return disconnect(descriptor) || door_shutdown(descriptor, SHUT_RDWR) == 0;
}
