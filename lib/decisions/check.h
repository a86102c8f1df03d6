/* Before anyone is refused: are the client's connections really open? */
#ifndef CONNLIMIT_CHECK_H
#define CONNLIMIT_CHECK_H

#include "table/table.h"

enum checked {
	CHECK_FREED,	  /* something was dead or miscounted: decide again */
	CHECK_NOTHING,	  /* all of it is open: the count is right */
	CHECK_BACKED_OFF, /* a check found nothing moments ago and is not repeated yet */
	CHECK_BLIND,	  /* the kernel could not be asked: only the table's word is there */
};

/* Checks one client's records, on account of `control`, a connection known to be open at this moment. A check that finds
 * nothing is paid for with CHECK_WAIT, or with 50 times the CPU that it took if that is more, so that they stay under 2 % of
 * one CPU; a client may be CHECK_AHEAD in debt before it has to wait. So the kernel is asked at once for whoever comes back a
 * few times after a refusal, and seldom for one that keeps at it. The checks of all clients together are held to as much
 * (check.c). One that finds something settles the debt. */
enum { CHECK_WAIT = 50, CHECK_AHEAD = 800 }; /* ms */
enum checked check_client(struct table *table, uint32_t entry, struct connection *control);

/* The same for the connections of all clients, before one is refused by the limit on the total. At most CHECKED_MOST (check.c)
 * at once; the next check goes on behind them. */
enum checked check_total(struct table *table, struct connection *control);

/* Before a connection goes uncounted because no slot is free: are there any that nobody will ever give back? Bounded and paced
 * like the checks before a refusal. */
enum checked check_room(struct table *table, struct connection *control);

/* Finds the count of all connections from the slots, after counting was turned on. False if others changed it all the time. */
bool check_total_unknown(struct table *table);

/* Goes over the whole table: asks the kernel about every record, frees what is gone and what the dead left half done, and mends
 * the counts. For a process in the daemon's network namespace, which the caller answers for. Returns the records freed, or -1
 * if the kernel did not answer. Takes memory, so not for signal handlers. */
int64_t check_all(struct table *table);

/* Asks the kernel about the connections of one client, without a connection known to be open: for a process as check_all's.
 * Returns the records freed. */
uint32_t check_address(struct table *table, const struct address *address);

/* Lowers the count to the number of slots if it stands too high and nothing moves. True if it did. */
bool check_count(struct table *table, uint32_t entry);

#endif
