/* The local addresses at which connections to wildcard listeners arrive, as far as they were asked for (layout.h, `arrived` and
 * `steered`). */
#ifndef CONNLIMIT_ARRIVED_H
#define CONNLIMIT_ARRIVED_H

#include "table/table.h"

/* Remembers that connections to a wildcard listener arrive at this address. */
void arrived_at(struct table *table, const struct address *address);

/* Asks for the connection's `local` and remembers it. False if the kernel does not say. */
bool arrived_ask(struct table *table, struct connection *connection);

/* Whether the local address of a connection that was recorded at that time is unreliable. */
bool arrived_unsure(const struct table *table, uint32_t since);

/* unverifiable_at remembers for `status` that the connections of the listener at this endpoint cannot be verified with the
 * kernel. unverifiable reads such a listener; false if there is none at `place`, which is below UNVERIFIABLE. */
void unverifiable_at(struct table *table, const struct endpoint *local);
bool unverifiable(const struct table *table, unsigned place, struct endpoint *local);

/* Calls arrived_ask, if the address was not asked for yet. */
static inline bool connection_ask_local(struct table *table, struct connection *connection)
{
	return __builtin_expect(!connection->unasked, 1) || arrived_ask(table, connection);
}

#endif
