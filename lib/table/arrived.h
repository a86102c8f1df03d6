/* At which addresses connections to a wildcard listener arrive, as far as it was asked (layout.h, `arrived` and `steered`). */
#ifndef CONNLIMIT_ARRIVED_H
#define CONNLIMIT_ARRIVED_H

#include "table/table.h"

/* Remembers that connections to a wildcard listener arrive at this address. */
void arrived_at(struct table *table, const struct address *address);

/* Asks for the connection's `local` and remembers it. False if the kernel does not say. */
bool arrived_ask(struct table *table, struct connection *connection);

/* Whether the address of what was recorded at that time is not to be relied on. */
bool arrived_unsure(const struct table *table, uint32_t since);

/* Remembers, for status, that the kernel does not tell what became of the connections of the listener at this endpoint, and
 * tells it: false if there is none at `place`, below UNVERIFIABLE. */
void unverifiable_at(struct table *table, const struct endpoint *local);
bool unverifiable(const struct table *table, unsigned place, struct endpoint *local);

/* arrived_ask, if it was not asked for yet. */
static inline bool connection_ask_local(struct table *table, struct connection *connection)
{
	return __builtin_expect(connection->unasked == 0, 1) || arrived_ask(table, connection);
}

#endif
