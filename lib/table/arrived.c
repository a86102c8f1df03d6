#include "table/arrived.h"

#include "values/clock.h"

#include <string.h>

COLD void arrived_at(struct table *table, const struct address *address)
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

COLD bool arrived_ask(struct table *table, struct connection *connection)
{
	uint16_t port = connection->local.port;
	bool port_known = connection->port_known;

	if (!connection_ask(connection))
		return false;
	if (!port_known)
		return true;
	arrived_at(table, &connection->local.address);
	/* The port is not the one that was thought to be known. */
	if (connection->local.port != port)
		atomic_store(&table->header->steered, 1);
	return true;
}
