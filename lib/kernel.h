/* Asking the kernel whether connections are still open and held by a process.
 *
 * First by sock_diag(7), which looks one connection up by its addresses and ports in O(1), many in one message; where netlink
 * is forbidden, by reading /proc/net/tcp and tcp6. Neither sees other network namespaces, and filters may hide sockets, so
 * "gone" is believed only when the same message finds a connection that is known to be open: the `control`.
 *
 * Async-signal-safe and thread-safe; opens and closes one descriptor. */
#ifndef CONNLIMIT_KERNEL_H
#define CONNLIMIT_KERNEL_H

#include "table.h"

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

/* Asks about up to QUESTIONS_MOST connections. True if the kernel gave answers. */
bool kernel_ask(struct question *questions, size_t number);

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
