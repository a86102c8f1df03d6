/* What this machine holds, over all of its tables that have a limit over the fleet, and what it is told of the others. */
#ifndef CONNLIMIT_COMMAND_MACHINE_H
#define CONNLIMIT_COMMAND_MACHINE_H

#include "command/fleet/fleet.h"

#include "table/table.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* uthash's macros compare signed with unsigned. */
#pragma GCC diagnostic ignored "-Wsign-compare"
#include <uthash.h>

enum { TABLES_MOST = 256 };

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
	UT_hash_handle hh;
};

struct joined; /* a table that takes part */

struct machine {
	struct client *clients;
	struct client *to_apply;
	struct joined *joined[TABLES_MOST];
	size_t tables;
	struct fleet_change *change; /* clients to tell; `number` is filled in when they are */
	size_t changes;
	size_t change_room;
	size_t strangers;	       /* clients of which only the fleet spoke */
	const char *only[TABLES_MOST]; /* names of tables; none: every one with a fleet's limit */
	size_t only_so_many;
	uint32_t threshold; /* half the smallest limit in force */
	bool telling;	    /* changes are collected, to be told */
};

/* Finds the tables and takes up what changed in them since the last look: one word is compared for each entry. */
void machine_look(struct machine *machine);

/* The fleet is joined: everything held is to be told. */
void machine_begin(struct machine *machine);

/* The fleet is not heard: nothing is collected, and nothing is known of what it was told. */
void machine_pause(struct machine *machine);

/* What was heard so long ago that it does not count any more is forgotten. */
void machine_forget(struct machine *machine);

/* A client is to be told, and held by nobody as far as we know. */
void machine_add_unknown(struct machine *machine, const unsigned char *key);

/* Fills in the counts of the clients to be told; from now on they count as told. Returns how many; the caller tells
 * machine->change[0..]. */
size_t machine_take_changes(struct machine *machine);

/* The fleet's total of a client. What follows from it is written by machine_apply. */
void machine_hear(struct machine *machine, const unsigned char *key, uint32_t total);

/* Before and after a snapshot of all totals over the threshold is heard: one that it did not name has fallen. */
void machine_snapshot_begins(struct machine *machine);
void machine_snapshot_ends(struct machine *machine);

/* Writes into the tables what others hold: of those whose total changed; and, with `all`, of everyone, setting right what an
 * earlier sidecar left. */
void machine_apply(struct machine *machine, bool all);

/* Says in every table that the fleet was heard at `when` (ms of clock_ms), and how long that is good. */
void machine_heard(struct machine *machine, uint64_t when, int lease_ms);

/* Asks the kernel about the connections of those who are at the fleet's limit, for at most about work_ms: no other machine sees
 * which of them are gone. */
void machine_verify(struct machine *machine, int work_ms);

/* Takes clients out of memory of whom there is nothing to know. */
void machine_tidy(struct machine *machine);

/* Leaves all tables, and takes back what was written into them. */
void machine_leave(struct machine *machine);

#endif
