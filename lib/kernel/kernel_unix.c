/* Asking about Unix connections: by the socket's inode, through unix_diag of sock_diag(7).
 *
 * An accepted socket belongs to the network namespace of the client that connected, and unix_diag only shows sockets of its own
 * namespace. So each record has its namespace's cookie (socket(7), SO_NETNS_COOKIE, Linux 5.14), and we only ask about those in
 * ours. A kernel without unix_diag answers "not found" to everything. So the same message asks about a socket of our own, and
 * if that is not found, no answer counts. */
#include "kernel/kernel.h"

#include "kernel/netlink.h"

#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

struct request {
	struct nlmsghdr header;
	struct unix_diag_req body;
};

/* The sequence number is the question's index + 1, or this for our own socket. */
enum { OWN = QUESTIONS_MOST + 1 };

bool kernel_unix_identity(int descriptor, uint64_t *inode, uint64_t *cookie)
{
	struct stat facts;

	if (door_fstat(descriptor, &facts) != 0)
		return false;
	*inode = facts.st_ino;
	if (!door_option(descriptor, SOL_SOCKET, SO_NETNS_COOKIE, cookie, sizeof(*cookie)))
		*cookie = 0;
	return true;
}

bool kernel_unix_connection(struct connection *connection, int descriptor)
{
	struct ucred user;
	uint64_t inode;
	uint64_t cookie;

	if (!door_option(descriptor, SOL_SOCKET, SO_PEERCRED, &user, sizeof(user)) || user.uid == (uid_t)-1 ||
	    !kernel_unix_identity(descriptor, &inode, &cookie))
		return false;
	*connection = connection_of_unix(user.uid, inode, cookie);
	return true;
}

static void write_request(struct request *request, uint64_t inode, uint32_t sequence)
{
	memset(request, 0, sizeof(*request));
	request->header.nlmsg_len = sizeof(*request);
	request->header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
	request->header.nlmsg_flags = NLM_F_REQUEST;
	request->header.nlmsg_seq = sequence;
	request->body.sdiag_family = AF_UNIX;
	request->body.udiag_states = ~0U;
	request->body.udiag_ino = (uint32_t)inode;
	request->body.udiag_cookie[0] = ~0U;
	request->body.udiag_cookie[1] = ~0U;
}

/* Reads one reply: its sequence number, and whether the socket exists. False if it says neither. */
static bool read_reply(const char *buffer, size_t length, uint32_t *sequence, enum answer *answer)
{
	struct netlink_messages reply = {.at = buffer, .left = length};

	if (!netlink_next(&reply))
		return false;
	*sequence = reply.header.nlmsg_seq;
	*answer = reply.header.nlmsg_type == SOCK_DIAG_BY_FAMILY ? ANSWER_OPEN : ANSWER_GONE;
	return *answer == ANSWER_OPEN || netlink_error(&reply) == ENOENT;
}

static __attribute__((noinline)) bool ask(int netlink, const struct request *requests, size_t number, enum answer *answers)
{
	_Alignas(struct nlmsghdr) char buffer[256];

	if (!netlink_send(netlink, requests, number * sizeof(*requests)))
		return false;
	for (size_t replies = 0; replies < number; replies++) {
		uint32_t sequence;
		enum answer answer;
		ssize_t length = netlink_receive(netlink, buffer, sizeof(buffer));

		if (length < 0)
			break;
		if (read_reply(buffer, (size_t)length, &sequence, &answer) && sequence <= OWN)
			answers[sequence] = answer;
	}
	return answers[OWN] == ANSWER_OPEN;
}

/* The socket's inode and the cookie of its namespace. */
static void read_place(uint64_t place[2], const struct question *question)
{
	memcpy(place, question->connection.local.address.bytes, 2 * sizeof(*place));
}

/* Whether a question is in a namespace that can answer, as far as that is known without a socket of our own. */
static bool any_near(const struct asking *asking, const struct question *questions, size_t number)
{
	uint64_t place[2];

	for (size_t i = 0; i < number && i < QUESTIONS_MOST; i++) {
		read_place(place, &questions[i]);
		if (connection_is_unix(&questions[i].connection) && questions[i].answer == ANSWER_NONE &&
		    kernel_network_of(place[1]) == asking->network)
			return true;
	}
	return false;
}

__attribute__((noinline)) bool kernel_ask_unix(struct asking *asking, struct question *questions, size_t number)
{
	struct request requests[QUESTIONS_MOST + 1];
	enum answer answers[OWN + 1] = {ANSWER_NONE};
	uint64_t own_inode;
	uint64_t own_cookie;
	uint64_t place[2];
	size_t asked = 0;
	bool believed = false;

	if (!kernel_begin(asking) || asking->network == 0)
		return false;
	if (!any_near(asking, questions, number))
		return true;
	int own = door_socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (own >= 0 && kernel_unix_identity(own, &own_inode, &own_cookie) && own_cookie != 0) {
		for (size_t i = 0; i < number && i < QUESTIONS_MOST; i++) {
			read_place(place, &questions[i]);
			if (connection_is_unix(&questions[i].connection) && questions[i].answer == ANSWER_NONE &&
			    place[1] == own_cookie)
				write_request(&requests[asked++], place[0], (uint32_t)i + 1);
		}
		write_request(&requests[asked++], own_inode, OWN);
		believed = ask(asking->netlink - 1, requests, asked, answers);
	}
	if (own >= 0)
		door_close(own);
	for (size_t i = 0; believed && i < number && i < QUESTIONS_MOST; i++)
		if (connection_is_unix(&questions[i].connection) && questions[i].answer == ANSWER_NONE)
			questions[i].answer = answers[i + 1];
	return believed;
}
