/* A connection: its peer, and the local address at which it arrived. */
#ifndef CONNLIMIT_CONNECTION_H
#define CONNLIMIT_CONNECTION_H

#include "values/address.h"

#include <stdbool.h>
#include <stdint.h>

/* An established connection, seen from the daemon.
 *
 * For a Unix-domain socket, the peer's address is its user id, and there are no ports. Its local address is the socket's inode
 * and the cookie of the network namespace that the kernel assigns it to (0: not known); sock_diag finds it by these. */
struct connection {
	struct endpoint peer; /* its interface is the one that the kernel is asked with: a link-local address's, or the device
				 that the listener is bound to */
	struct endpoint local;
	uint32_t network;	      /* the network namespace of the socket: its cookie, folded, and never 0 if it is known */
	uint32_t mptcp;		      /* the token by which an MPTCP connection is found, 0 for plain TCP */
	const struct address *client; /* where the peer is a balancer that named it; else NULL: the peer itself */
	int descriptor;	 /* + 1, if this process has the connection's descriptor, to recognise the socket in the kernel's
			    answers; else 0 */
	bool unasked;	 /* `local` was not asked for: that is a system call, which most connections do without; there is a
			    descriptor then */
	bool port_known; /* while it was not: the local port is known nevertheless, from the listener */
};

struct connection connection_of_unix(uint32_t uid, uint64_t inode, uint64_t cookie);

/* Marks a Unix connection, in place of the interface of a link-local address. The kernel's interface numbers are positive. */
#define INTERFACE_UNIX UINT32_MAX

static inline bool connection_is_unix(const struct connection *connection)
{
	return connection->peer.interface == INTERFACE_UNIX;
}

/* Whom the connection is for: by that address limits and rules go, and the log. The kernel is asked about the peer. */
static inline const struct address *connection_client(const struct connection *connection)
{
	return __builtin_expect(connection->client != NULL, 0) ? connection->client : &connection->peer.address;
}

/* Whether both ends are known. connlimit_accept_address may be given only one; then the kernel cannot be asked. */
static inline bool connection_is_whole(const struct connection *connection)
{
	return connection->local.port != 0 && !address_is_unspecified(&connection->local.address);
}

/* In place of a network namespace: the peer's address comes from another preload and not from the kernel, so the kernel would
 * never find the connection by it. */
#define NETWORK_OTHER UINT32_MAX

/* Whether it was recorded without its local address, because that was not asked for. An MPTCP connection is found without it.
 */
static inline bool connection_lacks_address(const struct connection *connection)
{
	return !connection_is_unix(connection) && connection->mptcp == 0 && connection->local.port != 0 &&
	       address_is_unspecified(&connection->local.address);
}

/* Whether even its local port is not known until it is asked for. */
static inline bool connection_lacks_port(const struct connection *connection)
{
	return connection->unasked && !connection->port_known;
}

/* Marks `local` as not asked for yet: when it is needed, the kernel is asked about this descriptor. `port` is the local port, 0
 * if it is not known. */
static inline void connection_ask_later(struct connection *connection, int descriptor, uint16_t port)
{
	/* It has a port, or it would be a Unix socket's. */
	connection->local = (struct endpoint){.port = port != 0 ? port : UINT16_MAX};
	connection->unasked = true;
	connection->descriptor = descriptor + 1;
	connection->port_known = port != 0;
}

/* Asks the kernel for a `local` that was not asked for yet. False if the kernel does not say; then nothing is changed. */
bool connection_ask(struct connection *connection);

#endif
