/* Searching through all of the kernel's connections: for those whose local address is not known, and for many at once. */
#include "kernel/kernel.h"

#include "values/clock.h"
#include "values/door.h"

#include <linux/netlink.h>
#include <netinet/tcp.h>
#include <string.h>

/* `place` is a hash table of questions (index + 1), by their peer, with linear probing. At most a quarter of it is in use. If
 * more than PROBES places in a row are taken, which takes a table that somebody tampered with, the question is left out and
 * stays unanswered. */
enum { PROBES = 64 };

size_t search_places(size_t number)
{
	size_t places = 64;

	while (places < number * 4)
		places *= 2;
	return places;
}

static size_t place_of(const struct kernel_search *search, const struct endpoint *peer)
{
	uint64_t words[2];

	memcpy(words, &peer->address, sizeof(words));
	uint64_t hash = (words[0] ^ search->seed) * UINT64_C(0x9e3779b97f4a7c15);
	hash = (hash ^ hash >> 29 ^ words[1]) * UINT64_C(0xbf58476d1ce4e5b9);
	hash = (hash ^ hash >> 32 ^ peer->port) * UINT64_C(0x94d049bb133111eb);
	return (size_t)(hash ^ hash >> 31) & (search->places - 1);
}

static bool is_sought(const struct asking *asking, const struct question *question)
{
	const struct connection *connection = &question->connection;

	return question->answer == ANSWER_NONE && !connection_is_unix(connection) && connection->mptcp == 0 &&
	       connection->local.port != 0 && asking_reaches(asking, connection);
}

static bool is_listed(const struct asking *asking, const struct question *question)
{
	return is_sought(asking, question) || (question->answer == ANSWER_OPEN && !connection_is_unix(&question->connection) &&
					       connection_is_whole(&question->connection));
}

/* The state of a search. */
struct looking {
	struct asking *asking;
	struct kernel_search *search;
	struct identity identity; /* of the proof, if we have its descriptor */
	size_t left[2];		  /* questions not answered yet: [0] IPv6, [1] IPv4 */
	uint16_t port[8];	  /* local ports of what is sought, the first few */
	unsigned ports;
	bool more_ports;
};

static size_t *left_of(struct looking *looking, const struct connection *connection)
{
	return &looking->left[address_is_ipv4(&connection->peer.address) ? 1 : 0];
}

static void note_port(struct looking *looking, uint16_t port)
{
	for (unsigned i = 0; i < looking->ports; i++)
		if (looking->port[i] == port)
			return;
	if (looking->ports < sizeof(looking->port) / sizeof(looking->port[0]))
		looking->port[looking->ports++] = port;
	else
		looking->more_ports = true;
}

static void list_questions(struct looking *looking)
{
	struct kernel_search *search = looking->search;

	for (size_t i = 0; i < search->number; i++) {
		const struct question *question = &search->question[i];
		size_t place = place_of(search, &question->connection.peer);
		int probe = 0;

		if (!is_listed(looking->asking, question))
			continue;
		while (search->place[place] != 0 && ++probe < PROBES)
			place = (place + 1) & (search->places - 1);
		if (probe == PROBES)
			continue;
		search->place[place] = (uint32_t)i + 1;
		if (is_sought(looking->asking, question)) {
			(*left_of(looking, &question->connection))++;
			note_port(looking, question->connection.local.port);
		}
	}
}

static bool is_proof(const struct looking *looking, const struct listed_socket *found)
{
	const struct connection *proof = looking->search->proof;

	if (proof == NULL || !endpoint_same(&proof->peer, &found->peer) || !endpoint_same(&proof->local, &found->local))
		return false;
	if (proof->descriptor == 0)
		return true;
	return found->identity.cookie != 0 && looking->identity.cookie != 0 ? found->identity.cookie == looking->identity.cookie
									    : found->identity.inode == looking->identity.inode;
}

/* Handles a connection that the kernel has. It answers only one question: a client can use the same port with two of our
 * addresses. */
static void see_held(struct looking *looking, const struct listed_socket *found)
{
	struct kernel_search *search = looking->search;
	struct question *fits = NULL;
	size_t place = place_of(search, &found->peer);

	if (is_proof(looking, found)) {
		search->proven = true;
		return;
	}
	for (int probe = 0; probe < PROBES && search->place[place] != 0; probe++, place = (place + 1) & (search->places - 1)) {
		struct question *question = &search->question[search->place[place] - 1];
		const struct connection *connection = &question->connection;
		uint32_t interface = connection->peer.interface;
		bool sought = is_sought(looking->asking, question);

		if (!endpoint_same(&connection->peer, &found->peer) ||
		    (interface != 0 && found->peer.interface != 0 && interface != found->peer.interface))
			continue;
		if (endpoint_same(&connection->local, &found->local)) {
			fits = sought ? question : NULL;
			break; /* the record that it belongs to is known */
		}
		if (sought && connection_lacks_address(connection) &&
		    (search->any_port || connection->local.port == found->local.port))
			fits = question;
	}
	if (fits == NULL)
		return;
	(*left_of(looking, &fits->connection))--;
	fits->answer = ANSWER_OPEN;
	fits->connection.local.address = found->local.address;
	fits->connection.local.port = found->local.port;
}

static bool see(const struct listed_socket *found, void *with)
{
	struct looking *looking = with;

	if (found->state == TCP_LISTEN)
		for (unsigned i = 0; i < looking->ports; i++)
			looking->search->listened |= looking->port[i] == found->local.port;
	else if (kernel_state_is_held(found->state, found->identity.inode))
		see_held(looking, found);
	return true;
}

static bool is_done(const struct looking *looking)
{
	return looking->left[0] + looking->left[1] == 0 && (looking->search->proof == NULL || looking->search->proven);
}

/* ---- by sock_diag ---- */

/* The local port that all questions have in common; 0 if they differ. */
static uint16_t common_port(const struct looking *looking)
{
	const struct kernel_search *search = looking->search;

	if (looking->ports != 1 || looking->more_ports || search->any_port ||
	    (search->proof != NULL && search->proof->local.port != looking->port[0]))
		return 0;
	return looking->port[0];
}

enum { DATAGRAM = 32768 }; /* the largest that the kernel makes */

static bool look_through_family(struct looking *looking, int family)
{
	unsigned states = 1U << TCP_ESTABLISHED | 1U << TCP_SYN_RECV | 1U << TCP_FIN_WAIT1 | 1U << TCP_FIN_WAIT2 |
			  1U << TCP_CLOSE_WAIT | 1U << TCP_LAST_ACK | 1U << TCP_CLOSING;

	/* The thread may have the smallest possible stack. */
	char *buffer = door_mmap(NULL, DATAGRAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	if (buffer == MAP_FAILED)
		return false;
	if (looking->search->proof == NULL)
		states |= 1U << TCP_LISTEN;
	bool all = kernel_list(family, states, common_port(looking), buffer, DATAGRAM, see, looking);
	door_munmap(buffer, DATAGRAM);
	return all;
}

/* The next question, from a place on, that is not answered yet and has both addresses. */
static struct question *next_whole(const struct looking *looking, size_t *place)
{
	const struct kernel_search *search = looking->search;

	while (*place < search->places) {
		uint32_t taken = search->place[(*place)++];
		struct question *question = taken != 0 ? &search->question[taken - 1] : NULL;

		if (question != NULL && is_sought(looking->asking, question) && connection_is_whole(&question->connection))
			return question;
	}
	return NULL;
}

/* What is left and has both addresses is looked up: if that is not much, it is faster than another list, and exact. */
enum { ASKED_MOST = 512 };

static __attribute__((noinline)) void ask_for_what_is_left(struct looking *looking)
{
	struct question *left[QUESTIONS_MOST];
	struct question asked[QUESTIONS_MOST];
	size_t number = 1;
	size_t place = 0;

	for (int all = 0; all < ASKED_MOST && number > 0; all += QUESTIONS_MOST) {
		for (number = 0; number < QUESTIONS_MOST; number++) {
			left[number] = next_whole(looking, &place);
			if (left[number] == NULL)
				break;
			asked[number] = *left[number];
		}
		if (number == 0 || !kernel_ask(looking->asking, asked, number))
			return;
		for (size_t i = 0; i < number; i++) {
			left[i]->answer = asked[i].answer;
			if (asked[i].answer != ANSWER_NONE)
				(*left_of(looking, &asked[i].connection))--;
		}
	}
}

/* Most of a list's cost is the walk over the kernel's sockets, all of them: one for both families, if the kernel has that. */
static bool by_sock_diag(struct looking *looking)
{
	bool listed = look_through_family(looking, AF_UNSPEC) ||
		      (look_through_family(looking, AF_INET) && look_through_family(looking, AF_INET6));

	if (listed && !is_done(looking))
		ask_for_what_is_left(looking);
	return listed;
}

/* ---- by /proc ---- */

static bool by_proc(struct looking *looking)
{
	bool ipv4 = kernel_proc_each(false, see, looking);
	bool ipv6 = is_done(looking) || kernel_proc_each(true, see, looking);

	return (ipv4 || looking->left[1] == 0) && (ipv6 || looking->left[0] == 0);
}

/* ---- both ---- */

static bool look_through(struct looking *looking, bool by_netlink)
{
	enum { PASSES = 2 };

	/* Neither is a snapshot: a connection may be missed while others come and go. What is missed twice is gone. */
	for (int pass = 0; pass < PASSES && !is_done(looking); pass++) {
		if (by_netlink && by_sock_diag(looking)) {
			kernel_went(KERNEL_SOCK_DIAG);
		} else if (by_proc(looking)) {
			kernel_went(KERNEL_PROC);
		} else {
			kernel_went(KERNEL_UNREACHABLE);
			return false;
		}
	}
	return true;
}

bool kernel_search(struct asking *asking, struct kernel_search *search)
{
	struct looking looking = {.asking = asking, .search = search};
	bool by_netlink = kernel_begin(asking);

	search->proven = false;
	search->listened = false;
	search->seed = clock_us() ^ (uint64_t)(uintptr_t)&looking;
	if (search->proof != NULL && search->proof->descriptor != 0)
		looking.identity = kernel_identity(search->proof->descriptor - 1);
	list_questions(&looking);
	if (looking.left[0] + looking.left[1] == 0)
		return true;
	bool all = look_through(&looking, by_netlink);
	for (size_t place = 0; place < search->places && all; place++) {
		struct question *question = search->place[place] != 0 ? &search->question[search->place[place] - 1] : NULL;

		if (question != NULL && is_sought(asking, question))
			question->answer = ANSWER_GONE;
	}
	return all;
}
