/* Connections whose local address is not known, sought among all that the kernel has. */
#include "kernel/kernel.h"

#include "values/heap.h"

#include <linux/netlink.h>
#include <netinet/tcp.h>
#include <string.h>

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

static bool before(const void *items, size_t a, size_t b)
{
	const struct search *search = items;

	return compare_ends(&search->questions[search->order[a]].connection.peer,
			    &search->questions[search->order[b]].connection.peer) < 0;
}

static void swap(void *items, size_t a, size_t b)
{
	uint32_t *order = ((struct search *)items)->order;
	uint32_t moved = order[a];

	order[a] = order[b];
	order[b] = moved;
}

/* In a signal handler qsort(3) might allocate. */
static void sort_by_peer(struct search *search)
{
	heap_sort(&(struct heap){.before = before, .swap = swap, .items = search}, search->listed);
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

	if (search->proof != NULL && endpoint_same(&search->proof->peer, &found->peer) &&
	    endpoint_same(&search->proof->local, &found->local)) {
		search->proven = true;
		return;
	}
	for (size_t i = first_from(search, &found->peer); i < search->listed; i++) {
		struct question *question = &search->questions[search->order[i]];
		const struct connection *connection = &question->connection;

		if (!endpoint_same(&connection->peer, &found->peer))
			break;
		if (connection->peer.interface != 0 && found->peer.interface != 0 &&
		    connection->peer.interface != found->peer.interface)
			continue;
		if (question->answer == ANSWER_OPEN && endpoint_same(&connection->local, &found->local))
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

static bool see_listed(const struct listed_socket *listed, void *with)
{
	struct connection found = {.peer = listed->peer, .local = listed->local};

	if (kernel_state_is_held(listed->state, listed->inode))
		see(&found, with);
	return true;
}

/* The port that all of it has; 0 if they differ. */
static uint16_t common_port(const struct search *search)
{
	uint16_t port = search->questions[search->order[0]].connection.local.port;

	for (size_t i = 1; i < search->listed; i++)
		if (search->questions[search->order[i]].connection.local.port != port)
			return 0;
	if (search->any_port || (search->proof != NULL && search->proof->local.port != port))
		return 0;
	return port;
}

/* This may be a thread with the least stack that there is. */
enum { DATAGRAM = 4096 };

static __attribute__((noinline)) bool look_through_family(struct search *search, int family)
{
	const unsigned states = ~(1U << TCP_LISTEN | 1U << TCP_TIME_WAIT | 1U << TCP_CLOSE);
	_Alignas(struct nlmsghdr) char buffer[DATAGRAM];

	return kernel_list(family, states, common_port(search), buffer, sizeof(buffer), see_listed, search);
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
	return any_sought(search, true) || any_sought(search, false);
}

static bool is_done(const struct search *search)
{
	return !any_unanswered(search) && (search->proof == NULL || search->proven);
}

/* An IPv4 client of an IPv6 socket is listed among that family's: these are only gone over if something is not found yet. */
static bool by_sock_diag(struct search *search)
{
	return (!any_sought(search, true) || look_through_family(search, AF_INET)) &&
	       (is_done(search) || look_through_family(search, AF_INET6));
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

	for (size_t i = 0; i < number; i++)
		if (is_sought(&questions[i]) ||
		    (questions[i].answer == ANSWER_OPEN && connection_is_whole(&questions[i].connection)))
			order[search.listed++] = (uint32_t)i;
	if (!any_unanswered(&search))
		return true;
	sort_by_peer(&search);
	bool all = look_through(&search);
	for (size_t i = 0; i < search.listed && all; i++)
		if (is_sought(&questions[order[i]]))
			questions[order[i]].answer = ANSWER_GONE;
	return all;
}
