/* Finding out which connections are gone by going through all of the kernel's connections. For lib's own use. */
#ifndef CONNLIMIT_SEARCH_H
#define CONNLIMIT_SEARCH_H

#include "decisions/batch.h"

enum sought {
	SEARCH_UNPLACED, /* records that cannot be asked about, as they have no local address; without netlink, all records */
	SEARCH_ALL,	 /* every record of plain TCP */
};

/* Searches for all of these records, of all clients, as that costs little more than to search for one: after a worker died it
 * takes one search and not one for each of its clients. Records with a local address are included if an unplaced one has the
 * same peer port, so that one is not mistaken for the other. Records that are proven to be gone (batch.h) are dropped. Returns
 * how many of them were of the inquiry's client, or -1 if the kernel did not answer. Takes memory while it runs.
 *
 * For a decision: 0 without a search if the last ones are not paid for yet (`can_wait`: half of what may lie ahead stays for
 * those that cannot), or if the decision's budget does not suffice. *us is the CPU time that it took. */
int64_t search_in_time(struct table *table, struct inquiry *inquiry, enum sought what, bool can_wait, uint64_t *us);

/* Whether search_in_time would search now, as far as others have paid. */
bool search_is_allowed(const struct table *table, bool can_wait);

/* SEARCH_UNPLACED, for the client `entry` (or any), whatever was paid and without a control. *dropped is the number of all
 * records that were dropped. */
int64_t search_unplaced(struct table *table, uint32_t entry, int64_t *dropped);

#endif
