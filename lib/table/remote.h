/* What the other machines of a fleet hold, as `connlimit sync` writes it into the table. accept only reads memory: the network
 * is never in its way. */
#ifndef CONNLIMIT_REMOTE_H
#define CONNLIMIT_REMOTE_H

#include "table/table.h"

/* How many connections the fleet's limit leaves to this machine for the client in `entry`; LIMIT_NONE if there is no such
 * limit, or if the connection is exempt from limits by a rule. When the fleet has not been heard for its lease, others count as
 * holding none. Async-signal-safe, makes no system call. */
uint32_t remote_leaves_limited(const struct table *table, const struct limits *limits, const struct connection *connection,
			       const struct applied *applied, uint32_t entry);

static inline uint32_t remote_leaves(const struct table *table, const struct limits *limits,
				     const struct connection *connection, const struct applied *applied, uint32_t entry)
{
	if (__builtin_expect(limits->cluster_per_ip == LIMIT_NONE, 1))
		return LIMIT_NONE;
	return remote_leaves_limited(table, limits, connection, applied, entry);
}

/* Says what other machines hold of a client. An entry is added for a client that holds nothing here. False if there is no room.
 */
bool remote_set(struct table *table, const struct network *network, uint32_t connections);

/* Says that the fleet was heard at `when` (ms of clock_ms), and how long (ms) from then on what it said may be used; how many
 * counts were not in Redis as they should be and were `mended` since the last time; and whether Redis may evict them. The
 * calling process becomes the table's sidecar. */
void remote_heard(struct table *table, uint64_t when, uint32_t lease_ms, uint64_t mended, bool evicting);

/* The process that keeps the table up to date about the fleet; 0 if nothing was heard for a lease. */
uint32_t remote_sidecar(const struct table *table);

/* Forgets what was said. */
void remote_forget(struct table *table);

#endif
