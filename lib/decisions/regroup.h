/* After a prefix was changed, connections that are open belong to other clients: they are counted anew. For lib's own use.
 *
 * Whoever publishes the limits begins; but it may die over it or be stopped, and until it is done a client under the new prefix
 * would count too few. So `grouped` in the header says by which prefixes the connections are grouped, and whoever is about to
 * decide and finds others there goes on with it, beside those who are at it: a slot changes hands by one swap, whoever does it.
 * One decision does as much as its budget allows (values/budget.h), some 1 000 connections, and the next goes on. */
#ifndef CONNLIMIT_REGROUP_H
#define CONNLIMIT_REGROUP_H

#include "table/table.h"

/* Publishes settings, as limits_publish_listed, and regroups if that is needed. */
bool regroup_publish_listed(struct table *table, uint64_t turn, const struct settings *settings,
			    const struct rules_index *listed);

static inline bool regroup_publish(struct table *table, uint64_t turn, const struct settings *settings)
{
	return regroup_publish_listed(table, turn, settings, NULL);
}

/* Counts connections for the client that each belongs to under these limits: all of them, outside of a decision. */
void regroup(struct table *table, const struct limits *limits);

/* All slots are grouped by these prefixes. While that is not so, the upper half is the slot up to which they are. Never 0,
 * which is no prefixes. */
#define REGROUPED (UINT64_C(0xffffffff) << 32)
static inline uint64_t regroup_key(const struct limits *limits)
{
	return REGROUPED | UINT32_C(0x10000) | (uint32_t)limits->ipv6_prefix << 8 | limits->ipv4_prefix;
}

static inline void regroup_look(struct table *table, const struct limits *limits)
{
	if (__builtin_expect(atomic_load_explicit(&table->header->grouped, memory_order_relaxed) != regroup_key(limits), 0))
		regroup(table, limits);
}

#endif
