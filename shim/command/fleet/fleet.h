/* What the nodes of a fleet tell each other, through Redis.
 *
 * All keys are under "connlimit:{CLUSTER}:" (one hash slot, so that scripts also work on a Redis cluster). Clients are spread
 * over BUCKETS buckets by a hash, so that a bucket can be checked in one step:
 *
 *     node:ID:B      hash    client -> connections that this node holds
 *     totals:B       hash    client -> sum over all nodes
 *     near:B         hash    client -> total, for totals at or over the lowest threshold
 *     changes        stream  news: "client total client total..." when totals at or over the lowest threshold change, and
 *                            words about bans. Entries are numbered without gaps, so a reader knows if it missed one
 *     leases         zset    node -> when its lease ends, in the fleet's time
 *     clock          string  Redis's clock when it was last read, and the fleet's time then. The fleet's time never goes back
 *                            or jumps, even if the nodes' clocks differ or Redis's clock is set
 *     incarnations   hash    node -> a number that it chose when it joined; "" while the node is being forgotten
 *     thresholds     zset    node -> the total from which it wants to hear of a client: half its limit
 *     compared       hash    B -> when the bucket's totals were last compared with what the nodes hold, and the lowest
 *                            threshold then
 *     bans:B         hash    client -> "TURN UNTIL", or "TURN UNTIL-" if its ban was lifted; in the fleet's time
 *
 * All changes are made by one script (fleet.lua), each in one atomic step: totals are the sums of the nodes' hashes.
 *
 * Lost or modified data is corrected. In each round (8 s) a node compares the number and the sum of its own clients in each
 * bucket with what it told, and tells a bucket again if they differ; and the first node to get there compares the totals and
 * `near` with the nodes' hashes, from which they can always be derived. Lost leases, thresholds and the clock are written again
 * by the next node that tells something; a node whose incarnation was lost joins again; lost news are noticed by their numbers.
 *
 * When a node's lease ends, the first other node that notices forgets it, a thousand clients per step. If it comes back, it is
 * told that it is not known, and joins again: it tells everything that it holds, bucket by bucket, replacing the contents of
 * its hashes, so nothing is counted twice. A node joins again on every new connection. This also brings up to date a Redis that
 * was restarted empty, or a replica that took over without the last changes.
 *
 * Clients below half the limit are not sent to other nodes. A node that has heard nothing about a client assumes that the
 * others hold nothing, and the first connection that brings the total to half the limit makes it known within an interval.
 *
 * Of bans, the last word about a client holds everywhere (machine_bans.h). Each new word takes a turn, the fleet's time or one
 * more than the turn before. A node tells its own words again, with their turns, in rounds of 8 s; so those that were lost
 * return, and an older one changes nothing, but is answered by the news of the one that holds. */
#ifndef CONNLIMIT_COMMAND_FLEET_H
#define CONNLIMIT_COMMAND_FLEET_H

#include "command/fleet/redis.h"

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

enum {
	CLIENT_KEY = 17, /* a client as it is sent: the 16 address bytes and the prefix of struct network */
	BUCKETS = 1024,
	FLEET_ERROR = 256, /* room for an error message */
};

unsigned fleet_bucket(const unsigned char *key);

struct fleet_change {
	unsigned char key[CLIENT_KEY];
	uint32_t number;
};

/* A word about a client's ban. */
struct fleet_ban {
	unsigned char key[CLIENT_KEY];
	bool lifted;
	uint32_t seconds; /* that the ban still lasts, UINT32_MAX for ever; if it was lifted, so long that is remembered */
	uint64_t turn;	  /* the higher one holds; 48 bits */
};
#define FLEET_TURN_NEW ((UINT64_C(1) << 48) - 1) /* a new word: Redis gives it a turn */

typedef void fleet_heard_ban(const struct fleet_ban *ban, void *with);

/* The sums of a bucket, as this node told them. */
struct fleet_bucket {
	uint32_t clients;
	uint64_t sum;
};

struct fleet {
	char prefix[96];
	char node[64];
	char incarnation[32];
	char former[32];		       /* the previous incarnation, if another node took our name; "" otherwise */
	char script[48];		       /* hash of the script that Redis keeps for us */
	uint64_t checked;		       /* ms of clock_us when own buckets were last compared */
	unsigned next_bucket;		       /* the next one to compare */
	unsigned long long last;	       /* number of the last news read */
	const volatile sig_atomic_t *stopping; /* long walks end when it is not 0 */
	int lease_ms;
	uint32_t threshold; /* the total from which this node wants to hear of a client */
	bool joined;
	bool compared; /* since it joined */
	bool missed;   /* news were missed, so a snapshot is needed */
	bool ended;    /* somebody's lease ended */

	/* Called for each word about a ban that is among the news; NULL: bans are not shared. */
	fleet_heard_ban *heard_ban;
	void *heard_ban_with;

	/* What checks found, for the caller to handle and to reset. */
	unsigned long mended;		/* totals, and counts of this node, that had to be corrected in Redis */
	unsigned wrong;			/* buckets of this node that have to be told whole */
	uint16_t wrong_bucket[BUCKETS]; /* which */
};

void fleet_init(struct fleet *fleet, const char *cluster, const char *node, int lease_ms,
		const volatile sig_atomic_t *stopping);

/* Call this for each new connection: it loads the script into Redis. */
bool fleet_prepare(struct fleet *fleet, struct redis *redis, int wait_ms, char *error);

/* The following functions wait at most about wait_ms for each answer, and return false with the reason if they fail. */

/* Joins. Afterwards everything that this node holds has to be told first. Also fails if another node uses our name. */
bool fleet_join(struct fleet *fleet, struct redis *redis, int wait_ms, char *error);

/* Changes the total from which we hear of clients; a snapshot has to follow. */
bool fleet_change_threshold(struct fleet *fleet, struct redis *redis, int wait_ms, uint32_t threshold, char *error);

/* Leaves, so that others need not wait for the lease to end. */
bool fleet_leave(struct fleet *fleet, struct redis *redis, int wait_ms, char *error);

typedef void fleet_heard(const unsigned char *key, uint32_t number, void *with);

/* One exchange: tells the new counts of `number` clients, and calls `heard` for each total that changed. At least four times
 * per lease, but at most four times a second, it also renews the lease and compares some buckets with `told` (all BUCKETS of
 * them, including these changes). Sets fleet->joined to false if the fleet no longer knows us: then join again and tell
 * everything. */
bool fleet_exchange(struct fleet *fleet, struct redis *redis, int wait_ms, const struct fleet_change *change, size_t number,
		    const struct fleet_bucket *told, fleet_heard *heard, void *with, char *error);

/* Everything that this node holds in some buckets, which replaces what it told before. */
struct fleet_whole {
	unsigned char *bytes;
	size_t length;
	size_t room;
	bool failed; /* out of memory */
};
enum { WHOLE_MOST = 16384 /* bytes, or a little more, are sent at once */ };
void fleet_whole_bucket(struct fleet_whole *whole, unsigned bucket, uint32_t clients);
void fleet_whole_client(struct fleet_whole *whole, const unsigned char *key, uint32_t number); /* `clients` times */

/* Sends it, and empties it. With `repair`, the totals of these buckets are checked too. */
bool fleet_tell_whole(struct fleet *fleet, struct redis *redis, int wait_ms, struct fleet_whole *whole, bool repair,
		      char *error);

/* Tells words about bans. */
bool fleet_tell_bans(struct fleet *fleet, struct redis *redis, int wait_ms, const struct fleet_ban *ban, size_t number,
		     char *error);

/* Calls fleet->heard_ban for every ban that is in force or was lifted. */
bool fleet_all_bans(struct fleet *fleet, struct redis *redis, int wait_ms, char *error);

/* Calls `heard` for every client in `near`. */
bool fleet_snapshot(struct fleet *fleet, struct redis *redis, int wait_ms, fleet_heard *heard, void *with, char *error);

/* Forgets nodes whose lease has ended: as many of their clients as is possible in work_ms. */
bool fleet_bury(struct fleet *fleet, struct redis *redis, int wait_ms, int work_ms, char *error);

#endif
