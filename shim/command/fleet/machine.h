/* What this machine holds, over all of its tables that have a limit over the fleet, and what it is told of the others. */
#ifndef CONNLIMIT_COMMAND_MACHINE_H
#define CONNLIMIT_COMMAND_MACHINE_H

#include "command/fleet/fleet.h"

#include "table/table.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* uthash's macros compare signed with unsigned. */
#pragma GCC diagnostic ignored "-Wsign-compare"
#include <uthash.h>

enum { TABLES_MOST = 256, USERS_MOST = 64 };

struct client {
	unsigned char key[CLIENT_KEY];
	bool changed;	  /* to be told */
	bool named;	  /* by the snapshot that is being read */
	bool waiting;	  /* in `to_apply` */
	uint32_t entries; /* that refer here */
	uint32_t local;	  /* connections over all tables */
	uint32_t told;	  /* of them, as the fleet knows */
	uint32_t total;	  /* of the fleet, these included; 0 while it is under the threshold */
	struct client *next_to_apply;
	struct client *next_in_bucket;
	struct client *previous_in_bucket;
	UT_hash_handle hh;
};

struct joined; /* a table that takes part */

struct machine {
	struct client *clients;
	struct client *bucket[BUCKETS];	   /* the same clients */
	struct fleet_bucket told[BUCKETS]; /* what they sum up to, as they were told */
	struct client *to_apply;
	struct joined *joined[TABLES_MOST];
	size_t tables;
	struct fleet_change *change; /* clients to tell; `number` is filled in when they are */
	size_t changes;
	size_t change_room;
	size_t strangers;	       /* clients of which only the fleet spoke */
	const char *only[TABLES_MOST]; /* names of tables; none: every one with a fleet's limit */
	size_t only_so_many;
	uid_t user[USERS_MOST]; /* whose tables are joined, beside root's and our own */
	size_t users;
	uint32_t threshold; /* half the smallest limit in force */
	bool telling;	    /* changes are collected, to be told */
};

/* ---- clients (machine.c) ---- */

/* The fleet is not heard: nothing is collected. */
void machine_pause(struct machine *machine);

/* What was heard so long ago that it does not count any more is forgotten. */
void machine_forget(struct machine *machine);

/* Fills in the counts of the clients to be told; from now on they count as told. Returns how many; the caller tells
 * machine->change[0..]. */
size_t machine_take_changes(struct machine *machine);

/* Adds all that is held in one bucket to what is told whole; from now on it counts as told. */
void machine_take_bucket(struct machine *machine, unsigned bucket, struct fleet_whole *whole);

/* The fleet's total of a client. What follows from it is written by machine_apply. */
void machine_hear(struct machine *machine, const unsigned char *key, uint32_t total);

/* Before and after a snapshot of all totals over the threshold is heard: one that it did not name has fallen. */
void machine_snapshot_begins(struct machine *machine);
void machine_snapshot_ends(struct machine *machine);

/* Takes clients out of memory of whom there is nothing to know. */
void machine_tidy(struct machine *machine);

/* For the tables' use: the client of this key; `make`: added if there is none yet (NULL: no memory). */
struct client *machine_client(struct machine *machine, const unsigned char *key, bool make);

/* It holds so many more, or fewer. */
void machine_adjust(struct machine *machine, struct client *client, int64_t step);

/* What the fleet holds of it is to be written into the tables. */
void machine_add_to_apply(struct machine *machine, struct client *client);

/* ---- tables (machine_tables.c) ---- */

/* Finds the tables and takes up what changed in them since the last look: one word is compared for each entry. What a table
 * says is bounded by what its capacity allows, over all of its clients. */
void machine_look(struct machine *machine);

/* The fleet is joined: what changes from now on is to be told, and what tables say of others is to be gone over. */
void machine_begin(struct machine *machine);

/* Writes into the tables what others hold: of those whose total changed; and, with `all`, of everyone, setting right what an
 * earlier sidecar left. */
void machine_apply(struct machine *machine, bool all);

/* Says in every table that the fleet was heard at `when` (ms of clock_ms), and how long that is good; how many counts were
 * mended since the last time, and whether Redis may evict what the fleet keeps there. */
void machine_heard(struct machine *machine, uint64_t when, int lease_ms, unsigned long mended, bool evicting);

/* Asks the kernel about the connections of those who are at the fleet's limit, for at most about work_ms: no other machine sees
 * which of them are gone. */
void machine_verify(struct machine *machine, int work_ms);

/* Leaves all tables, and takes back what was written into them. */
void machine_leave(struct machine *machine);

#endif
