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
 * same peer port, so that one is not mistaken for the other. Records that are proven to be gone (batch.h) are dropped;
 * *dropped is their number. Returns how many of them were of the inquiry's client, or -1 if the kernel did not answer. Takes
 * memory while it runs. */
int64_t search_records(struct table *table, struct inquiry *inquiry, enum sought what, int64_t *dropped);

/* SEARCH_UNPLACED, for the client `entry` (or any), with `control` as the proof. */
int64_t search_unplaced(struct table *table, uint32_t entry, const struct connection *control, int64_t *dropped);

#endif
