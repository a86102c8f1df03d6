#include "table/balancer.h"

#include "values/door.h"
#include "values/proxy_header.h"

COLD bool balancer_ask(struct table *table, struct connection *connection, struct address *client, int descriptor)
{
	unsigned char bytes[PROXY_HEADER_MOST];
	int kept = errno;

	if (connection_is_unix(connection) || !limits_name_balancer(table, &connection->peer.address))
		return true;
	ssize_t length = door_recvfrom(descriptor, bytes, sizeof(bytes), MSG_PEEK | MSG_DONTWAIT, NULL, NULL);
	enum proxy_header header = length > 0 ? proxy_header_read(bytes, (size_t)length, client) : PROXY_UNDECIDED;
	errno = kept;
	if (header == PROXY_CLIENT)
		connection->client = client;
	if (header == PROXY_CLIENT || header == PROXY_OWN)
		return true;
	atomic_fetch_add_explicit(&table->header->unnamed, 1, memory_order_relaxed);
	return false;
}
