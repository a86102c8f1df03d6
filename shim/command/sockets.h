/* The TCP sockets that the kernel has in our network namespace. */
#ifndef CONNLIMIT_COMMAND_SOCKETS_H
#define CONNLIMIT_COMMAND_SOCKETS_H

#include "values/connection.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct socket_facts {
	struct connection connection; /* of a listener only `local`; an IPv4 address in the IPv6 form, whatever the socket is */
	uint32_t inode;
	bool ipv4;	  /* the socket is an IPv4 one */
	bool half_closed; /* our side has sent its end */
};

struct sockets {
	struct socket_facts *listener;
	size_t listeners;
	struct socket_facts *open; /* connections that a process holds: those in an accept queue are not here */
	size_t opens;
};

/* Reads them by sock_diag(7). False if it is not available. To be freed with sockets_free. */
bool sockets_read(struct sockets *sockets);
void sockets_free(struct sockets *sockets);

/* By what is known of every connection: its peer, and the port at which it arrived. With a key of this process, as who writes a
 * table may choose its connections. */
uint64_t connection_hash(const struct connection *connection);

/* Finding one of the open sockets by a connection. Points into `sockets`. To be freed with sockets_index_free. */
struct socket_index {
	const struct sockets *sockets;
	uint32_t *place; /* number in sockets->open + 1, by hash; 0: none */
	size_t places;	 /* a power of two */
};
bool sockets_index(struct socket_index *index, const struct sockets *sockets);
void sockets_index_free(struct socket_index *index);

/* The open socket at both ends of the connection; at its peer and its local port, where its local address is not known. NULL if
 * there is none. */
const struct socket_facts *sockets_find(const struct socket_index *index, const struct connection *connection);

#endif
