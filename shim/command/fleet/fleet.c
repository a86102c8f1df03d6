#include "command/fleet/fleet_call.h"

#include "settings/settings.h"
#include "values/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum {
	CHANGE = CLIENT_KEY + 3 + 2, /* bytes of a client, its count and its bucket */
	CHANGES_A_SCRIPT = 500,
	SCRIPTS_AT_ONCE = 40,
	NEWS_AT_ONCE = 250,
	ROUND_MS = 8000,      /* in which all own buckets are compared with what was told... */
	CHECK_MS = 250,	      /* ...some of them each time... */
	LEASES_A_ROUND = 8,   /* ...sooner with leases so short */
	WORK_A_MS = 16,	      /* fields that a check looks at beside, for each ms since the last */
	WALK_MOST_MS = 60000, /* a server that never comes to the end of a hash is not listened to for longer */
};

void fleet_init(struct fleet *fleet, const char *cluster, const char *node, int lease_ms, const volatile sig_atomic_t *stopping)
{
	*fleet = (struct fleet){.lease_ms = lease_ms, .threshold = 1, .stopping = stopping};
	snprintf(fleet->prefix, sizeof(fleet->prefix), "connlimit:{%.70s}:", cluster);
	snprintf(fleet->node, sizeof(fleet->node), "%s", node);
}

static uint64_t now_ms(void)
{
	return clock_us() / 1000;
}

/* Whether a walk of several exchanges, begun at `began`, may go on. */
static bool goes_on(const struct fleet *fleet, uint64_t began, const char *what, char *error)
{
	if (*fleet->stopping == 0 && now_ms() - began <= WALK_MOST_MS)
		return true;
	snprintf(error, FLEET_ERROR, "%s %s", what, *fleet->stopping != 0 ? "given up" : "without end");
	return false;
}

static uint64_t round_ms(const struct fleet *fleet)
{
	uint64_t leases = (uint64_t)fleet->lease_ms * LEASES_A_ROUND;

	return leases < ROUND_MS ? leases : ROUND_MS;
}

static uint64_t check_ms(const struct fleet *fleet)
{
	uint64_t quarter = (uint64_t)fleet->lease_ms / 4;

	return quarter < CHECK_MS ? quarter : CHECK_MS;
}

/* ---- what is heard ---- */

/* [[stream, [[id, [field, clients]], ...]]] */
static void hear_news(struct hearing *hearing, const redisReply *reply)
{
	struct fleet *fleet = hearing->fleet;

	if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 1 || reply->element[0]->type != REDIS_REPLY_ARRAY ||
	    reply->element[0]->elements != 2 || reply->element[0]->element[1]->type != REDIS_REPLY_ARRAY)
		return;
	const redisReply *entries = reply->element[0]->element[1];
	for (size_t i = 0; i < entries->elements; i++) {
		const redisReply *entry = entries->element[i];
		if (entry->type != REDIS_REPLY_ARRAY || entry->elements != 2 || entry->element[0]->type != REDIS_REPLY_STRING)
			continue;
		unsigned long long number = strtoull(entry->element[0]->str, NULL, 10);
		if (number != fleet->last + 1)
			fleet->missed = true;
		fleet->last = number;
		const redisReply *fields = entry->element[1];
		if (fields->type == REDIS_REPLY_ARRAY && fields->elements == 2)
			hear_clients(hearing, fields->element[1]);
	}
	hearing->more = entries->elements >= NEWS_AT_ONCE;
}

/* Whether the fleet knows us, whose lease ended, and how far the news are. */
static bool hear_standing(struct hearing *hearing)
{
	struct fleet *fleet = hearing->fleet;

	if (hearing->number[0] != 1) {
		fleet->joined = false;
		snprintf(fleet->former, sizeof(fleet->former), "%s", hearing->number[0] == 2 ? fleet->incarnation : "");
		return false;
	}
	fleet->ended = hearing->number[1] < 0;
	/* The stream is not the one that was read: it was deleted, and began anew. */
	if ((unsigned long long)hearing->number[2] < fleet->last) {
		fleet->missed = true;
		fleet->last = (unsigned long long)hearing->number[2];
	}
	return true;
}

static void hear_check(struct hearing *hearing, const redisReply *reply)
{
	struct fleet *fleet = hearing->fleet;

	if (hearing->number[3] > 0 && hearing->number[3] < LIMIT_MOST)
		fleet->mended += (unsigned long)hearing->number[3];
	for (size_t i = 4; reply->type == REDIS_REPLY_ARRAY && i < reply->elements && fleet->wrong < BUCKETS; i++) {
		const redisReply *bucket = reply->element[i];
		if (bucket->type == REDIS_REPLY_INTEGER && bucket->integer >= 0 && bucket->integer < BUCKETS)
			fleet->wrong_bucket[fleet->wrong++] = (uint16_t)bucket->integer;
	}
}

static void hear_exchange(redisReply *reply, int number, void *with)
{
	struct hearing *hearing = with;

	if (number >= hearing->told) {
		hear_error(hearing, reply);
		if (hearing->good)
			hear_news(hearing, reply);
		return;
	}
	hear_answer(reply, number, with);
	if (hearing->good && hear_standing(hearing) && hearing->check && number == hearing->told - 1)
		hear_check(hearing, reply);
}

/* ---- the exchange ---- */

static bool add_read(struct fleet *fleet, struct redis *redis)
{
	char stream[128];
	char from[32];
	char count[8];

	snprintf(stream, sizeof(stream), "%schanges", fleet->prefix);
	snprintf(from, sizeof(from), "%llu-0", fleet->last);
	snprintf(count, sizeof(count), "%d", NEWS_AT_ONCE);
	const char *arguments[] = {"XREAD", "COUNT", count, "STREAMS", stream, from};
	return redis_add(redis, 6, arguments, NULL);
}

static void begin(struct call *call, const struct fleet *fleet, const char *operation)
{
	call_begin(call, fleet, operation, fleet->node);
	call_add_text(call, fleet->incarnation);
	call_add_number(call, fleet->threshold);
}

static bool add_tell(struct fleet *fleet, struct redis *redis, const struct fleet_change *change, size_t number)
{
	unsigned char data[CHANGES_A_SCRIPT * CHANGE];
	struct call call;

	for (size_t i = 0; i < number; i++) {
		unsigned char *to = data + i * CHANGE;
		memcpy(to, change[i].key, CLIENT_KEY);
		put_bytes(to + CLIENT_KEY, change[i].number, 3);
		put_bytes(to + CLIENT_KEY + 3, fleet_bucket(change[i].key), 2);
	}
	begin(&call, fleet, "tell");
	call_add(&call, data, number * CHANGE);
	return call_send(redis, &call);
}

/* As many buckets as belong to the time since the last check. */
static bool add_check(struct fleet *fleet, struct redis *redis, const struct fleet_bucket *told, uint64_t now)
{
	unsigned char data[BUCKETS * 9];
	uint64_t since = fleet->checked == 0 || now - fleet->checked > round_ms(fleet) ? round_ms(fleet) : now - fleet->checked;
	unsigned buckets = (unsigned)((since * BUCKETS + round_ms(fleet) - 1) / round_ms(fleet));
	size_t length = 0;
	struct call call;

	for (unsigned i = 0; i < buckets; i++) {
		unsigned bucket = (fleet->next_bucket + i) % BUCKETS;
		if (told[bucket].clients == 0)
			continue;
		put_bytes(data + length, bucket, 2);
		put_bytes(data + length + 2, told[bucket].clients, 3);
		put_bytes(data + length + 5, told[bucket].sum, 4);
		length += 9;
	}
	begin(&call, fleet, "check");
	call_add_number(&call, (long long)round_ms(fleet) / 2);
	call_add_number(&call, (long long)since * WORK_A_MS);
	call_add_number(&call, fleet->next_bucket);
	call_add_number(&call, buckets);
	call_add(&call, data, length);
	fleet->checked = now;
	fleet->next_bucket = (fleet->next_bucket + buckets) % BUCKETS;
	return call_send(redis, &call);
}

/* Tells some of the clients, compares, and reads the news, which by then contain them. */
static bool exchange_some(struct redis *redis, int wait_ms, const struct fleet_change *change, size_t number,
			  const struct fleet_bucket *told, struct hearing *hearing)
{
	struct fleet *fleet = hearing->fleet;
	uint64_t now = now_ms();

	hearing->told = 0;
	hearing->check = told != NULL;
	for (size_t done = 0; done < number; done += CHANGES_A_SCRIPT, hearing->told++)
		if (!add_tell(fleet, redis, change + done, number - done < CHANGES_A_SCRIPT ? number - done : CHANGES_A_SCRIPT))
			return false;
	if (told != NULL && (hearing->told++, !add_check(fleet, redis, told, now)))
		return false;
	if (!add_read(fleet, redis) || !redis_exchange(redis, wait_ms, hear_exchange, hearing, hearing->error))
		return false;
	hearing->told = 0;
	while (hearing->good && hearing->more) {
		hearing->more = false;
		if (!add_read(fleet, redis) || !redis_exchange(redis, wait_ms, hear_exchange, hearing, hearing->error))
			return false;
		if (!goes_on(fleet, now, "news", hearing->error))
			return false;
	}
	return hearing->good;
}

bool fleet_exchange(struct fleet *fleet, struct redis *redis, int wait_ms, const struct fleet_change *change, size_t number,
		    const struct fleet_bucket *told, fleet_heard *heard, void *with, char *error)
{
	static const struct fleet_change none;
	const size_t most = (size_t)CHANGES_A_SCRIPT * SCRIPTS_AT_ONCE;
	bool due = now_ms() >= fleet->checked + check_ms(fleet);
	size_t done = 0;

	if (number == 0)
		change = &none; /* NULL has nothing behind it, not even at no distance */
	fleet->ended = false;
	snprintf(error, FLEET_ERROR, "out of memory");
	do {
		struct hearing hearing = {.fleet = fleet, .heard = heard, .with = with, .error = error, .good = true};
		size_t part = number - done < most ? number - done : most;
		const struct fleet_bucket *compared = due && done + part == number ? told : NULL;
		bool good = exchange_some(redis, wait_ms, change + done, part, compared, &hearing);
		if (!good && hearing.unknown_script && fleet_prepare(fleet, redis, wait_ms, error)) {
			/* Once more; those that were carried out all the same change nothing the second time. */
			hearing.good = true;
			hearing.unknown_script = false;
			good = exchange_some(redis, wait_ms, change + done, part, compared, &hearing);
		}
		if (!good)
			return false;
		done += part;
	} while (done < number && fleet->joined);
	return true;
}

/* ---- whole buckets ---- */

static unsigned char *make_room(struct fleet_whole *whole, size_t bytes)
{
	if (whole->length + bytes > whole->room) {
		size_t room = whole->room != 0 ? whole->room * 2 : (size_t)2 * WHOLE_MOST;
		unsigned char *larger = realloc(whole->bytes, room);
		if (larger == NULL) {
			whole->failed = true;
			return NULL;
		}
		whole->bytes = larger;
		whole->room = room;
	}
	whole->length += bytes;
	return whole->bytes + whole->length - bytes;
}

void fleet_whole_bucket(struct fleet_whole *whole, unsigned bucket, uint32_t clients)
{
	unsigned char *to = make_room(whole, 5);

	if (to == NULL)
		return;
	put_bytes(to, bucket, 2);
	put_bytes(to + 2, clients, 3);
}

void fleet_whole_client(struct fleet_whole *whole, const unsigned char *key, uint32_t number)
{
	unsigned char *to = make_room(whole, CLIENT_KEY + 3);

	if (to == NULL)
		return;
	memcpy(to, key, CLIENT_KEY);
	put_bytes(to + CLIENT_KEY, number, 3);
}

bool fleet_tell_whole(struct fleet *fleet, struct redis *redis, int wait_ms, struct fleet_whole *whole, bool repair,
		      char *error)
{
	struct hearing hearing = {.fleet = fleet, .error = error};
	struct call call;

	begin(&call, fleet, "whole");
	call_add_text(&call, repair ? "1" : "0");
	call_add(&call, whole->bytes, whole->length);
	whole->length = 0;
	if (whole->failed) {
		whole->failed = false;
		snprintf(error, FLEET_ERROR, "out of memory");
		return false;
	}
	if (!call_answered(&call, redis, wait_ms, &hearing))
		return false;
	if (hear_standing(&hearing) && hearing.number[3] > 0 && hearing.number[3] < LIMIT_MOST)
		fleet->mended += (unsigned long)hearing.number[3];
	return true;
}

/* ---- walks over all buckets ---- */

/* What `call` is begun as, with "from" as its first argument, is done from bucket to bucket until `until`. */
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
		if (!call_answered(&call, redis, wait_ms, hearing) || !goes_on(fleet, began, "a walk", hearing->error))
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

bool fleet_join(struct fleet *fleet, struct redis *redis, int wait_ms, char *error)
{
	struct hearing hearing = {.fleet = fleet, .error = error};
	struct call call;

	if (!choose_incarnation(fleet, error))
		return false;
	begin(&call, fleet, "join");
	call_add_text(&call, fleet->former);
	if (!call_answered(&call, redis, wait_ms, &hearing))
		return false;
	if (hearing.number[0] != 1 && hearing.number[0] != 2) {
		snprintf(error, FLEET_ERROR, "not understood: an answer to nothing that was asked");
		return false;
	}
	if (hearing.number[0] == 2) {
		snprintf(error, FLEET_ERROR, "another machine goes by the name of node %s (--node)", fleet->node);
		return false;
	}
	fleet->former[0] = '\0';
	fleet->last = hearing.number[2] > 0 ? (unsigned long long)hearing.number[2] : 0;
	fleet->checked = now_ms();
	fleet->missed = false;
	fleet->wrong = 0;
	fleet->joined = hearing.number[1] == 0 || walk(fleet, redis, wait_ms, "fill", fleet->node, NULL, UINT64_MAX, &hearing);
	return fleet->joined;
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
		return burial.hearing.unknown_script && fleet_prepare(fleet, redis, wait_ms, error); /* the next time, then */
	for (int i = 0; i < burial.nodes; i++)
		if (!walk(fleet, redis, wait_ms, "forget", burial.node[i], "1", until, &burial.hearing))
			return false;
	return true;
}
