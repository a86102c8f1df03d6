/* A connection: who is at the other end, and where it arrived. */
#ifndef CONNLIMIT_CONNECTION_H
#define CONNLIMIT_CONNECTION_H

#include "values/address.h"

#include <stdbool.h>
#include <stdint.h>

/* An established connection, seen from the daemon.
 *
 * One over a Unix-domain socket has its peer's user id in place of an address and no ports; its local address is the socket's
 * inode and the cookie of the network namespace that the kernel counts it to (0: not known), by which sock_diag finds it. */
struct connection {
	struct endpoint peer; /* its interface is the one that the kernel is asked with: a link-local address's, or the device
				 that the listener is bound to */
	struct endpoint local;
	uint32_t network; /* the network namespace of the socket: its cookie, folded, and never 0 if it is known */
	uint32_t mptcp;	  /* the token by which an MPTCP connection is found, 0 for plain TCP */
	/* 0, or the connection's descriptor + 1 while `local` was not asked for: that is a system call, which most connections
	 * do without. */
	int unasked;
	bool port_known; /* while it was not: its port is its listener's all the same, and its address, if there is one */
	int descriptor;	 /* + 1, of a connection that is at hand, by which the kernel's answers about it are known; else 0 */
};

struct connection connection_of_unix(uint32_t uid, uint64_t inode, uint64_t cookie);

/* Such a connection's mark, where one of a link-local address has its interface; the kernel's are positive. */
#define INTERFACE_UNIX UINT32_MAX

static inline bool connection_is_unix(const struct connection *connection)
{
	return connection->peer.interface == INTERFACE_UNIX;
}

/* Whether both ends are known (connlimit_accept_address may be told of one only): otherwise the kernel cannot be asked. */
static inline bool connection_is_whole(const struct connection *connection)
{
	return connection->local.port != 0 && !address_is_unspecified(&connection->local.address);
}

/* A connection whose peer is shown by another preload, and is not the kernel's: by that it is never found. In the place of a
 * network namespace. */
#define NETWORK_OTHER UINT32_MAX

/* Whether it was recorded without the address at which it arrived, as that was not asked for. An MPTCP connection is found
 * without. */
static inline bool connection_lacks_address(const struct connection *connection)
{
	return !connection_is_unix(connection) && connection->mptcp == 0 && connection->local.port != 0 &&
	       address_is_unspecified(&connection->local.address);
}

/* Whether not even its local port is known, until it is asked for. */
static inline bool connection_lacks_port(const struct connection *connection)
{
	return connection->unasked != 0 && !connection->port_known;
}

/* A connection whose `local` is to be asked of this descriptor when it is needed; its port is `port`, 0 if not known. */
static inline void connection_ask_later(struct connection *connection, int descriptor, uint16_t port)
{
	/* It has a port, or it would be a Unix socket's. */
	connection->local = (struct endpoint){.port = port != 0 ? port : UINT16_MAX};
	connection->unasked = descriptor + 1;
	connection->descriptor = descriptor + 1;
	connection->port_known = port != 0;
}

/* Asks the kernel for the `local` of one that was to be asked later. False if it does not say; nothing is changed then. */
bool connection_ask(struct connection *connection);

#endif
