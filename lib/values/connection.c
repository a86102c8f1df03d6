/* Who is connected, and where the connection arrived. */
#include "values/clock.h"
#include "values/confined.h"
#include "table/table.h"

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

COLD void connection_arrived_at(struct table *table, const struct address *address)
{
	struct arrived *arrived = table->header->arrived;
	uint64_t words[2];
	unsigned place = ARRIVED;

	memcpy(words, address->bytes, sizeof(words));
	for (unsigned i = 0; i < ARRIVED; i++) {
		uint64_t first = atomic_load_explicit(&arrived[i].word[0], memory_order_relaxed);
		uint64_t second = atomic_load_explicit(&arrived[i].word[1], memory_order_relaxed);

		if (first == words[0] && second == words[1])
			return;
		if (place == ARRIVED && (first | second) == 0)
			place = i;
	}
	if (place == ARRIVED)
		place = (unsigned)clock_us() % ARRIVED;
	for (int i = 0; i < 2; i++)
		atomic_store_explicit(&arrived[place].word[i], words[i], memory_order_relaxed);
}

COLD bool connection_ask_local_now(struct table *table, struct connection *connection)
{
	struct sockaddr_storage local;
	socklen_t length = sizeof(local);
	uint16_t port = connection->local.port;

	if (!may_call(SYS_getsockname, connection->unasked - 1, 0, 0) ||
	    getsockname(connection->unasked - 1, (struct sockaddr *)&local, &length) != 0 ||
	    !endpoint_from_sockaddr(&connection->local, (struct sockaddr *)&local, length))
		return false;
	connection->unasked = 0;
	if (!connection->port_known)
		return true;
	connection_arrived_at(table, &connection->local.address);
	if (connection->local.port != port)
		atomic_store(&table->header->steered, 1);
	return true;
}
