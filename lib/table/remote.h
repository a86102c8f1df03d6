/* The connections on the other machines of a fleet, which `connlimit sync` writes to the table. accept only reads memory and
 * never waits for the network. */
#ifndef CONNLIMIT_REMOTE_H
#define CONNLIMIT_REMOTE_H

#include "table/table.h"

/* How many connections the fleet's limit leaves to this machine for the client in `entry`. LIMIT_NONE if there is no such
 * limit, or if a rule exempts the connection from limits. If nothing was heard of the fleet for a lease, connections on other
 * machines do not count. Async-signal-safe, makes no system call. */
uint32_t remote_leaves_limited(const struct table *table, const struct limits *limits, const struct connection *connection,
			       const struct applied *applied, uint32_t entry);

static inline uint32_t remote_leaves(const struct table *table, const struct limits *limits,
				     const struct connection *connection, const struct applied *applied, uint32_t entry)
{
	if (__builtin_expect(limits->cluster_per_ip == LIMIT_NONE, 1))
		return LIMIT_NONE;
	return remote_leaves_limited(table, limits, connection, applied, entry);
}

/* Sets the number of a client's connections on other machines. Adds an entry for a client that has no connection here. False if
 * there is no room. */
bool remote_set(struct table *table, const struct network *network, uint32_t connections);

/* Notes that the fleet was heard at `when` (ms of clock_ms), and that its counts are valid for lease_ms from then on. `mended`
 * is the number of counts in Redis that were wrong and were corrected since the last call; `evicting` says whether Redis may
 * evict counts. The calling process becomes the table's sidecar. */
void remote_heard(struct table *table, uint64_t when, uint32_t lease_ms, uint64_t mended, bool evicting);

/* The process that writes the fleet's counts to the table; 0 if nothing was heard for a lease. */
uint32_t remote_sidecar(const struct table *table);

/* Forgets the fleet's counts. */
void remote_forget(struct table *table);

#endif
