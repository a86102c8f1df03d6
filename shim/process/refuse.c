/* A reset or a close is the kernel's to deliver. An answer is sent without blocking, which a fresh connection's empty send
 * buffer always has room for, and the connection then lingers until the client has read it (linger.h). */
#include "process/refuse.h"

#include "process/limiter.h"
#include "process/linger.h"
#include "process/real.h"

#include "values/confined.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

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

static bool is_unix(int descriptor)
{
	int domain = 0;
	socklen_t length = sizeof(domain);

	return may_call(SYS_getsockopt, descriptor, SOL_SOCKET, SO_DOMAIN) &&
	       getsockopt(descriptor, SOL_SOCKET, SO_DOMAIN, &domain, &length) == 0 && domain == AF_UNIX;
}

static bool send_text(int descriptor, const char *text, size_t length)
{
	return send(descriptor, text, length, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)length;
}

static bool answer(int descriptor, const struct refusal *refusal)
{
	char text[REFUSE_TEXT_MOST + 1];
	bool sent;

	if (refusal->how == REFUSE_HTTP) {
		sent = send_text(descriptor, http_answer, sizeof(http_answer) - 1);
	} else {
		limits_refuse_text(limiter_table(), text);
		sent = send_text(descriptor, text, strlen(text));
	}
	return sent && shutdown(descriptor, SHUT_WR) == 0;
}

static bool answers(const struct refusal *refusal)
{
	return (refusal->how == REFUSE_HTTP || refusal->how == REFUSE_TEXT) &&
	       MAY_CALL_EACH(SYS_sendto, SYS_recvfrom, SYS_shutdown, SYS_fcntl) && MAY_CALL_FSTAT;
}

void refuse(int descriptor, const struct refusal *refusal)
{
	if (answers(refusal) && answer(descriptor, refusal)) {
		linger(descriptor);
		return;
	}
	if (refusal->how != REFUSE_CLOSE)
		linger_none(descriptor);
	REAL(close)(descriptor);
}

/* unix(7): a peer that closes with something unread is a reset. */
static int reset_unix_socket(void)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0)
		return -1;
	send_text(pair[0], "", 1);
	REAL(close)(pair[1]);
	return pair[0];
}

/* A socket that is in the state of one which its peer has reset. For TCP: connected to itself, which needs nobody else, and
 * then disconnected, which is a reset; it did not leave the machine. -1 if it cannot be had. */
static int reset_socket(int like)
{
	struct sockaddr_storage address = {0};
	struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
	socklen_t length = sizeof(address);
	int domain = AF_INET;
	socklen_t domain_length = sizeof(domain);

	getsockopt(like, SOL_SOCKET, SO_DOMAIN, &domain, &domain_length);
	if (domain == AF_UNIX)
		return reset_unix_socket();
	int made = socket(domain, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
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
	if (bind(made, (struct sockaddr *)&address, length) == 0 &&
	    getsockname(made, (struct sockaddr *)&address, &length) == 0) {
		(void)connect(made, (struct sockaddr *)&address, length);
		(void)connect(made, &nowhere, sizeof(nowhere));
	}
	return made;
}

static void copy_flags(int to, int from)
{
	int status = REAL(fcntl)(from, F_GETFL);

	if (status >= 0)
		REAL(fcntl)(to, F_SETFL, status);
}

static bool may_replace(void)
{
	return MAY_CALL_EACH(SYS_socket, SYS_socketpair, SYS_sendto, SYS_bind, SYS_getsockname, SYS_connect, SYS_fcntl,
			     SYS_dup3, SYS_getsockopt);
}

/* Refuses a copy, and puts a dead socket where the daemon expects its connection. */
static bool refuse_copy(int descriptor, const struct refusal *refusal)
{
	int close_on_exec = REAL(fcntl)(descriptor, F_GETFD);
	int dead = reset_socket(descriptor);
	int copy = dead >= 0 ? REAL(fcntl)(descriptor, F_DUPFD_CLOEXEC, 0) : -1;
	bool done = false;

	if (copy >= 0) {
		copy_flags(dead, descriptor);
		/* Neither may the daemon speak to a client that has been answered, nor read, and serve, what that has sent. */
		if (REAL(dup3)(dead, descriptor, (close_on_exec & FD_CLOEXEC) != 0 ? O_CLOEXEC : 0) == descriptor) {
			refuse(copy, refusal);
			done = true;
		} else {
			REAL(close)(copy);
		}
	}
	if (dead >= 0)
		REAL(close)(dead);
	return done;
}

bool refuse_in_place(int descriptor, const struct refusal *refusal)
{
	struct sockaddr nowhere = {.sa_family = AF_UNSPEC};

	if ((refusal->how != REFUSE_RESET || is_unix(descriptor)) && may_replace() && refuse_copy(descriptor, refusal))
		return true;
	/* connect(2): AF_UNSPEC dissolves the association, which for TCP is a reset. A read gives ECONNRESET, as after the
	 * client's own. */
	linger_none(descriptor);
	if (may_call(SYS_connect, descriptor, 0, sizeof(nowhere)) && connect(descriptor, &nowhere, sizeof(nowhere)) == 0)
		return true;
	if (may_call(SYS_shutdown, descriptor, SHUT_RDWR, 0)) {
		shutdown(descriptor, SHUT_RDWR);
		return true;
	}
	REAL(close)(descriptor);
	return false;
}
