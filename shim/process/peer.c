#include "process/peer.h"

#include "process/limiter.h"

#include "kernel/kernel.h"

static bool from_unix(struct connection *connection, int descriptor)
{
	struct limits limits;

	limits_read(limiter_table(), &limits);
	return limits.per_uid != LIMIT_NONE && kernel_unix_connection(connection, descriptor);
}

HOT bool connection_with_peer(struct connection *connection, int descriptor, const struct sockaddr *peer, socklen_t length,
			      const struct endpoint *local)
{
	if (length >= sizeof(sa_family_t) && peer->sa_family == AF_UNIX)
		return from_unix(connection, descriptor);
	if (!endpoint_from_sockaddr(&connection->peer, peer, length))
		return false;
	connection->network = 0;
	connection->mptcp = 0;
	if (local == NULL) {
		connection_ask_later(connection, descriptor, 0);
	} else if (address_is_unspecified(&local->address)) {
		bool steered = atomic_load_explicit(&limiter_table()->header->steered, memory_order_relaxed) != 0;
		connection_ask_later(connection, descriptor, steered ? 0 : local->port);
	} else {
		connection->local = *local;
		connection->unasked = 0;
	}
	return true;
}
