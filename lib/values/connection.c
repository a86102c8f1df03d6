#include "values/connection.h"

#include "values/door.h"
#include "values/hot.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>

struct connection connection_of_unix(uint32_t uid, uint64_t inode, uint64_t cookie)
{
	struct connection connection = {.peer.interface = INTERFACE_UNIX};

	memcpy(connection.peer.address.bytes, &uid, sizeof(uid));
	memcpy(connection.local.address.bytes, &inode, sizeof(inode));
	memcpy(connection.local.address.bytes + sizeof(inode), &cookie, sizeof(cookie));
	return connection;
}

COLD bool connection_ask(struct connection *connection)
{
	struct sockaddr_storage local;
	socklen_t length = sizeof(local);

	if (door_getsockname(connection->descriptor - 1, &local, &length) != 0 ||
	    !endpoint_from_sockaddr(&connection->local, (struct sockaddr *)&local, length))
		return false;
	connection->unasked = false;
	return true;
}
