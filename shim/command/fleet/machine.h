/* What this machine holds, over all of its tables with a fleet limit, and what it learned about other machines. */
#ifndef CONNLIMIT_COMMAND_MACHINE_H
#define CONNLIMIT_COMMAND_MACHINE_H

#include "command/fleet/fleet.h"
#include "command/fleet/machine_bans.h"

#include "table/table.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

/* uthash's macros compare signed with unsigned numbers. */
#pragma GCC diagnostic ignored "-Wsign-compare"
#include <uthash.h>

enum { TABLES_MOST = 256, USERS_MOST = 64 };

/* A client as it is sent, and as tables know it. */
static inline void key_of(unsigned char key[CLIENT_KEY], const struct network *network)
{
	memcpy(key, network->address.bytes, 16);
	key[16] = network->prefix;
}

static inline struct network network_of(const unsigned char key[CLIENT_KEY])
{
	struct network network = {.prefix = key[16]};

	memcpy(network.address.bytes, key, 16);
	return network;
}

struct client {
	unsigned char key[CLIENT_KEY];
	bool changed;	  /* has to be told */
	bool named;	  /* contained in the snapshot that is being read */
	bool waiting;	  /* in `to_apply` */
	uint32_t entries; /* table entries that refer to it */
	uint32_t local;	  /* connections in all tables */
	uint32_t told;	  /* the part of them that was told to the fleet */
	uint32_t total;	  /* the fleet's total, including these; 0 below the threshold */
	struct client *next_to_apply;
	struct client *next_in_bucket;
	struct client *previous_in_bucket;
	UT_hash_handle hh;
};

struct joined; /* a table that takes part */

struct machine {
	struct client *clients;
	struct client *bucket[BUCKETS];	   /* the same clients, by bucket */
	struct fleet_bucket told[BUCKETS]; /* sums of what was told */
	struct client *to_apply;
	struct joined *joined[TABLES_MOST];
	size_t tables;
	struct fleet_change *change; /* clients to tell; `number` is filled in when they are sent */
	size_t changes;
	size_t change_room;
	size_t strangers;	       /* clients known only from the fleet */
	const char *only[TABLES_MOST]; /* names of tables to join; none: all that have a fleet limit */
	size_t only_so_many;
	uid_t user[USERS_MOST]; /* users whose tables are joined, in addition to root and our own user */
	size_t users;
	struct bans bans;
	uint32_t threshold; /* half of the smallest limit in force */
	bool telling;	    /* changes are collected to be told */
};

/* ---- clients (machine.c) ---- */

/* The fleet cannot be reached: stop collecting changes. */
void machine_pause(struct machine *machine);

/* Forgets totals that were heard so long ago that they no longer apply. */
void machine_forget(struct machine *machine);

/* Fills in the counts of the clients that have to be told; from now on they count as told. Returns how many; the caller sends
 * machine->change[0..]. */
size_t machine_take_changes(struct machine *machine);

/* Adds all clients of a bucket to what is told whole; from now on they count as told. */
void machine_take_bucket(struct machine *machine, unsigned bucket, struct fleet_whole *whole);

/* Notes the fleet's total for a client. machine_apply writes the result into the tables. */
void machine_hear(struct machine *machine, const unsigned char *key, uint32_t total);

/* Called before and after a snapshot of all totals over the threshold: a client that is not in it has fallen below. */
void machine_snapshot_begins(struct machine *machine);
void machine_snapshot_ends(struct machine *machine);

/* Removes clients of which nothing is known from memory. */
void machine_tidy(struct machine *machine);

/* For machine_tables.c: finds the client with this key. With `make` it is added if necessary (NULL: no memory). */
struct client *machine_client(struct machine *machine, const unsigned char *key, bool make);

/* It holds so many more or fewer connections. */
void machine_adjust(struct machine *machine, struct client *client, int64_t step);

/* Marks a client whose remote count has to be written into the tables. */
void machine_add_to_apply(struct machine *machine, struct client *client);

/* ---- tables (machine_tables.c) ---- */

/* Finds the tables and takes over what changed in them since the last time, by comparing a word per entry. The counts of a
 * table are bounded by its capacity. Bans too, if they are shared. */
void machine_look(struct machine *machine);

/* The fleet was joined: changes from now on have to be told, and remote counts in tables have to be checked. */
void machine_begin(struct machine *machine);

/* Writes into the tables what others hold, for clients whose total changed, and bans. With `all`, for all clients, and corrects
 * what an earlier sidecar left. */
void machine_apply(struct machine *machine, bool all);

/* Notes in every table that the fleet was heard at `when` (ms of clock_ms) and for how long that is valid, how many counts were
 * corrected since the last time, and whether Redis may evict the fleet's keys. */
void machine_heard(struct machine *machine, uint64_t when, int lease_ms, unsigned long mended, bool evicting);

/* Asks the kernel about the connections of clients at the fleet's limit, for about work_ms at most: no other machine can tell
 * which of them are gone. */
void machine_verify(struct machine *machine, int work_ms);

/* Leaves all tables, and removes what was written into them. */
void machine_leave(struct machine *machine);

#endif
