/* The TCP sockets that the kernel has in our network namespace. */
#ifndef CONNLIMIT_COMMAND_SOCKETS_H
#define CONNLIMIT_COMMAND_SOCKETS_H

#include "table/table.h"

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

#endif
