/* What the nodes of a fleet tell each other, through Redis.
 *
 * Kept there, all under "connlimit:{CLUSTER}:" (one hash slot, so that scripts work on a Redis cluster too):
 *
 *     node:ID        hash    client -> connections that this node holds
 *     totals         hash    client -> sum over all nodes
 *     near           hash    client -> total, of those at or over half the fleet's limit
 *     changes        stream  batches of "client, total" as totals in `near` change
 *     leases         zset    node -> when its lease ends, by Redis's own clock: the nodes' clocks may differ
 *     incarnations   hash    node -> a number that it chose when it joined
 *
 * All changes are made by scripts, each of them one atomic step: totals always are the sum of the nodes' hashes. A node whose
 * lease ended is forgotten by whichever other node notices first, a thousand clients a step. One that comes back has another
 * incarnation or none, is told so, and joins anew: it can not be counted twice. A Redis that was restarted empty looks the same
 * to everyone.
 *
 * Clients under half the limit do not travel to other nodes: a node that knows nothing of a client takes the others to hold
 * nothing, and the first connection that brings the total to half makes it known within one interval. */
#ifndef CONNLIMIT_COMMAND_FLEET_H
#define CONNLIMIT_COMMAND_FLEET_H

#include "redis.h"

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
	char tell[48]; /* hash of the script that Redis keeps for us */
	uint64_t told; /* ms of clock_us when the lease was last renewed */
	char last[48]; /* last stream entry read */
	int lease_ms;
	uint32_t near;
	bool joined;
};

void fleet_init(struct fleet *fleet, const char *cluster, const char *node, int lease_ms);

/* To be called for each new connection: has Redis keep the script that is used all the time. */
bool fleet_prepare(struct fleet *fleet, struct redis *redis, int wait_ms, char *error);

/* Forgets what this node said before, in this or an earlier life, and joins. False with the reason when Redis does not go
 * along. */
bool fleet_join(struct fleet *fleet, struct redis *redis, int wait_ms, char *error);

/* Says goodbye, so that nobody has to wait for the lease. */
void fleet_leave(struct fleet *fleet, struct redis *redis, int wait_ms);

/* One exchange: tells `number` clients' new counts, renews the lease (with nothing to tell, four times in its length), and
 * calls `heard` with each total that changed. fleet->joined turns false if the fleet does not know us any more: join again and
 * tell everything. */
typedef void fleet_heard(const unsigned char *key, uint32_t total, void *with);
bool fleet_exchange(struct fleet *fleet, struct redis *redis, int wait_ms, const struct fleet_change *change, size_t number,
		    fleet_heard *heard, void *with, char *error);

/* Calls `heard` for every client in `near`. */
bool fleet_snapshot(struct fleet *fleet, struct redis *redis, int wait_ms, fleet_heard *heard, void *with, char *error);

/* Forgets nodes whose lease ended; a bounded piece of the work each time. */
bool fleet_bury(struct fleet *fleet, struct redis *redis, int wait_ms, char *error);

#endif
