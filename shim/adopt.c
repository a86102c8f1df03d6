#include "adopt.h"

#include "descriptors.h"
#include "limiter.h"

#include <poll.h>

static bool connection_of(int descriptor, struct connection *connection)
{
	struct sockaddr_storage address;
	socklen_t length = sizeof(address);

	if (getpeername(descriptor, (struct sockaddr *)&address, &length) != 0 ||
	    !endpoint_from_sockaddr(&connection->peer, (struct sockaddr *)&address, length))
		return false;
	length = sizeof(address);
	return getsockname(descriptor, (struct sockaddr *)&address, &length) == 0 &&
	       endpoint_from_sockaddr(&connection->local, (struct sockaddr *)&address, length);
}

void adopt(int descriptor)
{
	struct connection connection;

	if (connection_of(descriptor, &connection))
		descriptor_put(descriptor, table_adopt(limiter_table(), &connection));
}

void adopt_inherited(void)
{
	enum { LOOKED_AT = 1024 };
	struct pollfd open[LOOKED_AT];
	unsigned number = LOOKED_AT;

	for (int i = 0; i < LOOKED_AT; i++)
		open[i] = (struct pollfd){.fd = i};
	/* One call tells which descriptors are open: the others come back as POLLNVAL. It fails if RLIMIT_NOFILE is lower. */
	while (number > 0 && poll(open, number, 0) < 0)
		number /= 2;
	for (unsigned i = 0; i < number; i++)
		if ((open[i].revents & POLLNVAL) == 0)
			adopt((int)i);
}
