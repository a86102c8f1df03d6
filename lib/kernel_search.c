/* Connections whose local address is not known, sought among all that the kernel has. */
#include "kernel.h"

#include "confined.h"

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

struct search {
	struct question *questions;
	uint32_t *order; /* of what is sought, and of what is found, by peer */
	size_t listed;
	const struct connection *proof;
	bool proven;
	bool any_port;
};

static int compare_ends(const struct endpoint *a, const struct endpoint *b)
{
	int difference = memcmp(&a->address, &b->address, sizeof(a->address));

	return difference != 0 ? difference : (int)a->port - (int)b->port;
}

static bool comes_before(const struct search *search, uint32_t a, uint32_t b)
{
	return compare_ends(&search->questions[a].connection.peer, &search->questions[b].connection.peer) < 0;
}

static void sift(const struct search *search, size_t root, size_t end)
{
	uint32_t *order = search->order;

	for (size_t child; (child = 2 * root + 1) < end; root = child) {
		if (child + 1 < end && comes_before(search, order[child], order[child + 1]))
			child++;
		if (!comes_before(search, order[root], order[child]))
			return;
		uint32_t moved = order[root];
		order[root] = order[child];
		order[child] = moved;
	}
}

/* By heap: in a signal handler qsort(3) might allocate. */
static void sort_by_peer(const struct search *search)
{
	for (size_t root = search->listed / 2; root-- > 0;)
		sift(search, root, search->listed);
	for (size_t end = search->listed; end-- > 1;) {
		uint32_t last = search->order[0];
		search->order[0] = search->order[end];
		search->order[end] = last;
		sift(search, 0, end);
	}
}

/* The first that is listed of this peer, or where it would be. */
static size_t first_from(const struct search *search, const struct endpoint *peer)
{
	size_t low = 0;
	size_t high = search->listed;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare_ends(&search->questions[search->order[middle]].connection.peer, peer) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool is_sought(const struct question *question)
{
	return question->answer == ANSWER_NONE && connection_lacks_address(&question->connection);
}

/* The kernel has this one. It answers one question: a client can have the same port at two of our addresses. */
static void see(const struct connection *found, void *with)
{
	struct search *search = with;
	struct question *fits = NULL;

	if (search->proof != NULL && compare_ends(&search->proof->peer, &found->peer) == 0 &&
	    compare_ends(&search->proof->local, &found->local) == 0) {
		search->proven = true;
		return;
	}
	for (size_t i = first_from(search, &found->peer); i < search->listed; i++) {
		struct question *question = &search->questions[search->order[i]];
		const struct connection *connection = &question->connection;

		if (compare_ends(&connection->peer, &found->peer) != 0)
			break;
		if (connection->peer.interface != 0 && found->peer.interface != 0 &&
		    connection->peer.interface != found->peer.interface)
			continue;
		if (question->answer == ANSWER_OPEN && compare_ends(&connection->local, &found->local) == 0)
			return; /* it is known whose this is */
		if (is_sought(question) && (search->any_port || connection->local.port == found->local.port))
			fits = question;
	}
	if (fits == NULL)
		return;
	fits->answer = ANSWER_OPEN;
	fits->connection.local.address = found->local.address;
	fits->connection.local.port = found->local.port;
}

/* ---- by sock_diag ---- */

static struct endpoint end_of(const struct inet_diag_msg *message, const __be32 *address, __be16 port)
{
	struct endpoint end = {.address.bytes = {[10] = 0xff, [11] = 0xff}, .port = ntohs(port)};

	if (message->idiag_family == AF_INET) {
		memcpy(end.address.bytes + 12, address, 4);
	} else {
		memcpy(end.address.bytes, address, 16);
		end.interface = message->id.idiag_if;
	}
	return end;
}

enum heard { HEARD_SOME, HEARD_ALL, HEARD_WRONG };

static enum heard read_replies(struct search *search, const char *buffer, size_t length)
{
	while (length >= sizeof(struct nlmsghdr)) {
		struct inet_diag_msg message;
		struct nlmsghdr header;

		memcpy(&header, buffer, sizeof(header));
		if (header.nlmsg_type == NLMSG_DONE)
			return HEARD_ALL;
		if (header.nlmsg_len < NLMSG_LENGTH(sizeof(message)) || header.nlmsg_len > length ||
		    header.nlmsg_type != SOCK_DIAG_BY_FAMILY)
			return HEARD_WRONG;
		memcpy(&message, buffer + NLMSG_HDRLEN, sizeof(message));
		if (kernel_state_is_held(message.idiag_state, message.idiag_inode)) {
			struct connection found = {
			    .peer = end_of(&message, message.id.idiag_dst, message.id.idiag_dport),
			    .local = end_of(&message, message.id.idiag_src, message.id.idiag_sport),
			};
			see(&found, search);
		}
		size_t step = NLMSG_ALIGN(header.nlmsg_len);
		if (step >= length)
			break;
		buffer += step;
		length -= step;
	}
	return HEARD_SOME;
}

/* The port that all of it has, in network order; 0 if they differ. */
static __be16 common_port(const struct search *search)
{
	uint16_t port = search->questions[search->order[0]].connection.local.port;

	for (size_t i = 1; i < search->listed; i++)
		if (search->questions[search->order[i]].connection.local.port != port)
			return 0;
	if (search->any_port || (search->proof != NULL && search->proof->local.port != port))
		return 0;
	return htons(port);
}

/* Room for one datagram of replies, which the kernel makes no larger than what it is read with (netlink_dump). Where it does
 * all the same, as pages are larger, that is no answer. This may be a thread with the least stack that there is. */
enum { DATAGRAM = 4096 };

static __attribute__((noinline)) bool dump(struct search *search, int descriptor, int family)
{
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	_Alignas(struct nlmsghdr) char buffer[DATAGRAM];
	struct {
		struct nlmsghdr header;
		struct inet_diag_req_v2 body;
	} request = {
	    .header = {.nlmsg_len = sizeof(request),
		       .nlmsg_type = SOCK_DIAG_BY_FAMILY,
		       .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
	    .body = {.sdiag_family = (unsigned char)family,
		     .sdiag_protocol = IPPROTO_TCP,
		     .idiag_states = ~(1U << TCP_LISTEN | 1U << TCP_TIME_WAIT | 1U << TCP_CLOSE),
		     .id.idiag_sport = common_port(search)},
	};

	if (sendto(descriptor, &request, sizeof(request), MSG_DONTWAIT, (struct sockaddr *)&kernel, sizeof(kernel)) !=
	    (ssize_t)sizeof(request))
		return false;
	for (;;) {
		struct sockaddr_nl from = {0};
		socklen_t from_length = sizeof(from);
		/* What comes next is made when this is read, so there is never anything to wait for. */
		ssize_t length = recvfrom(descriptor, buffer, sizeof(buffer), MSG_DONTWAIT | MSG_TRUNC,
					  (struct sockaddr *)&from, &from_length);

		if (length <= 0 || (size_t)length > sizeof(buffer))
			return false;
		if (from_length != sizeof(from) || from.nl_pid != 0)
			continue;
		enum heard heard = read_replies(search, buffer, (size_t)length);
		if (heard != HEARD_SOME)
			return heard == HEARD_ALL;
	}
}

static bool any_sought(const struct search *search, bool ipv4)
{
	for (size_t i = 0; i < search->listed; i++) {
		const struct question *question = &search->questions[search->order[i]];

		if (is_sought(question) && address_is_ipv4(&question->connection.peer.address) == ipv4)
			return true;
	}
	return false;
}

static bool any_unanswered(const struct search *search)
{
	for (size_t i = 0; i < search->listed; i++)
		if (is_sought(&search->questions[search->order[i]]))
			return true;
	return false;
}

static bool is_done(const struct search *search)
{
	return !any_unanswered(search) && (search->proof == NULL || search->proven);
}

/* An IPv4 client of an IPv6 socket is listed among that family's: these are only gone over if something is not found yet. */
static bool by_sock_diag(struct search *search)
{
	if (!may_call(SYS_socket, AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG) ||
	    !MAY_CALL_EACH(SYS_sendto, SYS_recvfrom, SYS_close))
		return false;
	int descriptor = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);
	if (descriptor < 0)
		return false;
	bool all = !any_sought(search, true) || dump(search, descriptor, AF_INET);
	if (all && !is_done(search))
		all = dump(search, descriptor, AF_INET6);
	close(descriptor);
	return all;
}

/* ---- by /proc ---- */

static bool by_proc(struct search *search)
{
	bool ipv4 = kernel_proc_each(false, see, search);
	bool ipv6 = kernel_proc_each(true, see, search);

	return (ipv4 || !any_sought(search, true)) && (ipv6 || !any_sought(search, false));
}

/* ---- both ---- */

static bool look_through(struct search *search)
{
	enum { PASSES = 2 };

	/* Neither is a snapshot: one may be left out while others come and go beside it. What is not seen twice is gone. */
	for (int pass = 0; pass < PASSES && !is_done(search); pass++)
		if (!by_sock_diag(search) && !by_proc(search))
			return false;
	return search->proof == NULL || search->proven;
}

bool kernel_search(struct question *questions, size_t number, const struct connection *proof, bool any_port, uint32_t *order)
{
	struct search search = {.questions = questions, .order = order, .proof = proof, .any_port = any_port};
	int cancellable = 0;

	for (size_t i = 0; i < number; i++)
		if (is_sought(&questions[i]) ||
		    (questions[i].answer == ANSWER_OPEN && connection_is_whole(&questions[i].connection)))
			order[search.listed++] = (uint32_t)i;
	if (!any_unanswered(&search))
		return true;
	sort_by_peer(&search);
	/* As in kernel_ask: it has cancellation points. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancellable);
	bool all = look_through(&search);
	pthread_setcancelstate(cancellable, NULL);
	for (size_t i = 0; i < search.listed && all; i++)
		if (is_sought(&questions[order[i]]))
			questions[order[i]].answer = ANSWER_GONE;
	return all;
}
