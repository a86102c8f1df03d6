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
	struct endpoint thought = connection->local;
	bool port_known = connection->port_known;

	if (!connection_ask(connection))
		return false;
	if (!port_known)
		return true;
	arrived_at(table, &connection->local.address);
	/* The connection arrived somewhere else than the listener's address says. */
	if (connection->local.port != thought.port ||
	    (!address_is_unspecified(&thought.address) && !endpoint_same(&connection->local, &thought))) {
		uint32_t now = clock_since();
		uint32_t never = 0;
		atomic_compare_exchange_strong(&table->header->steered, &never, now != 0 ? now : 1);
	}
	return true;
}

bool arrived_unsure(const struct table *table, uint32_t since)
{
	uint32_t steered = atomic_load_explicit(&table->header->steered, memory_order_relaxed);

	return steered != 0 && (int32_t)(steered - since) >= 0;
}

COLD void unverifiable_at(struct table *table, const struct endpoint *local)
{
	struct endpoint known;
	uint64_t words[2];

	memcpy(words, local->address.bytes, sizeof(words));
	for (unsigned i = 0; i < UNVERIFIABLE && local->port != 0; i++) {
		if (unverifiable(table, i, &known)) {
			if (endpoint_same(&known, local))
				return;
			continue;
		}
		for (int w = 0; w < 2; w++)
			atomic_store_explicit(&table->header->unverifiable[i].word[w], words[w], memory_order_relaxed);
		uint64_t nobody = 0;
		atomic_compare_exchange_strong(&table->header->unverifiable[i].word[2], &nobody, local->port);
		return;
	}
}

bool unverifiable(const struct table *table, unsigned place, struct endpoint *local)
{
	const struct unverifiable *found = &table->header->unverifiable[place];
	uint64_t words[2];

	*local = (struct endpoint){.port = (uint16_t)atomic_load_explicit(&found->word[2], memory_order_acquire)};
	for (int w = 0; w < 2; w++)
		words[w] = atomic_load_explicit(&found->word[w], memory_order_relaxed);
	memcpy(local->address.bytes, words, sizeof(words));
	return local->port != 0;
}
