/* When a prefix changes, open connections belong to other clients or networks, so they are counted again. The same is done when
 * connections begin to be counted for networks, or end to be. For lib's own use.
 *
 * The process that publishes the limits begins. But it may die or be stopped, and until all is done a client under the new
 * prefix would have too low a count. So `grouped` in the header says by which prefixes the connections are grouped. A process
 * that is about to decide on a connection and finds other prefixes there continues the work, in parallel with any others that
 * are doing it: each slot is moved by one swap, so it does not matter by which process. One decision does as much as its budget
 * allows (values/budget.h), some 55 connections, and the next one goes on. */
#ifndef CONNLIMIT_REGROUP_H
#define CONNLIMIT_REGROUP_H

#include "table/table.h"

#include <stddef.h>
#include <string.h>

/* Publishes settings, as limits_publish_listed, and regroups if that is needed. */
bool regroup_publish_listed(struct table *table, uint64_t turn, const struct settings *settings,
			    const struct rules_index *listed);

static inline bool regroup_publish(struct table *table, uint64_t turn, const struct settings *settings)
{
	return regroup_publish_listed(table, turn, settings, NULL);
}

/* Counts connections for the client and the network that each belongs to under these limits: all of them, outside of a
 * decision. */
void regroup(struct table *table, const struct limits *limits);

/* The value of `grouped` when all slots are grouped by these prefixes. Until then, the upper half is the slot up to which they
 * are. */
#define REGROUPED (UINT64_C(0xffffffff) << 32)
static inline uint64_t regroup_key(const struct limits *limits)
{
	uint32_t prefixes;

	memcpy(&prefixes, &limits->ipv4_prefix, sizeof(prefixes));
	return REGROUPED | prefixes;
}

_Static_assert(offsetof(struct limits, network_ipv6_prefix) == offsetof(struct limits, ipv4_prefix) + 3, "the four prefixes");

static inline void regroup_look(struct table *table, const struct limits *limits)
{
	if (__builtin_expect(atomic_load_explicit(&table->header->grouped, memory_order_relaxed) != regroup_key(limits), 0))
		regroup(table, limits);
}

#endif
