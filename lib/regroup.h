/* After a reload that changed how much of an address is one client. For lib's own use. */
#ifndef CONNLIMIT_REGROUP_H
#define CONNLIMIT_REGROUP_H

#include "table.h"

/* Moves every open connection to the client that it belongs to under `limits`, so that their counts hold for the connections
 * that are open already. Whoever admits, releases or mends meanwhile is not in the way: each step leaves every count at or
 * above its slots. O(slots in use); async-signal-safe. */
void regroup(struct table *table, const struct limits *limits);

#endif
