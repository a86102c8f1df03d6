#include "process/peer.h"

#include "process/limiter.h"
#include "process/log.h"

#include "table/balancer.h"
#include "values/door.h"

#include <errno.h>

static bool from_unix(struct connection *connection, int descriptor)
{
	struct limits limits;

	limits_read(limiter_table(), &limits);
	return limits.per_uid != LIMIT_NONE && kernel_unix_connection(connection, descriptor);
}

/* Asks for what the listener does not tell. If another preload reported the peer, the kernel may not find the connection by it.
 */
static COLD void know_by_itself(struct connection *connection, int descriptor)
{
	struct sockaddr_storage name;
	struct endpoint peer;
	socklen_t length = sizeof(name);
	int kept = errno;

	kernel_know(connection, descriptor);
	if (door_getpeername(descriptor, &name, &length) == 0 &&
	    (!endpoint_from_sockaddr(&peer, (struct sockaddr *)&name, length) || !endpoint_same(&peer, &connection->peer)))
		connection->network = NETWORK_OTHER;
	errno = kept;
}

HOT bool connection_with_peer(struct connection *connection, int descriptor, const struct sockaddr *peer, socklen_t length,
			      const struct listener *listener)
{
	if (length >= sizeof(sa_family_t) && peer->sa_family == AF_UNIX)
		return from_unix(connection, descriptor);
	if (!endpoint_from_sockaddr(&connection->peer, peer, length))
		return false;
	if (__builtin_expect(listener == NULL || listener->each, 0)) {
		know_by_itself(connection, descriptor);
	} else {
		connection->network = listener->kind.network;
		connection->mptcp = 0;
		if (__builtin_expect(listener->kind.interface != 0, 0))
			connection->peer.interface = listener->kind.interface;
	}
	bool known = listener != NULL && listener->local.port != 0 &&
		     atomic_load_explicit(&limiter_table()->header->steered, memory_order_relaxed) == 0;
	connection_ask_later(connection, descriptor, known ? listener->local.port : 0);
	if (known)
		connection->local.address = listener->local.address;
	return true;
}

COLD void connection_ask_client(struct connection *connection, struct address *client, int descriptor)
{
	if (!balancer_ask(limiter_table(), connection, client, descriptor))
		log_unnamed(connection);
}
