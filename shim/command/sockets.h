/* The TCP sockets that the kernel has in our network namespace. */
#ifndef CONNLIMIT_COMMAND_SOCKETS_H
#define CONNLIMIT_COMMAND_SOCKETS_H

#include "values/connection.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct socket_facts {
	struct connection
	    connection; /* for a listener only `local`; IPv4 addresses in the IPv6 form, whatever the socket's family */
	uint32_t inode;
	bool ipv4;	  /* the socket's family is IPv4 */
	bool half_closed; /* our side has shut down sending */
};

struct sockets {
	struct socket_facts *listener;
	size_t listeners;
	struct socket_facts *open; /* connections that a process holds, not those in an accept queue */
	size_t opens;
};

/* Reads them with sock_diag(7). False if it is not available. Call sockets_free afterwards. */
bool sockets_read(struct sockets *sockets);
void sockets_free(struct sockets *sockets);

/* A hash of what is known of every connection: its peer and local port. Keyed, because whoever writes a table may choose the
 * connections in it. */
uint64_t connection_hash(const struct connection *connection);

/* An index to find an open socket by its connection. It points into `sockets`. Call socket_index_free afterwards. */
struct socket_index {
	const struct sockets *sockets;
	uint32_t *place; /* index in sockets->open + 1, by hash; 0: empty */
	size_t places;	 /* a power of two */
};
bool sockets_index(struct socket_index *index, const struct sockets *sockets);
void sockets_index_free(struct socket_index *index);

/* The open socket with the connection's addresses and ports, or with its peer and local port if the local address is not known.
 * NULL if there is none. */
const struct socket_facts *sockets_find(const struct socket_index *index, const struct connection *connection);

#endif
