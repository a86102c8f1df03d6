/* Asking the kernel whether connections are still open and held by a process.
 *
 * First by sock_diag(7), which looks one connection up by its addresses and ports in O(1), many in one message; where netlink
 * is forbidden, by reading /proc/net/tcp and tcp6. Both answer for one network namespace. "Gone" says no more than that nothing
 * was found under what was asked for, so whoever asks needs a proof that such connections are found if they are there
 * (decisions/batch.h).
 *
 * A connection whose local address is not known is not found so: it is searched for among all.
 *
 * Async-signal-safe and thread-safe, no frame is over 1 KiB but where it is said; opens one descriptor at a time. */
#ifndef CONNLIMIT_KERNEL_H
#define CONNLIMIT_KERNEL_H

#include "values/connection.h"

#include <stddef.h>

enum { QUESTIONS_MOST = 8 }; /* so that a batch of them fits the least stack that there is */

enum answer {
	ANSWER_NONE,	/* the kernel did not say */
	ANSWER_OPEN,	/* known, and some process has a descriptor for it */
	ANSWER_GONE,	/* unknown, or known to no descriptor any more (closing, TIME_WAIT) */
	ANSWER_REMAINS, /* the same, and it shows what is left of it, or a listener that it could have come from */
};

static inline bool answer_is_gone(enum answer answer)
{
	return answer == ANSWER_GONE || answer == ANSWER_REMAINS;
}

struct question {
	struct connection connection;
	enum answer answer;
};

/* ---- what a connection is asked about with ---- */

/* Connections of a kind are found in the same way, or none of them is. */
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

/* Which network namespace a socket is in (socket(7), SO_NETNS_COOKIE, Linux 5.14), 0 if the kernel does not say. */
uint32_t kernel_network(int descriptor);

/* The kind of a listener, or of a connection that is at hand. False if it is no TCP socket. */
bool kernel_kind(int descriptor, struct kind *kind);

/* The token of an MPTCP connection; 0 for one that is plain TCP, whatever its listener is. */
uint32_t kernel_mptcp_token(int descriptor);

/* Adds to a connection that is at hand, and whose peer is known, what the kernel has to be asked with. */
void kernel_know(struct connection *connection, int descriptor);

/* By what the kernel's lists name the socket of a connection that is at hand: nobody else has that. 0: it does not say. */
struct identity {
	uint64_t cookie;
	uint32_t inode;
};
struct identity kernel_identity(int descriptor);

/* Whether the peer or the network has ended a connection that is at hand: then it is not found any more either. */
bool kernel_has_ended(int descriptor);

/* ---- asking ---- */

/* One decision's questions, all by one socket. All zero before the first; kernel_end after the last. */
struct asking {
	int netlink;	  /* its descriptor + 1; 0 before it is opened, -1 if it is not available */
	uint32_t network; /* namespace that answers; 0 if it is not known */
};

/* Whether sock_diag can be asked. */
bool kernel_begin(struct asking *asking);
void kernel_end(struct asking *asking);

/* Asks those of up to QUESTIONS_MOST questions whose answer is ANSWER_NONE, whose namespace may be the one that is asked, and
 * whose connection has both its addresses or a token. One that is at hand is ANSWER_OPEN only if what is found is that very
 * socket. True if the kernel gave answers. */
bool kernel_ask(struct asking *asking, struct question *questions, size_t number);

/* Those of a namespace that is known to be another one are not asked about. */
static inline bool asking_reaches(const struct asking *asking, const struct connection *connection)
{
	return connection->network != NETWORK_OTHER &&
	       (asking->network == 0 || connection->network == 0 || asking->network == connection->network);
}

/* ---- searching ---- */

/* What is sought among all of the kernel's connections, and what was found. */
struct kernel_search {
	struct question *question;
	size_t number;
	const struct connection *proof; /* a connection known to be open, that should be found as well; or NULL */
	bool any_port;			/* the local port of what lacks its address is not looked at */
	uint32_t *place;		/* room, all zero */
	size_t places;			/* as search_places(number) */
	bool proven;			/* the proof was found, with its own identity if it is at hand */
	bool listened;			/* a listener was seen at a port where something of what is sought arrived */
	uint64_t seed;
};

/* A power of two. */
size_t search_places(size_t number);

/* Goes over all of the kernel's plain TCP connections for those of the questions whose answer is ANSWER_NONE and whose
 * namespace may be the one that is asked. One that is found is ANSWER_OPEN, and gets its local address if it lacked that; the
 * others are ANSWER_GONE. One that has both its addresses is not found for another question that lacks its. False, and no
 * question was changed for good, if the kernel did not show all. Takes some 100 ns for each connection that the kernel has,
 * those in TIME_WAIT too; a microsecond by /proc. Takes 5 KiB of stack. */
bool kernel_search(struct asking *asking, struct kernel_search *search);

/* ---- listing ---- */

/* One of the sockets that the kernel has; an IPv4 address in the IPv6 form, whatever the socket is. */
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

/* Calls `visit`, until it returns false, for each TCP socket of a family, in one of `states` (a bit for each), and with this
 * local port (0: any), by sock_diag. `buffer` is room for a datagram of replies, aligned for a struct nlmsghdr; the kernel
 * makes none larger than what it is read with (netlink_dump), unless its pages are. False if not all were visited. */
bool kernel_list(int family, unsigned states, uint16_t port, char *buffer, size_t size, visit_socket *visit, void *with);

/* Whether a TCP socket of this state and inode is held by a process: one in other states has left it, or never had one. */
bool kernel_state_is_held(unsigned state, uint32_t inode);

/* Calls `visit` for each socket of /proc/net/tcp, or tcp6, until it returns false. False if the file is not available. Takes
 * 5 KiB of stack. */
bool kernel_proc_each(bool ipv6, visit_socket *visit, void *with);

/* TCP sockets that the kernel has, in all namespaces, but for those in TIME_WAIT; UINT32_MAX if /proc does not say. */
uint32_t kernel_sockets(void);

/* What kernel_ask does where there is no netlink. */
bool kernel_ask_proc(struct asking *asking, struct question *questions, size_t number);

/* ---- Unix sockets ---- */

/* The same for those of the questions that are Unix connections (kernel_ask does it). */
bool kernel_ask_unix(struct asking *asking, struct question *questions, size_t number);

/* By what the kernel finds a Unix socket again, for connection_of_unix. */
bool kernel_unix_identity(int descriptor, uint64_t *inode, uint64_t *cookie);

/* Who is at the other end of an accepted Unix connection, SO_PEERCRED of socket(7). False if the kernel does not say. */
bool kernel_unix_connection(struct connection *connection, int descriptor);

/* ---- how ---- */

/* How the last question of this process was asked. */
enum kernel_way { KERNEL_UNTRIED, KERNEL_SOCK_DIAG, KERNEL_PROC, KERNEL_UNREACHABLE };
enum kernel_way kernel_way(void);
void kernel_went(enum kernel_way way);

#endif
