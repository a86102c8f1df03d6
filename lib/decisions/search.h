/* What became of connections that were recorded without the address at which they arrived. For lib's own use. */
#ifndef CONNLIMIT_SEARCH_H
#define CONNLIMIT_SEARCH_H

#include "table/table.h"

/* Searches for all that was recorded without its address, whoever's it is, as it costs little more than to search for one:
 * behind a worker that died, that is one search and not one for each of its clients. Those that have their address are left out
 * but for the ones from the same port of a client, so that none of them is taken for another. *dropped tells how many of
 * all were dropped; returns how many of the client `entry` (or of any), -1 if nothing can be said. `proof` as in kernel_search.
 */
int64_t search_unplaced(struct table *table, uint32_t entry, const struct connection *proof, int64_t *dropped);

#endif
