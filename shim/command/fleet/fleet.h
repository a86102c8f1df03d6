/* What the nodes of a fleet tell each other, through Redis.
 *
 * Kept there, all under "connlimit:{CLUSTER}:" (one hash slot, so that scripts work on a Redis cluster too). Clients are spread
 * over BUCKETS buckets by a hash of theirs, so that a bucket can be looked over in one step:
 *
 *     node:ID:B      hash    client -> connections that this node holds
 *     totals:B       hash    client -> sum over all nodes
 *     near:B         hash    client -> total, of those at or over the lowest threshold
 *     changes        stream  news: "client total client total..." as totals at or over the lowest threshold change. The entries
 *                            are numbered without gaps, so a reader knows if it missed one
 *     leases         zset    node -> when its lease ends, in the fleet's time
 *     clock          string  Redis's clock when it was last looked at, and the fleet's time then, which neither runs back nor
 *                            leaps: the nodes' clocks may differ, and Redis's may be set
 *     incarnations   hash    node -> a number that it chose when it joined; "" while it is being forgotten
 *     thresholds     zset    node -> the total from which on it wants to hear of a client: half its limit
 *     compared       hash    B -> when the bucket's totals were last compared with what the nodes hold
 *
 * All changes are made by one script (fleet.lua), each of them one atomic step: totals are the sum of the nodes' hashes.
 *
 * What is lost or changed there by others heals. In each round (8 s) a node compares the number and the sum of its own clients
 * in each bucket with what it told, and tells a bucket anew that is not so; and whichever node comes first compares the totals
 * and `near` with the nodes' hashes, from which they can be derived at any time. Lost leases, thresholds and the clock are
 * written again by the next who tells; with a lost incarnation a node joins anew; lost news are found by their number.
 *
 * A node whose lease ended is forgotten by whichever other node notices first, a thousand clients a step. One that comes back
 * is told that it is not known, and joins anew: it tells all that it holds, bucket by bucket, in place of what the node's
 * hashes hold, and so can not be counted twice. A Redis that was restarted empty, or a replica in its place that missed the
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

enum {
	CLIENT_KEY = 17, /* a client as it travels: struct network's 16 address bytes and the prefix */
	BUCKETS = 1024,
	FLEET_ERROR = 256, /* room for the reason of a failure */
};

unsigned fleet_bucket(const unsigned char *key);

struct fleet_change {
	unsigned char key[CLIENT_KEY];
	uint32_t number;
};

/* Of a bucket, as this node told it. */
struct fleet_bucket {
	uint32_t clients;
	uint64_t sum;
};

struct fleet {
	char prefix[96];
	char node[64];
	char incarnation[32];
	char former[32];		       /* the incarnation before, if another node took the name from us; "" otherwise */
	char script[48];		       /* hash of the script that Redis keeps for us */
	uint64_t checked;		       /* ms of clock_us when own buckets were last compared */
	unsigned next_bucket;		       /* to be compared */
	unsigned long long last;	       /* number of the last news read */
	const volatile sig_atomic_t *stopping; /* long walks end when it is not 0 */
	int lease_ms;
	uint32_t threshold; /* from which total on this node wants to hear of a client */
	bool joined;
	bool compared; /* since it joined, and nothing was in the way of it */
	bool missed;   /* news were missed: a snapshot must make up for them */
	bool ended;    /* somebody's lease ended */

	/* What checks found, for the caller to deal with and to take away. */
	unsigned long mended;		/* totals, and counts of this node, that were not in Redis as they should be */
	unsigned wrong;			/* buckets of this node that are to be told whole */
	uint16_t wrong_bucket[BUCKETS]; /* which */
};

void fleet_init(struct fleet *fleet, const char *cluster, const char *node, int lease_ms,
		const volatile sig_atomic_t *stopping);

/* To be called for each new connection: has Redis keep the script. */
bool fleet_prepare(struct fleet *fleet, struct redis *redis, int wait_ms, char *error);

/* All that follow wait at most about wait_ms for each answer, and return false with the reason when Redis does not go along. */

/* Joins. What this node holds is to be told whole, before anything else. False as well when another node goes by our name. */
bool fleet_join(struct fleet *fleet, struct redis *redis, int wait_ms, char *error);

/* Hears of clients from another total on; a snapshot is to follow. */
bool fleet_change_threshold(struct fleet *fleet, struct redis *redis, int wait_ms, uint32_t threshold, char *error);

/* Says goodbye, so that nobody has to wait for the lease. */
bool fleet_leave(struct fleet *fleet, struct redis *redis, int wait_ms, char *error);

typedef void fleet_heard(const unsigned char *key, uint32_t number, void *with);

/* One exchange: tells `number` clients' new counts; four times in a lease at least, and four times a second at most, renews the
 * lease and compares some buckets with `told` (all BUCKETS of them, with these changes in it); and calls `heard` with each
 * total that changed. fleet->joined turns false if the fleet does not know us any more: join again and tell everything. */
bool fleet_exchange(struct fleet *fleet, struct redis *redis, int wait_ms, const struct fleet_change *change, size_t number,
		    const struct fleet_bucket *told, fleet_heard *heard, void *with, char *error);

/* All that this node holds in some buckets, to be told in place of what it told before. */
struct fleet_whole {
	unsigned char *bytes;
	size_t length;
	size_t room;
	bool failed; /* there was no memory */
};
enum { WHOLE_MOST = 16384 /* bytes, or a little more, are told at once */ };
void fleet_whole_bucket(struct fleet_whole *whole, unsigned bucket, uint32_t clients);
void fleet_whole_client(struct fleet_whole *whole, const unsigned char *key, uint32_t number); /* that many times */

/* Tells it, and empties it. With `repair` the totals of these buckets are compared as well. */
bool fleet_tell_whole(struct fleet *fleet, struct redis *redis, int wait_ms, struct fleet_whole *whole, bool repair,
		      char *error);

/* Calls `heard` for every client in `near`. */
bool fleet_snapshot(struct fleet *fleet, struct redis *redis, int wait_ms, fleet_heard *heard, void *with, char *error);

/* Forgets nodes whose lease ended, as many of their clients as is possible in work_ms. */
bool fleet_bury(struct fleet *fleet, struct redis *redis, int wait_ms, int work_ms, char *error);

#endif
