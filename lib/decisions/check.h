/* Before anyone is refused: are the client's connections really open? */
#ifndef CONNLIMIT_CHECK_H
#define CONNLIMIT_CHECK_H

#include "table/table.h"

enum checked {
	CHECK_FREED,   /* something was gone or miscounted: decide again */
	CHECK_NOTHING, /* all of it is open, as far as can be proven */
	CHECK_PUT_OFF, /* the last checks are not paid for yet (pace.h) */
	CHECK_BLIND,   /* the kernel cannot be asked in any way */
};

/* Checks one client's records, on account of `control`, a connection known to be open at this moment. At most CHECKED_MOST
 * (check.c) at once; the next check goes on behind them. */
enum { CHECK_WAIT = 50, CHECK_AHEAD = 800 }; /* ms */
enum checked check_client(struct table *table, uint32_t entry, struct connection *control);

/* The same for the connections of all clients, before one is refused by the limit on the total. */
enum checked check_total(struct table *table, struct connection *control);

/* Before a connection goes uncounted because no slot is free: are there any that nobody will ever give back? Bounded and paced
 * like the checks before a refusal. */
enum checked check_room(struct table *table, struct connection *control);

/* Before an admission makes a new peak of a client that has doubtful records: is one of them gone? Asked about are the one that
 * was marked last, which is the one that ended where sessions follow each other, and then a few in rotation. */
bool check_before_peak(struct table *table, uint32_t entry, struct connection *control);

/* The records of a client, or of any, that are open for certain: not doubtful, and held by a process that lives. For decisions
 * without the kernel's word. */
uint32_t check_certain(const struct table *table, uint32_t entry);

/* Finds the count of all connections from the slots, after counting was turned on. False if others changed it all the time. */
bool check_total_unknown(struct table *table);

/* Goes over the whole table: asks the kernel about every record, frees what is gone and what the dead left half done, and mends
 * the counts. For a process in the daemon's network namespace, which the caller answers for. Returns the records freed, or -1
 * if the kernel did not answer. Takes memory, so not for signal handlers. */
int64_t check_all(struct table *table);

/* Asks the kernel about the connections of one client, without a connection known to be open: for a process as check_all's.
 * Returns the records freed. */
uint32_t check_address(struct table *table, const struct address *address);

/* Whether some of the client's connections may be gone, as nobody who could know has closed them. */
bool check_is_in_doubt(const struct table *table, const struct address *address);

/* Lowers the count to the number of slots if it stands too high and nothing moves. True if it did. */
bool check_count(struct table *table, uint32_t entry);

#endif
