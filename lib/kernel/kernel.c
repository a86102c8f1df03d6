#include "kernel/kernel.h"

#include "kernel/netlink.h"

#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

/* ---- sock_diag ---- */

#define REQUEST_PROTOCOL 3 /* INET_DIAG_REQ_PROTOCOL, for a protocol above 255 (Linux 5.10) */

struct request {
	struct nlmsghdr header;
	struct inet_diag_req_v2 body;
	struct {
		struct nlattr header;
		uint32_t protocol;
	} further;
};

/* Returns the length of the request. */
static size_t write_request(struct request *request, const struct connection *connection, uint32_t sequence)
{
	memset(request, 0, sizeof(*request));
	request->header.nlmsg_len = offsetof(struct request, further);
	request->header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
	request->header.nlmsg_flags = NLM_F_REQUEST;
	request->header.nlmsg_seq = sequence;
	request->body = netlink_connection(connection);
	if (connection->mptcp == 0)
		return request->header.nlmsg_len;
	request->body.sdiag_protocol = IPPROTO_MPTCP & 0xff;
	request->body.id = (struct inet_diag_sockid){.idiag_cookie = {connection->mptcp}};
	request->further.header.nla_type = REQUEST_PROTOCOL;
	request->further.header.nla_len = sizeof(request->further);
	request->further.protocol = IPPROTO_MPTCP;
	request->header.nlmsg_len = sizeof(*request);
	return sizeof(*request);
}

/* If we have the descriptor, the socket found must be the same one: in the namespace that answers, another may have the same
 * addresses. */
static bool is_itself(const struct connection *connection, const struct inet_diag_msg *message)
{
	if (connection->descriptor == 0)
		return true;
	struct identity identity = kernel_identity(connection->descriptor - 1);
	uint64_t cookie = (uint64_t)message->id.idiag_cookie[1] << 32 | message->id.idiag_cookie[0];
	return identity.cookie != 0 ? identity.cookie == cookie : identity.inode == message->idiag_inode;
}

static void read_message(struct question *question, const struct inet_diag_msg *message)
{
	if (kernel_state_is_held(message->idiag_state, message->idiag_inode)) {
		if (is_itself(&question->connection, message))
			question->answer = ANSWER_OPEN;
		return;
	}
	/* A listener bound to no interface can have connections that are. */
	bool its_own = message->id.idiag_if == question->connection.peer.interface || message->id.idiag_if == 0;
	question->answer = its_own ? ANSWER_REMAINS : ANSWER_GONE;
}

/* Reads the replies in one datagram. */
static void read_replies(const char *buffer, size_t length, struct question *questions, size_t number)
{
	struct netlink_messages replies = {.at = buffer, .left = length};

	while (netlink_next(&replies)) {
		uint32_t sequence = replies.header.nlmsg_seq; /* 0 is never ours */
		struct inet_diag_msg message;

		if (sequence == 0 || sequence > number)
			continue;
		if (netlink_error(&replies) == ENOENT) {
			questions[sequence - 1].answer = ANSWER_GONE;
		} else if (replies.header.nlmsg_type == SOCK_DIAG_BY_FAMILY && replies.length >= sizeof(message)) {
			memcpy(&message, replies.body, sizeof(message));
			read_message(&questions[sequence - 1], &message);
		}
	}
}

/* Whether it can be looked up: by both addresses, or by its MPTCP token. */
static bool is_exact(const struct asking *asking, const struct question *question)
{
	return question->answer == ANSWER_NONE && !connection_is_unix(&question->connection) &&
	       (connection_is_whole(&question->connection) || question->connection.mptcp != 0) &&
	       asking_reaches(asking, &question->connection);
}

static __attribute__((noinline)) size_t send_requests(const struct asking *asking, const struct question *questions,
						      size_t number)
{
	char requests[QUESTIONS_MOST * sizeof(struct request)];
	struct request request;
	size_t bytes = 0;
	size_t asked = 0;

	for (size_t i = 0; i < number; i++)
		if (is_exact(asking, &questions[i])) {
			size_t length = write_request(&request, &questions[i].connection, (uint32_t)i + 1);
			memcpy(requests + bytes, &request, length);
			bytes += length;
			asked++;
		}
	return asked > 0 && netlink_send(asking->netlink - 1, requests, bytes) ? asked : 0;
}

/* A reply is at most 140 bytes, as we ask for no extensions. One that does not fit is ignored. */
enum { REPLY_BYTES = 512 };

/* All replies are queued already. */
static __attribute__((noinline)) bool receive_replies(const struct asking *asking, size_t asked, struct question *questions,
						      size_t number)
{
	_Alignas(struct nlmsghdr) char buffer[REPLY_BYTES];
	bool answered = false;

	for (size_t replies = 0; replies < asked; replies++) {
		ssize_t length = netlink_receive(asking->netlink - 1, buffer, sizeof(buffer));

		if (length < 0)
			break;
		if (length == 0)
			continue;
		read_replies(buffer, (size_t)length, questions, number);
		answered = true;
	}
	return answered;
}

/* ---- both ---- */

static bool any_exact(const struct asking *asking, const struct question *questions, size_t number)
{
	for (size_t i = 0; i < number; i++)
		if (is_exact(asking, &questions[i]))
			return true;
	return false;
}

bool kernel_ask(struct asking *asking, struct question *questions, size_t number)
{
	enum kernel_way found = KERNEL_UNREACHABLE;
	bool unix_answered = true; /* true if there are no such questions */

	if (number > QUESTIONS_MOST)
		number = QUESTIONS_MOST;
	bool reached = kernel_begin(asking);
	for (size_t i = 0; i < number; i++)
		if (connection_is_unix(&questions[i].connection) && questions[i].answer == ANSWER_NONE) {
			unix_answered = kernel_ask_unix(asking, questions, number);
			break;
		}
	if (!any_exact(asking, questions, number))
		return unix_answered;
	size_t asked = reached ? send_requests(asking, questions, number) : 0;
	if (asked > 0 && receive_replies(asking, asked, questions, number))
		found = KERNEL_SOCK_DIAG;
	else if (kernel_ask_proc(asking, questions, number))
		found = KERNEL_PROC;
	kernel_went(found);
	return found != KERNEL_UNREACHABLE;
}
