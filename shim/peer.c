#include "peer.h"

#include "limiter.h"

#include "../lib/confined.h"
#include "../lib/kernel.h"

#include <sys/syscall.h>

static bool from_unix(struct connection *connection, int descriptor)
{
	struct limits limits;

	limits_read(limiter_table(), &limits);
	return limits.per_uid != LIMIT_NONE && kernel_unix_connection(connection, descriptor);
}

static bool local_of(struct endpoint *endpoint, int descriptor)
{
	struct sockaddr_storage local;
	socklen_t length = sizeof(local);

	if (!may_call(SYS_getsockname, descriptor, 0, 0)) {
		atomic_fetch_add(&limiter_table()->header->uncounted, 1);
		return false;
	}
	return getsockname(descriptor, (struct sockaddr *)&local, &length) == 0 &&
	       endpoint_from_sockaddr(endpoint, (struct sockaddr *)&local, length);
}

bool connection_with_peer(struct connection *connection, int descriptor, const struct sockaddr *peer, socklen_t length,
			  const struct endpoint *local)
{
	if (length >= sizeof(sa_family_t) && peer->sa_family == AF_UNIX)
		return from_unix(connection, descriptor);
	if (!endpoint_from_sockaddr(&connection->peer, peer, length))
		return false;
	if (local == NULL)
		return local_of(&connection->local, descriptor);
	connection->local = *local;
	return true;
}
