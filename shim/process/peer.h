/* Finding out which connection a descriptor is. */
#ifndef CONNLIMIT_PEER_H
#define CONNLIMIT_PEER_H

#include "process/listeners.h"

#include "table/records.h"

#include <sys/socket.h>

/* The connection whose peer accept or getpeername gave; `listener` is what it was accepted from, NULL if that
 * is not known; where it arrived is asked for when it is needed, if it is not known (connection_ask_local). False if it is none
 * that we count: neither TCP over IP, nor, while there is a limit per user, a Unix socket whose peer's user the kernel knows
 * (unix(7), SO_PEERCRED). */
bool connection_with_peer(struct connection *connection, int descriptor, const struct sockaddr *peer, socklen_t length,
			  const struct listener *listener);

/* Behind it: who the client is, if the peer is a balancer (table/balancer.h); `client` is room for its address. What has no
 * header is reported. */
void connection_ask_client(struct connection *connection, struct address *client, int descriptor);

static inline void connection_know_client(const struct table *table, struct connection *connection, struct address *client,
					  int descriptor)
{
	connection->client = NULL;
	if (clients_are_named(table))
		connection_ask_client(connection, client, descriptor);
}

#endif
