#include "command/fleet/fleet_call.h"
#include "command/fleet/wire.h"

#include "settings/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	CHANGE = CLIENT_KEY + 3 + 2, /* a client, its count and its bucket, in bytes */
	CHANGES_A_SCRIPT = 500,
	SCRIPTS_AT_ONCE = 40,
	NEWS_AT_ONCE = 250,
	ROUND_MS = 8000,    /* within this time all own buckets are compared with what was told, */
	CHECK_MS = 250,	    /* some of them at each check; */
	LEASES_A_ROUND = 8, /* sooner if leases are short */
	WORK_A_MS = 16,	    /* other fields that a check looks at, for each ms since the last one */
};

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
		if (fields->type != REDIS_REPLY_ARRAY || fields->elements != 2 ||
		    fields->element[0]->type != REDIS_REPLY_STRING)
			continue;
		if (strcmp(fields->element[0]->str, "bans") == 0)
			hear_bans(hearing, fields->element[1]);
		else if (fields->element[0]->len == 0)
			hear_clients(hearing, fields->element[1]);
	}
	hearing->more = entries->elements >= NEWS_AT_ONCE;
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
	call_begin_own(&call, fleet, "tell");
	call_add(&call, data, number * CHANGE);
	return call_send(redis, &call);
}

/* Compares as many buckets as are due since the last check. */
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
	call_begin_own(&call, fleet, "check");
	call_add_number(&call, (long long)round_ms(fleet) / 8 * 7); /* once a round, whoever comes by */
	call_add_number(&call, (long long)since * WORK_A_MS);
	call_add_number(&call, fleet->next_bucket);
	call_add_number(&call, buckets);
	call_add(&call, data, length);
	fleet->checked = now;
	fleet->next_bucket = (fleet->next_bucket + buckets) % BUCKETS;
	return call_send(redis, &call);
}

/* Tells a part of the clients, compares, and reads the news, which then include these clients. */
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
		if (!fleet_goes_on(fleet, now, "news", hearing->error))
			return false;
	}
	return hearing->good;
}

bool fleet_exchange(struct fleet *fleet, struct redis *redis, int wait_ms, const struct fleet_change *change, size_t number,
		    const struct fleet_bucket *told, fleet_heard *heard, void *with, char *error)
{
	static const struct fleet_change none;
	const size_t most = (size_t)CHANGES_A_SCRIPT * SCRIPTS_AT_ONCE;
	/* Something is compared right after it joined: what fails there is found out before it is said that all is well. */
	bool due = !fleet->compared || now_ms() >= fleet->checked + check_ms(fleet);
	size_t done = 0;

	if (number == 0)
		change = &none; /* nothing may be added to NULL, not even 0 */
	fleet->ended = false;
	snprintf(error, FLEET_ERROR, "out of memory");
	do {
		struct hearing hearing = {.fleet = fleet, .heard = heard, .with = with, .error = error, .good = true};
		size_t part = number - done < most ? number - done : most;
		const struct fleet_bucket *compared = due && done + part == number ? told : NULL;
		bool good = exchange_some(redis, wait_ms, change + done, part, compared, &hearing);
		if (!good && hearing.unknown_script && fleet_prepare(fleet, redis, wait_ms, error)) {
			/* Try again: changes that were already made are not made twice. */
			hearing.good = true;
			hearing.unknown_script = false;
			good = exchange_some(redis, wait_ms, change + done, part, compared, &hearing);
		}
		if (!good)
			return false;
		fleet->compared = fleet->compared || compared != NULL;
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

	call_begin_own(&call, fleet, "whole");
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
