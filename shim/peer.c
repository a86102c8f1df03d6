#include "peer.h"

#include "limiter.h"

#include "../lib/kernel.h"

static bool from_unix(struct connection *connection, int descriptor)
{
	struct limits limits;
	struct ucred user;
	socklen_t length = sizeof(user);
	uint64_t inode;
	uint64_t cookie;

	limits_read(limiter_table(), &limits);
	if (limits.per_uid == LIMIT_NONE || getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &user, &length) != 0 ||
	    user.uid == (uid_t)-1 || !kernel_unix_identity(descriptor, &inode, &cookie))
		return false;
	*connection = connection_of_unix(user.uid, inode, cookie);
	return true;
}

bool connection_with_peer(struct connection *connection, int descriptor, const struct sockaddr *peer, socklen_t length)
{
	struct sockaddr_storage local;
	socklen_t local_length = sizeof(local);

	if (length >= sizeof(sa_family_t) && peer->sa_family == AF_UNIX)
		return from_unix(connection, descriptor);
	return endpoint_from_sockaddr(&connection->peer, peer, length) &&
	       getsockname(descriptor, (struct sockaddr *)&local, &local_length) == 0 &&
	       endpoint_from_sockaddr(&connection->local, (struct sockaddr *)&local, local_length);
}
