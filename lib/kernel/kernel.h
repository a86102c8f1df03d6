/* Asking the kernel whether connections are still open and held by a process.
 *
 * The first choice is sock_diag(7), which looks up a connection by its addresses and ports in O(1), several in one message. If
 * netlink is forbidden, /proc/net/tcp and tcp6 are read. Both answer for one network namespace. "Gone" means only that nothing
 * was found by these addresses. So the caller needs a proof that such a connection would be found if it existed
 * (decisions/batch.h).
 *
 * A connection whose local address is not known cannot be looked up: all connections are searched for it.
 *
 * Async-signal-safe and thread-safe. No frame is over 1 KiB unless stated. Opens one descriptor at a time. */
#ifndef CONNLIMIT_KERNEL_H
#define CONNLIMIT_KERNEL_H

#include "values/connection.h"

#include <stddef.h>

enum { QUESTIONS_MOST = 8 }; /* so that a batch of them fits into the smallest stacks */

enum answer {
	ANSWER_NONE,	/* the kernel did not say */
	ANSWER_OPEN,	/* known, and some process has a descriptor for it */
	ANSWER_GONE,	/* unknown, or known to no descriptor any more (closing, TIME_WAIT) */
	ANSWER_REMAINS, /* the same, and the kernel shows its remains, or a listener that it could have come from */
};

static inline bool answer_is_gone(enum answer answer)
{
	return answer == ANSWER_GONE || answer == ANSWER_REMAINS;
}

struct question {
	struct connection connection;
	enum answer answer;
};

/* ---- how the kernel finds a connection ---- */

/* Connections of the same kind are found in the same way: either all of them can be found, or none. */
struct kind {
	uint32_t network;   /* namespace, as in struct connection */
	uint32_t interface; /* that the socket is bound to, 0 for none */
	bool mptcp;
};
#define ANY_INTERFACE UINT32_MAX /* in a kind that was found whatever it is bound to */

static inline struct kind kind_of(const struct connection *connection)
{
	return (struct kind){connection->network, connection->peer.interface, connection->mptcp != 0};
}

/* The network namespace of a socket (socket(7), SO_NETNS_COOKIE, Linux 5.14); 0 if the kernel does not say. */
uint32_t kernel_network(int descriptor);
uint32_t kernel_network_of(uint64_t cookie); /* by the cookie itself */

/* The kind of a listener, or of a connection whose descriptor we have. False if it is no TCP socket. */
bool kernel_kind(int descriptor, struct kind *kind);

/* The token of an MPTCP connection; 0 for one that is plain TCP, whatever its listener is. */
uint32_t kernel_mptcp_token(int descriptor);

/* Completes a connection, whose peer is known, with what is needed to ask the kernel about it. */
void kernel_know(struct connection *connection, int descriptor);

/* The socket's unique identity in the kernel's lists. 0: the kernel does not say. */
struct identity {
	uint64_t cookie;
	uint32_t inode;
};
struct identity kernel_identity(int descriptor);

/* Whether the peer or the network has ended a connection whose descriptor we have. Then it is not found any more either. */
bool kernel_has_ended(int descriptor);

/* ---- asking ---- */

/* The questions of one decision share one socket. All zero before the first question; call kernel_end after the last. */
struct asking {
	int netlink;	  /* its descriptor + 1; 0 before it is opened, -1 if it is not available */
	uint32_t network; /* namespace that answers; 0 if it is not known */
};

/* Whether sock_diag can be asked. */
bool kernel_begin(struct asking *asking);
void kernel_end(struct asking *asking);

/* Asks up to QUESTIONS_MOST questions. Skips those that have an answer, that are about another namespace, or whose connection
 * has neither both addresses nor a token. If we have a connection's descriptor, the answer is ANSWER_OPEN only if that very
 * socket is found. True if the kernel answered. */
bool kernel_ask(struct asking *asking, struct question *questions, size_t number);

/* Whether a question can reach the connection: its namespace is not known to be another one. */
static inline bool asking_reaches(const struct asking *asking, const struct connection *connection)
{
	return connection->network != NETWORK_OTHER &&
	       (asking->network == 0 || connection->network == 0 || asking->network == connection->network);
}

/* ---- searching ---- */

/* A search through all of the kernel's connections, and its results. */
struct kernel_search {
	struct question *question;
	size_t number;
	const struct connection *proof; /* a connection known to be open, that should be found as well; or NULL */
	bool any_port;			/* ignore the local port of connections without a local address */
	uint32_t *place;		/* room, all zero */
	size_t places;			/* as search_places(number) */
	bool proven;			/* the proof was found, with its own identity if we have its descriptor */
	bool listened;			/* a listener was found at the local port of one of the connections */
	uint64_t seed;
};

/* A power of two. */
size_t search_places(size_t number);

/* Goes through all of the kernel's plain TCP connections, for those questions that have no answer yet and that are not about
 * another namespace. If a connection is found, the answer is ANSWER_OPEN, and a missing local address is filled in; otherwise
 * it is ANSWER_GONE. A socket that matches a question with both addresses is not also used for a question without. False if the
 * kernel did not list all connections; then the questions are unchanged. Takes some 100 ns for each of the kernel's
 * connections, including those in TIME_WAIT, or a microsecond through /proc. Uses 5 KiB of stack. */
bool kernel_search(struct asking *asking, struct kernel_search *search);

/* ---- listing ---- */

/* One of the kernel's sockets. IPv4 addresses are in the IPv6 form, whatever the socket's family. */
struct listed_socket {
	struct endpoint peer; /* with the interface that the socket is bound to, 0 for none, or if it is not known (/proc) */
	struct endpoint local;
	struct identity identity; /* the cookie is 0 where it is not known (/proc) */
	int family;		  /* of the socket */
	unsigned state;		  /* TCP_ESTABLISHED... */
};

typedef bool visit_socket(const struct listed_socket *socket, void *with);

/* A socket for sock_diag(7), to be closed; -1 if it is not available, or may not be used. */
int kernel_diag_socket(void);

/* Calls `visit` for each TCP socket of a family (AF_UNSPEC: of both), in one of `states` (a bit for each), and with this local
 * port (0: any), by sock_diag, until `visit` returns false. `buffer` is room for one datagram of replies, aligned for a struct
 * nlmsghdr. The kernel makes no datagram larger than the buffer (netlink_dump), unless its pages are larger. False if not all
 * were visited. */
bool kernel_list(int family, unsigned states, uint16_t port, char *buffer, size_t size, visit_socket *visit, void *with);

/* Whether a TCP socket of this state and inode is open in a process. In other states it was closed, or was not accepted yet. */
bool kernel_state_is_held(unsigned state, uint32_t inode);

/* Calls `visit` for each socket of /proc/net/tcp, or tcp6, until it returns false. False if the file is not available. Takes
 * 5 KiB of stack. */
bool kernel_proc_each(bool ipv6, visit_socket *visit, void *with);

/* The number of the kernel's TCP sockets in all namespaces, without those in TIME_WAIT; UINT32_MAX if /proc does not say. */
uint32_t kernel_sockets(void);

/* kernel_ask without netlink. */
bool kernel_ask_proc(struct asking *asking, struct question *questions, size_t number);

/* ---- Unix sockets ---- */

/* The same for questions about Unix connections (called by kernel_ask). */
bool kernel_ask_unix(struct asking *asking, struct question *questions, size_t number);

/* The identity by which the kernel finds a Unix socket again, for connection_of_unix. */
bool kernel_unix_identity(int descriptor, uint64_t *inode, uint64_t *cookie);

/* The peer's user of an accepted Unix connection (SO_PEERCRED, socket(7)). False if the kernel does not say. */
bool kernel_unix_connection(struct connection *connection, int descriptor);

/* ---- how ---- */

/* How the last question of this process was asked. */
enum kernel_way { KERNEL_UNTRIED, KERNEL_SOCK_DIAG, KERNEL_PROC, KERNEL_UNREACHABLE };
enum kernel_way kernel_way(void);
void kernel_went(enum kernel_way way);

#endif
