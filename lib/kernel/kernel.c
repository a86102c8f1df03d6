#include "kernel/kernel.h"

#include "values/door.h"

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>

static _Atomic int way;

enum kernel_way kernel_way(void)
{
	return (enum kernel_way)atomic_load_explicit(&way, memory_order_relaxed);
}

/* TCP_LISTEN is what an exact lookup falls back to when only the listener is there (inet_lookup). */
bool kernel_state_is_held(unsigned state, uint32_t inode)
{
	return inode != 0 && state != TCP_LISTEN && state != TCP_TIME_WAIT && state != TCP_CLOSE;
}

/* ---- sock_diag ---- */

int kernel_diag_socket(void)
{
	return door_socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);
}

struct request {
	struct nlmsghdr header;
	struct inet_diag_req_v2 body;
};

static void address_to_diag(__be32 *words, const struct address *address)
{
	if (address_is_ipv4(address))
		memcpy(words, address->bytes + 12, 4);
	else
		memcpy(words, address->bytes, 16);
}

static void write_request(struct request *request, const struct connection *connection, uint32_t sequence)
{
	bool ipv4 = address_is_ipv4(&connection->peer.address);

	memset(request, 0, sizeof(*request));
	request->header.nlmsg_len = sizeof(*request);
	request->header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
	request->header.nlmsg_flags = NLM_F_REQUEST;
	request->header.nlmsg_seq = sequence;
	/* Connections of an IPv6 socket with an IPv4 peer are found as IPv4: the kernel keeps both addresses of such a socket.
	 */
	request->body.sdiag_family = ipv4 ? AF_INET : AF_INET6;
	request->body.sdiag_protocol = IPPROTO_TCP;
	request->body.idiag_states = ~0U;
	request->body.id.idiag_sport = htons(connection->local.port);
	request->body.id.idiag_dport = htons(connection->peer.port);
	address_to_diag(request->body.id.idiag_src, &connection->local.address);
	address_to_diag(request->body.id.idiag_dst, &connection->peer.address);
	request->body.id.idiag_if = connection->peer.interface;
	request->body.id.idiag_cookie[0] = INET_DIAG_NOCOOKIE;
	request->body.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
}

/* Reads the replies in one datagram. */
static void read_replies(const char *buffer, size_t length, struct question *questions, size_t number)
{
	while (length >= sizeof(struct nlmsghdr)) {
		struct nlmsghdr header;

		memcpy(&header, buffer, sizeof(header));
		if (header.nlmsg_len < sizeof(header) || header.nlmsg_len > length)
			return;
		/* Sequence 0 is never ours. */
		if (header.nlmsg_seq != 0 && header.nlmsg_seq <= number) {
			struct question *question = &questions[header.nlmsg_seq - 1];
			const char *body = buffer + NLMSG_HDRLEN;
			size_t left = header.nlmsg_len - sizeof(header);

			if (header.nlmsg_type == NLMSG_ERROR && left >= sizeof(struct nlmsgerr)) {
				struct nlmsgerr error;
				memcpy(&error, body, sizeof(error));
				if (error.error == -ENOENT)
					question->answer = ANSWER_GONE;
			} else if (header.nlmsg_type == SOCK_DIAG_BY_FAMILY && left >= sizeof(struct inet_diag_msg)) {
				struct inet_diag_msg message;
				memcpy(&message, body, sizeof(message));
				question->answer =
				    kernel_state_is_held(message.idiag_state, message.idiag_inode) ? ANSWER_OPEN : ANSWER_GONE;
			}
		}
		size_t step = NLMSG_ALIGN(header.nlmsg_len);
		if (step >= length)
			return;
		buffer += step;
		length -= step;
	}
}

/* One that is to be asked about by its addresses: of what is not whole, nothing is said. */
static bool is_exact(const struct question *question)
{
	return question->answer == ANSWER_NONE && !connection_is_unix(&question->connection) &&
	       connection_is_whole(&question->connection);
}

/* Few at a time, and room for a short reply: this may be a thread with the least stack that there is (PTHREAD_STACK_MIN). */
enum { ASKED_AT_ONCE = 16, REPLY_BYTES = 1024 };

static bool ask_some(int descriptor, const struct request *requests, size_t asked, struct question *questions, size_t number)
{
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	_Alignas(struct nlmsghdr) char buffer[REPLY_BYTES];
	size_t bytes = asked * sizeof(requests[0]);
	bool answered = false;

	/* The kernel answers within sendto: every reply is in our queue when it returns. */
	if (door_sendto(descriptor, requests, bytes, MSG_DONTWAIT, &kernel, sizeof(kernel)) != (ssize_t)bytes)
		return false;
	for (size_t replies = 0; replies < asked; replies++) {
		struct sockaddr_nl from = {0};
		socklen_t from_length = sizeof(from);
		ssize_t length = door_recvfrom(descriptor, buffer, sizeof(buffer), MSG_DONTWAIT, &from, &from_length);
		if (length <= 0)
			break;
		if (from_length != sizeof(from) || from.nl_pid != 0)
			continue;
		read_replies(buffer, (size_t)length, questions, number);
		answered = true;
	}
	return answered;
}

static __attribute__((noinline)) bool ask_sock_diag(struct question *questions, size_t number)
{
	struct request requests[ASKED_AT_ONCE];
	bool answered = false;
	bool more = true;
	size_t asked = 0;

	int descriptor = kernel_diag_socket();
	if (descriptor < 0)
		return false;
	for (size_t i = 0; more && i < number; i++) {
		if (is_exact(&questions[i]))
			write_request(&requests[asked++], &questions[i].connection, (uint32_t)i + 1);
		if (asked == ASKED_AT_ONCE || (asked > 0 && i + 1 == number)) {
			more = ask_some(descriptor, requests, asked, questions, number);
			answered |= more;
			asked = 0;
		}
	}
	door_close(descriptor);
	return answered;
}

/* ---- /proc/net/tcp ---- */

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static const char *read_hex(const char *at, const char *end, unsigned digits, uint32_t *value)
{
	*value = 0;
	for (unsigned i = 0; i < digits; i++, at++) {
		if (at >= end || hex_digit(*at) < 0)
			return NULL;
		*value = *value << 4 | (uint32_t)hex_digit(*at);
	}
	return at;
}

/* "0100007F:1F90" or four such words before the colon; each word is in host order as the kernel printed it. */
static const char *read_endpoint(const char *at, const char *end, bool ipv6, struct endpoint *endpoint)
{
	static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
	uint32_t word;
	uint32_t port;

	memset(endpoint, 0, sizeof(*endpoint));
	if (!ipv6)
		memcpy(endpoint->address.bytes, mapped, sizeof(mapped));
	for (unsigned i = ipv6 ? 0 : 12; i < 16; i += 4) {
		at = read_hex(at, end, 8, &word);
		if (at == NULL)
			return NULL;
		memcpy(endpoint->address.bytes + i, &word, 4);
	}
	if (at >= end || *at++ != ':')
		return NULL;
	at = read_hex(at, end, 4, &port);
	endpoint->port = (uint16_t)port;
	return at;
}

/* Past spaces, and then past so many fields with the spaces behind them. */
static const char *skip_fields(const char *at, const char *end, unsigned fields)
{
	while (at < end && *at == ' ')
		at++;
	while (fields-- > 0) {
		while (at < end && *at != ' ')
			at++;
		while (at < end && *at == ' ')
			at++;
	}
	return at;
}

/* proc_pid_net(5): sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode. False if it is not a connection
 * that a process holds. */
static bool read_proc_line(const char *line, const char *end, bool ipv6, struct connection *found)
{
	uint32_t state;
	uint32_t inode = 0;
	const char *at = skip_fields(line, end, 1);

	*found = (struct connection){0};
	if ((at = read_endpoint(at, end, ipv6, &found->local)) == NULL)
		return false;
	at = skip_fields(at, end, 0);
	if ((at = read_endpoint(at, end, ipv6, &found->peer)) == NULL)
		return false;
	at = skip_fields(at, end, 0);
	if ((at = read_hex(at, end, 2, &state)) == NULL)
		return false;
	at = skip_fields(at, end, 5);
	for (; at < end && *at >= '0' && *at <= '9'; at++)
		inode = inode * 10 + (uint32_t)(*at - '0');
	return kernel_state_is_held(state, inode);
}

static __attribute__((noinline)) bool read_proc(const char *path, bool ipv6,
						void (*visit)(const struct connection *found, void *with), void *with)
{
	struct connection found;
	char buffer[4096];
	size_t filled = 0;
	bool header = true;

	int descriptor = door_open(path, O_RDONLY | O_CLOEXEC);
	if (descriptor < 0)
		return false;
	for (;;) {
		ssize_t length = door_read(descriptor, buffer + filled, sizeof(buffer) - filled);
		if (length <= 0)
			break;
		filled += (size_t)length;
		const char *line = buffer;
		const char *end;
		while ((end = memchr(line, '\n', filled - (size_t)(line - buffer))) != NULL) {
			if (!header && read_proc_line(line, end, ipv6, &found))
				visit(&found, with);
			header = false;
			line = end + 1;
		}
		filled -= (size_t)(line - buffer);
		memmove(buffer, line, filled);
		if (filled == sizeof(buffer))
			break; /* no line is this long: not the file that we know */
	}
	door_close(descriptor);
	return !header;
}

bool kernel_proc_each(bool ipv6, void (*visit)(const struct connection *found, void *with), void *with)
{
	return read_proc(ipv6 ? "/proc/self/net/tcp6" : "/proc/self/net/tcp", ipv6, visit, with);
}

struct answers {
	struct question *questions;
	size_t number;
};

static void answer(const struct connection *found, void *with)
{
	const struct answers *answers = with;

	for (size_t i = 0; i < answers->number; i++) {
		struct question *question = &answers->questions[i];
		if (is_exact(question) && endpoint_same(&question->connection.local, &found->local) &&
		    endpoint_same(&question->connection.peer, &found->peer))
			question->answer = ANSWER_OPEN;
	}
}

static bool any_unanswered(const struct question *questions, size_t number)
{
	for (size_t i = 0; i < number; i++)
		if (is_exact(&questions[i]))
			return true;
	return false;
}

/* The files are no snapshot: a connection may be left out while others come and go beside it. What is not seen twice is gone.
 */
static bool ask_proc(struct question *questions, size_t number)
{
	enum { PASSES = 2 };
	struct answers answers = {questions, number};
	bool ipv4 = true;
	bool ipv6 = true;

	for (int pass = 0; pass < PASSES && any_unanswered(questions, number); pass++) {
		ipv4 = kernel_proc_each(false, answer, &answers);
		ipv6 = kernel_proc_each(true, answer, &answers);

		if (!ipv4 && !ipv6)
			return false;
	}
	for (size_t i = 0; i < number; i++) {
		if (is_exact(&questions[i]) && (address_is_ipv4(&questions[i].connection.peer.address) ? ipv4 : ipv6))
			questions[i].answer = ANSWER_GONE;
	}
	return true;
}

bool kernel_ask(struct question *questions, size_t number)
{
	enum kernel_way found = KERNEL_UNREACHABLE;
	size_t unix_sockets = 0;
	size_t internet = 0;
	bool unix_answered = false;

	if (number > QUESTIONS_MOST)
		number = QUESTIONS_MOST;
	for (size_t i = 0; i < number; i++) {
		unix_sockets += connection_is_unix(&questions[i].connection) ? 1 : 0;
		internet += is_exact(&questions[i]) ? 1 : 0;
	}
	if (unix_sockets > 0)
		unix_answered = kernel_ask_unix(questions, number);
	if (internet == 0)
		return unix_answered;
	if (ask_sock_diag(questions, number))
		found = KERNEL_SOCK_DIAG;
	else if (ask_proc(questions, number))
		found = KERNEL_PROC;
	atomic_store_explicit(&way, found, memory_order_relaxed);
	return found != KERNEL_UNREACHABLE;
}
