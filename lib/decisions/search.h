/* What became of connections, found out by going over all that the kernel has. For lib's own use. */
#ifndef CONNLIMIT_SEARCH_H
#define CONNLIMIT_SEARCH_H

#include "decisions/batch.h"

enum sought {
	SEARCH_UNPLACED, /* what cannot be asked about: recorded without the address at which it arrived; all, without netlink
			  */
	SEARCH_ALL,	 /* every record of plain TCP */
};

/* Searches for all of these, whoever's they are, as it costs little more than to search for one: behind a worker that died,
 * that is one search and not one for each of its clients. Of what is not unplaced, those from the same port of a client are
 * looked at as well, so that none of them is taken for another. What is proven to be gone (batch.h) is dropped: *dropped tells
 * how many of all; returns how many of the inquiry's client, -1 if the kernel did not answer. Takes memory for as long as it
 * lasts. */
int64_t search_records(struct table *table, struct inquiry *inquiry, enum sought what, int64_t *dropped);

/* SEARCH_UNPLACED, of the client `entry` (or any) on account of `control`. */
int64_t search_unplaced(struct table *table, uint32_t entry, const struct connection *control, int64_t *dropped);

#endif
