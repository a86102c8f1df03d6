/* What the nodes of a fleet tell each other, through Redis.
 *
 * Kept there, all under "connlimit:{CLUSTER}:" (one hash slot, so that scripts work on a Redis cluster too):
 *
 *     node:ID        hash    client -> connections that this node holds
 *     totals         hash    client -> sum over all nodes
 *     near           hash    client -> total, of those at or over the lowest threshold
 *     changes        stream  news: "client, total, client, total, ..." as totals at or over the lowest threshold change. The
 *                            entries are numbered without gaps, so a reader knows if it missed one
 *     leases         zset    node -> when its lease ends, by Redis's own clock: the nodes' clocks may differ
 *     incarnations   hash    node -> a number that it chose when it joined; "" while it is being forgotten
 *     thresholds     zset    node -> the total from which on it wants to hear of a client: half its limit
 *
 * All changes are made by scripts (fleet_scripts.h), each of them one atomic step: totals always are the sum of the nodes'
 * hashes. A node whose lease ended is forgotten by whichever other node notices first, a thousand clients a step. One that
 * comes back is told that it is not known, and joins anew: it takes over what the node's hash holds, tells everything as
 * absolute counts, and so can not be counted twice. A Redis that was restarted empty, or a replica in its place that missed the
 * last changes, is brought up to date in the same way, as a node joins anew on every new connection.
 *
 * Clients under half the limit do not travel to other nodes: a node that knows nothing of a client takes the others to hold
 * nothing, and the first connection that brings the total to half makes it known within one interval. */
#ifndef CONNLIMIT_COMMAND_FLEET_H
#define CONNLIMIT_COMMAND_FLEET_H

#include "command/fleet/redis.h"

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

/* A client as it travels: struct network's 16 address bytes and the prefix. */
enum { CLIENT_KEY = 17 };

struct fleet_change {
	unsigned char key[CLIENT_KEY];
	uint32_t number;
};

struct fleet {
	char prefix[96];
	char node[64];
	char incarnation[32];
	char former[32];		       /* the incarnation before, if another node took the name from us; "" otherwise */
	char tell[48];			       /* hash of the script that Redis keeps for us */
	uint64_t renewal;		       /* ms of clock_us when the lease is to be renewed, and others' looked at */
	unsigned long long last;	       /* number of the last news read */
	const volatile sig_atomic_t *stopping; /* long walks end when it is not 0 */
	int lease_ms;
	uint32_t threshold; /* from which total on this node wants to hear of a client */
	bool joined;
	bool missed; /* news were missed: a snapshot must make up for them */
	bool ended;  /* somebody's lease ended */
};

void fleet_init(struct fleet *fleet, const char *cluster, const char *node, int lease_ms,
		const volatile sig_atomic_t *stopping);

/* To be called for each new connection: has Redis keep the script that is used all the time. */
bool fleet_prepare(struct fleet *fleet, struct redis *redis, int wait_ms, char *error);

/* All that follow wait at most about wait_ms for each answer, and return false with the reason when Redis does not go along. */

/* Joins, and calls `held` for each client that this node is said to hold, from an earlier life: what is not held any more is to
 * be told as 0. False as well when another node goes by our name. */
typedef void fleet_heard(const unsigned char *key, uint32_t number, void *with);
bool fleet_join(struct fleet *fleet, struct redis *redis, int wait_ms, fleet_heard *held, void *with, char *error);

/* Says goodbye, so that nobody has to wait for the lease. */
bool fleet_leave(struct fleet *fleet, struct redis *redis, int wait_ms, char *error);

/* One exchange: tells `number` clients' new counts, renews the lease (with nothing to tell, four times in its length), and
 * calls `heard` with each total that changed. fleet->joined turns false if the fleet does not know us any more: join again and
 * tell everything. */
bool fleet_exchange(struct fleet *fleet, struct redis *redis, int wait_ms, const struct fleet_change *change, size_t number,
		    fleet_heard *heard, void *with, char *error);

/* Calls `heard` for every client in `near`. */
bool fleet_snapshot(struct fleet *fleet, struct redis *redis, int wait_ms, fleet_heard *heard, void *with, char *error);

/* Forgets nodes whose lease ended, as many of their clients as is possible in work_ms. */
bool fleet_bury(struct fleet *fleet, struct redis *redis, int wait_ms, int work_ms, char *error);

#endif
