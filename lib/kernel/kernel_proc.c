/* The kernel's TCP sockets as /proc shows them, for where netlink is forbidden. /proc does not show the interface that a socket
 * is bound to, and of an MPTCP connection only its subflows. */
#include "kernel/kernel.h"

#include "values/door.h"
#include "values/text.h"

#include <netinet/tcp.h>
#include <string.h>

static const char *read_hex(const char *at, const char *end, unsigned digits, uint32_t *value)
{
	*value = 0;
	for (unsigned i = 0; i < digits; i++, at++) {
		if (at >= end || text_hex_digit(*at) < 0)
			return NULL;
		*value = *value << 4 | (uint32_t)text_hex_digit(*at);
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

/* Skips spaces, then the given number of fields with the spaces after them. */
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

/* proc_pid_net(5): sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode. False if it is not such a line. */
static bool read_proc_line(const char *line, const char *end, bool ipv6, struct listed_socket *found)
{
	uint32_t state;
	const char *at = skip_fields(line, end, 1);

	*found = (struct listed_socket){.family = ipv6 ? AF_INET6 : AF_INET};
	if ((at = read_endpoint(at, end, ipv6, &found->local)) == NULL)
		return false;
	at = skip_fields(at, end, 0);
	if ((at = read_endpoint(at, end, ipv6, &found->peer)) == NULL)
		return false;
	at = skip_fields(at, end, 0);
	if ((at = read_hex(at, end, 2, &state)) == NULL)
		return false;
	found->state = state;
	at = skip_fields(at, end, 5);
	for (; at < end && *at >= '0' && *at <= '9'; at++)
		found->identity.inode = found->identity.inode * 10 + (uint32_t)(*at - '0');
	return true;
}

static __attribute__((noinline)) bool read_proc(const char *path, bool ipv6, visit_socket *visit, void *with)
{
	enum { ROOM = 4096 };
	struct listed_socket found;
	size_t filled = 0;
	bool header = true;
	bool wanted = true;

	/* The thread may have the smallest possible stack. */
	char *buffer = door_mmap(NULL, ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	int descriptor = buffer != MAP_FAILED ? door_open(path, O_RDONLY | O_CLOEXEC) : -1;
	if (descriptor < 0) {
		if (buffer != MAP_FAILED)
			door_munmap(buffer, ROOM);
		return false;
	}
	while (wanted) {
		ssize_t length = door_read(descriptor, buffer + filled, ROOM - filled);
		if (length <= 0)
			break;
		filled += (size_t)length;
		const char *line = buffer;
		const char *end;
		while (wanted && (end = memchr(line, '\n', filled - (size_t)(line - buffer))) != NULL) {
			if (!header && read_proc_line(line, end, ipv6, &found))
				wanted = visit(&found, with);
			header = false;
			line = end + 1;
		}
		filled -= (size_t)(line - buffer);
		memmove(buffer, line, filled);
		if (filled == ROOM)
			break; /* no line is that long, so this is not the file that we know */
	}
	door_close(descriptor);
	door_munmap(buffer, ROOM);
	return !header;
}

/* thread-self: a thread may be in another network namespace than its process (setns(2)). */
bool kernel_proc_each(bool ipv6, visit_socket *visit, void *with)
{
	return read_proc(ipv6 ? "/proc/thread-self/net/tcp6" : "/proc/thread-self/net/tcp", ipv6, visit, with);
}

struct answers {
	const struct asking *asking;
	struct question *questions;
	size_t number;
};

static bool is_asked(const struct answers *answers, const struct question *question)
{
	return question->answer == ANSWER_NONE && !connection_is_unix(&question->connection) &&
	       connection_is_whole(&question->connection) && asking_reaches(answers->asking, &question->connection);
}

static bool answer(const struct listed_socket *found, void *with)
{
	const struct answers *answers = with;

	if (!kernel_state_is_held(found->state, found->identity.inode))
		return true;
	for (size_t i = 0; i < answers->number; i++) {
		struct question *question = &answers->questions[i];
		const struct connection *connection = &question->connection;

		if (is_asked(answers, question) && endpoint_same(&connection->local, &found->local) &&
		    endpoint_same(&connection->peer, &found->peer) &&
		    (connection->descriptor == 0 || kernel_identity(connection->descriptor - 1).inode == found->identity.inode))
			question->answer = ANSWER_OPEN;
	}
	return true;
}

static bool any_asked(const struct answers *answers)
{
	for (size_t i = 0; i < answers->number; i++)
		if (is_asked(answers, &answers->questions[i]))
			return true;
	return false;
}

/* The files are not a snapshot: a connection may be missed while others come and go. What is missed twice is gone. */
bool kernel_ask_proc(struct asking *asking, struct question *questions, size_t number)
{
	enum { PASSES = 2 };
	struct answers answers = {asking, questions, number};
	bool ipv4 = true;
	bool ipv6 = true;

	for (int pass = 0; pass < PASSES && any_asked(&answers); pass++) {
		ipv4 = kernel_proc_each(false, answer, &answers);
		ipv6 = kernel_proc_each(true, answer, &answers);

		if (!ipv4 && !ipv6)
			return false;
	}
	/* A connection whose descriptor we have is open, whether or not it was found. */
	for (size_t i = 0; i < number; i++) {
		const struct connection *connection = &questions[i].connection;

		if (is_asked(&answers, &questions[i]) && connection->mptcp == 0 && connection->descriptor == 0 &&
		    (address_is_ipv4(&connection->peer.address) ? ipv4 : ipv6))
			questions[i].answer = ANSWER_GONE;
	}
	return true;
}

uint32_t kernel_sockets(void)
{
	static const char word[] = " alloc ";
	char text[512];
	uint32_t number = 0;

	int descriptor = door_open("/proc/net/sockstat", O_RDONLY | O_CLOEXEC);
	if (descriptor < 0)
		return UINT32_MAX;
	ssize_t length = door_read(descriptor, text, sizeof(text));
	door_close(descriptor);
	const char *end = text + (length > 0 ? length : 0);
	const char *at = memmem(text, (size_t)(end - text), word, sizeof(word) - 1);
	if (at == NULL)
		return UINT32_MAX;
	for (at += sizeof(word) - 1; at < end && *at >= '0' && *at <= '9' && number < UINT32_MAX / 10; at++)
		number = number * 10 + (uint32_t)(*at - '0');
	return number;
}
