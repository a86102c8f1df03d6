/* Asking the kernel whether connections are still open and held by a process.
 *
 * First by sock_diag(7), which looks one connection up by its addresses and ports in O(1), many in one message; where netlink
 * is forbidden, by reading /proc/net/tcp and tcp6. Neither sees other network namespaces, and filters may hide sockets, so
 * "gone" is believed only when the same message finds a connection that is known to be open: the `control`.
 *
 * A connection whose local address is not known is not found so: it is searched for among all.
 *
 * Async-signal-safe and thread-safe; opens and closes one descriptor. */
#ifndef CONNLIMIT_KERNEL_H
#define CONNLIMIT_KERNEL_H

#include "values/connection.h"

#include <stddef.h>

enum { QUESTIONS_MOST = 64 };

enum answer {
	ANSWER_NONE, /* the kernel did not say */
	ANSWER_OPEN, /* known, and some process has a descriptor for it */
	ANSWER_GONE, /* unknown, or known to no descriptor any more (closing, TIME_WAIT) */
};

struct question {
	struct connection connection;
	enum answer answer;
};

/* Asks those of up to QUESTIONS_MOST questions whose answer is ANSWER_NONE and whose connection has both its addresses.
 * True if the kernel gave answers. */
bool kernel_ask(struct question *questions, size_t number);

/* Goes over all of the kernel's connections for those that lack their local address, of the questions whose answer is
 * ANSWER_NONE. One that is found is ANSWER_OPEN, and gets its address; the others are ANSWER_GONE, if `proof`, a connection
 * known to be open, was found as well (NULL: none is wanted). With `any_port` the local port is not looked at. Those that are
 * ANSWER_OPEN already, with both their addresses, are not found for another question. `order` is room for `number` indexes.
 * False, and no answer, if the kernel did not show all. Takes some 100 ns for each connection that the kernel has, those in
 * TIME_WAIT too; a microsecond by /proc. */
bool kernel_search(struct question *questions, size_t number, const struct connection *proof, bool any_port, uint32_t *order);

/* A socket for sock_diag(7), to be closed; -1 if it is not to be had, or may not be used. */
int kernel_diag_socket(void);

/* One of the sockets that the kernel has; an IPv4 address in the IPv6 form, whatever the socket is. */
struct listed_socket {
	struct endpoint peer;
	struct endpoint local;
	int family;	/* of the socket */
	unsigned state; /* TCP_ESTABLISHED... */
	uint32_t inode;
};

/* Calls `visit`, until it returns false, for each TCP socket of a family, in one of `states` (a bit for each), and with this
 * local port (0: any), by sock_diag. `buffer` is room for a datagram of replies, aligned for a struct nlmsghdr; the kernel
 * makes none larger than what it is read with (netlink_dump), unless its pages are. False if not all were visited. */
bool kernel_list(int family, unsigned states, uint16_t port, char *buffer, size_t size,
		 bool (*visit)(const struct listed_socket *socket, void *with), void *with);

/* Whether a TCP socket of this state and inode is held by a process: one in other states has left it, or never had one. */
bool kernel_state_is_held(unsigned state, uint32_t inode);

/* Calls `visit` for each connection of /proc/net/tcp, or tcp6, that a process holds. False if the file is not to be had. */
bool kernel_proc_each(bool ipv6, void (*visit)(const struct connection *found, void *with), void *with);

/* The same for those of the questions that are Unix connections (kernel_ask does it). */
bool kernel_ask_unix(struct question *questions, size_t number);

/* By what the kernel finds a Unix socket again, for connection_of_unix. */
bool kernel_unix_identity(int descriptor, uint64_t *inode, uint64_t *cookie);

/* Who is at the other end of an accepted Unix connection, SO_PEERCRED of socket(7). False if the kernel does not say. */
bool kernel_unix_connection(struct connection *connection, int descriptor);

/* How the last question of this process was asked. */
enum kernel_way { KERNEL_UNTRIED, KERNEL_SOCK_DIAG, KERNEL_PROC, KERNEL_UNREACHABLE };
enum kernel_way kernel_way(void);

#endif
