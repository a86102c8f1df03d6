#include "process/adopt.h"

#include "process/descriptors.h"
#include "process/limiter.h"
#include "process/peer.h"

#include "table/arrived.h"
#include "values/door.h"

void adopt(int descriptor)
{
	struct sockaddr_storage peer;
	socklen_t length = sizeof(peer);
	struct connection connection;

	if (may_call(SYS_getpeername, descriptor, 0, 0) && getpeername(descriptor, (struct sockaddr *)&peer, &length) == 0 &&
	    connection_with_peer(&connection, descriptor, (struct sockaddr *)&peer, length, NULL) &&
	    connection_ask_local(limiter_table(), &connection))
		descriptor_put(descriptor, table_adopt(limiter_table(), &connection));
}

static bool listens(int descriptor)
{
	int value = 0;
	socklen_t length = sizeof(value);

	return door_getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &value, &length) == 0 && value != 0;
}

bool adopt_inherited(void)
{
	enum { LOOKED_AT = 1024 };
	struct pollfd open[LOOKED_AT];
	unsigned number = LOOKED_AT;

	for (int i = 0; i < LOOKED_AT; i++)
		open[i] = (struct pollfd){.fd = i};
	/* One call tells which descriptors are open: the others come back as POLLNVAL. It fails if RLIMIT_NOFILE is lower. */
	while (number > 0 && door_poll(open, number) < 0)
		number /= 2;
	bool any_listens = false;
	for (unsigned i = 0; i < number; i++) {
		if ((open[i].revents & POLLNVAL) != 0)
			continue;
		adopt((int)i);
		any_listens = any_listens || listens((int)i);
	}
	return any_listens;
}
