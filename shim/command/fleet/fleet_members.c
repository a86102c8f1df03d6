#include "command/fleet/fleet_call.h"
#include "command/fleet/wire.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

enum { WALK_MOST_MS = 60000 /* gives up on a server that never reaches the end of a hash */ };

void fleet_init(struct fleet *fleet, const char *cluster, const char *node, int lease_ms, const volatile sig_atomic_t *stopping)
{
	*fleet = (struct fleet){.lease_ms = lease_ms, .threshold = 1, .stopping = stopping};
	snprintf(fleet->prefix, sizeof(fleet->prefix), "connlimit:{%.70s}:", cluster);
	snprintf(fleet->node, sizeof(fleet->node), "%s", node);
}

bool fleet_goes_on(const struct fleet *fleet, uint64_t began, const char *what, char *error)
{
	if (*fleet->stopping == 0 && now_ms() - began <= WALK_MOST_MS)
		return true;
	snprintf(error, FLEET_ERROR, "%s %s", what, *fleet->stopping != 0 ? "given up" : "without end");
	return false;
}

/* ---- walks over all buckets ---- */

/* Calls `operation` for one range of buckets after another, until time `until`. Its first argument is the bucket to start from.
 */
static bool walk(struct fleet *fleet, struct redis *redis, int wait_ms, const char *operation, const char *node,
		 const char *last_argument, uint64_t until, struct hearing *hearing)
{
	uint64_t began = now_ms();
	long long bucket = 0;
	struct call call;

	do {
		call_begin(&call, fleet, operation, node);
		call_add_number(&call, bucket);
		if (last_argument != NULL)
			call_add_text(&call, last_argument);
		if (!call_answered(&call, redis, wait_ms, hearing) || !fleet_goes_on(fleet, began, "a walk", hearing->error))
			return false;
		if (hearing->number[0] <= bucket || hearing->number[0] > BUCKETS) {
			snprintf(hearing->error, FLEET_ERROR, "not understood: a walk from bucket %lld to %lld", bucket,
				 hearing->number[0]);
			return false;
		}
		bucket = hearing->number[0];
	} while (bucket < BUCKETS && now_ms() < until);
	return true;
}

bool fleet_snapshot(struct fleet *fleet, struct redis *redis, int wait_ms, fleet_heard *heard, void *with, char *error)
{
	struct hearing hearing = {.fleet = fleet, .heard = heard, .with = with, .error = error};

	return walk(fleet, redis, wait_ms, "near", fleet->node, NULL, UINT64_MAX, &hearing);
}

bool fleet_all_bans(struct fleet *fleet, struct redis *redis, int wait_ms, char *error)
{
	struct hearing hearing = {.fleet = fleet, .error = error, .of_bans = true};

	return walk(fleet, redis, wait_ms, "bans", fleet->node, NULL, UINT64_MAX, &hearing);
}

/* ---- joining ---- */

static bool choose_incarnation(struct fleet *fleet, char *error)
{
	unsigned long long number = 0;

	if (getrandom(&number, sizeof(number), GRND_NONBLOCK) != sizeof(number)) {
		snprintf(error, FLEET_ERROR, "no random number: %s", strerror(errno));
		return false;
	}
	snprintf(fleet->incarnation, sizeof(fleet->incarnation), "%016llx", number);
	return true;
}

/* Joins with the current incarnation and threshold. */
static bool join(struct fleet *fleet, struct redis *redis, int wait_ms, struct hearing *hearing)
{
	struct call call;

	call_begin_own(&call, fleet, "join");
	call_add_text(&call, fleet->former);
	if (!call_answered(&call, redis, wait_ms, hearing))
		return false;
	if (hearing->number[0] == 2)
		snprintf(hearing->error, FLEET_ERROR, "another machine uses the name of node %s (--node)", fleet->node);
	else if (hearing->number[0] != 1)
		snprintf(hearing->error, FLEET_ERROR, "not understood: an answer that was not asked for");
	return hearing->number[0] == 1;
}

/* If the lowest threshold fell, more clients have to be put into `near`. */
static bool fill(struct fleet *fleet, struct redis *redis, int wait_ms, struct hearing *hearing)
{
	return hearing->number[1] == 0 || walk(fleet, redis, wait_ms, "fill", fleet->node, NULL, UINT64_MAX, hearing);
}

bool fleet_join(struct fleet *fleet, struct redis *redis, int wait_ms, char *error)
{
	struct hearing hearing = {.fleet = fleet, .error = error};

	if (!choose_incarnation(fleet, error) || !join(fleet, redis, wait_ms, &hearing))
		return false;
	fleet->former[0] = '\0';
	fleet->last = hearing.number[2] > 0 ? (unsigned long long)hearing.number[2] : 0;
	fleet->checked = now_ms();
	fleet->missed = fleet->compared = false;
	fleet->wrong = 0;
	fleet->joined = fill(fleet, redis, wait_ms, &hearing);
	return fleet->joined;
}

bool fleet_change_threshold(struct fleet *fleet, struct redis *redis, int wait_ms, uint32_t threshold, char *error)
{
	struct hearing hearing = {.fleet = fleet, .error = error};

	fleet->threshold = threshold;
	return join(fleet, redis, wait_ms, &hearing) && fill(fleet, redis, wait_ms, &hearing);
}

/* ---- forgetting ---- */

bool fleet_leave(struct fleet *fleet, struct redis *redis, int wait_ms, char *error)
{
	struct hearing hearing = {.fleet = fleet, .error = error};
	static const volatile sig_atomic_t not_stopping;
	const volatile sig_atomic_t *stopping = fleet->stopping;

	fleet->joined = false;
	fleet->stopping = &not_stopping;
	bool gone = walk(fleet, redis, wait_ms, "forget", fleet->node, "0", now_ms() + (uint64_t)wait_ms, &hearing);
	fleet->stopping = stopping;
	return gone;
}

struct burial {
	char node[16][64];
	int nodes;
	struct hearing hearing;
};

static void hear_ended(redisReply *reply, int number, void *with)
{
	struct burial *burial = with;

	(void)number;
	hear_error(&burial->hearing, reply);
	if (reply->type != REDIS_REPLY_ARRAY)
		return;
	for (size_t i = 0; i < reply->elements && burial->nodes < 16; i++)
		if (reply->element[i]->type == REDIS_REPLY_STRING && reply->element[i]->len < sizeof(burial->node[0]))
			snprintf(burial->node[burial->nodes++], sizeof(burial->node[0]), "%s", reply->element[i]->str);
}

bool fleet_bury(struct fleet *fleet, struct redis *redis, int wait_ms, int work_ms, char *error)
{
	struct burial burial = {.hearing = {.fleet = fleet, .error = error, .good = true}};
	uint64_t until = now_ms() + (uint64_t)work_ms;
	struct call call;

	call_begin(&call, fleet, "ended", fleet->node);
	if (!call_send(redis, &call) || !redis_exchange(redis, wait_ms, hear_ended, &burial, error))
		return false;
	if (!burial.hearing.good)
		return burial.hearing.unknown_script &&
		       fleet_prepare(fleet, redis, wait_ms, error); /* then the next call will do it */
	for (int i = 0; i < burial.nodes; i++)
		if (!walk(fleet, redis, wait_ms, "forget", burial.node[i], "1", until, &burial.hearing))
			return false;
	return true;
}
