/* Checks whether a client's connections are really open, before anyone is refused. */
#ifndef CONNLIMIT_CHECK_H
#define CONNLIMIT_CHECK_H

#include "table/table.h"

enum checked {
	CHECK_FREED,   /* something was gone or miscounted: decide again */
	CHECK_NOTHING, /* all of them are open, as far as that can be proven */
	CHECK_PUT_OFF, /* previous checks have used up the CPU time allowed (pace.h) */
	CHECK_BLIND,   /* the kernel cannot be asked in any way */
};

/* Checks one client's records. `control` is a connection known to be open now. At most CHECKED_MOST records (check.c); the next
 * check continues after them. */
enum { CHECK_WAIT = 50, CHECK_AHEAD = 800 }; /* ms */
enum checked check_client(struct table *table, uint32_t entry, struct connection *control);

/* The same for the connections of all clients, before one is refused by the limit on the total. */
enum checked check_total(struct table *table, struct connection *control);

/* Called before a connection goes uncounted because no slot is free: are there slots that nobody will ever free? Bounded and
 * rate-limited like the checks before a refusal. */
enum checked check_room(struct table *table, struct connection *control);

/* Called before an admission makes a new peak of a client that has doubtful records: is one of them gone? It asks about the one
 * that was marked last, which is the one that ended if sessions follow each other, and then about a few in rotation. */
bool check_before_peak(struct table *table, uint32_t entry, struct connection *control);

/* The number of records, of a client or of all, that are certainly open: not doubtful, and held by a process that lives. For
 * decisions when the kernel cannot be asked. */
uint32_t check_certain(const struct table *table, uint32_t entry);

/* Counts all connections from the slots, after the total was turned on. False if others changed it all the time. */
bool check_total_unknown(struct table *table);

/* Goes over the whole table: asks the kernel about every record, frees what is gone and what dead processes left half done, and
 * mends the counts. The caller must be in the daemon's network namespace. Returns the number of records freed, or -1 if the
 * kernel did not answer. Allocates memory, so not for signal handlers. */
int64_t check_all(struct table *table);

/* Asks the kernel about the connections of one client, without a connection known to be open. The caller must be in the
 * daemon's network namespace. Returns the number of records freed. */
uint32_t check_address(struct table *table, const struct address *address);

/* Whether some of the client's connections may be gone without anybody having noticed. */
bool check_is_in_doubt(const struct table *table, const struct address *address);

/* Lowers the count to the number of slots if it is too high and nobody changes it meanwhile. True if it did. */
bool check_count(struct table *table, uint32_t entry);

#endif
