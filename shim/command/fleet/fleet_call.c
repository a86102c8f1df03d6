#include "command/fleet/fleet_call.h"

#include "settings/settings.h"

#include <stdio.h>
#include <string.h>

/* ---- calls ---- */

static const char script[] = {
#include "fleet_script.inc"
};

void call_add(struct call *call, const void *argument, size_t length)
{
	call->argument[call->arguments] = argument;
	call->length[call->arguments++] = length;
}

void call_add_text(struct call *call, const char *text)
{
	call_add(call, text, strlen(text));
}

void call_add_number(struct call *call, long long number)
{
	char *text = call->number[call->numbers++];

	snprintf(text, sizeof(call->number[0]), "%lld", number);
	call_add_text(call, text);
}

void call_begin(struct call *call, const struct fleet *fleet, const char *operation, const char *node)
{
	call->arguments = call->numbers = 0;
	snprintf(call->key, sizeof(call->key), "%sleases", fleet->prefix);
	call_add_text(call, "EVALSHA");
	call_add_text(call, fleet->script);
	call_add_text(call, "1");
	call_add_text(call, call->key);
	call_add_text(call, operation);
	call_add_text(call, node);
	call_add_number(call, fleet->lease_ms);
}

void call_begin_own(struct call *call, const struct fleet *fleet, const char *operation)
{
	call_begin(call, fleet, operation, fleet->node);
	call_add_text(call, fleet->incarnation);
	call_add_number(call, fleet->threshold);
}

bool call_send(struct redis *redis, struct call *call)
{
	return redis_add(redis, call->arguments, call->argument, call->length);
}

static void hear_hash(redisReply *reply, int number, void *with)
{
	struct hearing *hearing = with;

	(void)number;
	hear_error(hearing, reply);
	if (reply->type == REDIS_REPLY_STRING && reply->len == 40)
		snprintf(hearing->fleet->script, sizeof(hearing->fleet->script), "%s", reply->str);
}

bool fleet_prepare(struct fleet *fleet, struct redis *redis, int wait_ms, char *error)
{
	struct hearing hearing = {.fleet = fleet, .error = error, .good = true};
	const char *arguments[] = {"SCRIPT", "LOAD", script};
	const size_t lengths[] = {6, 4, sizeof(script)};

	return redis_add(redis, 3, arguments, lengths) && redis_exchange(redis, wait_ms, hear_hash, &hearing, error) &&
	       hearing.good;
}

bool call_answered(struct call *call, struct redis *redis, int wait_ms, struct hearing *hearing)
{
	snprintf(hearing->error, FLEET_ERROR, "out of memory");
	hearing->good = true;
	if (!call_send(redis, call) || !redis_exchange(redis, wait_ms, hear_answer, hearing, hearing->error))
		return false;
	if (!hearing->unknown_script)
		return hearing->good;
	hearing->unknown_script = false;
	hearing->good = true;
	return fleet_prepare(hearing->fleet, redis, wait_ms, hearing->error) && call_send(redis, call) &&
	       redis_exchange(redis, wait_ms, hear_answer, hearing, hearing->error) && hearing->good;
}

/* ---- answers ---- */

void hear_error(struct hearing *hearing, const redisReply *reply)
{
	if (reply->type != REDIS_REPLY_ERROR || !hearing->good)
		return;
	hearing->good = false;
	hearing->unknown_script = strncmp(reply->str, "NOSCRIPT", 8) == 0;
	redis_quote(hearing->error, reply);
}

/* Reads a number in network byte order. */
static uint64_t bytes_in(const unsigned char *from, int bytes)
{
	uint64_t number = 0;

	for (int i = 0; i < bytes; i++)
		number = number << 8 | from[i];
	return number;
}

void hear_clients(struct hearing *hearing, const redisReply *text)
{
	enum { ONE = CLIENT_KEY + 3 };

	if (text->type != REDIS_REPLY_STRING)
		return;
	for (size_t at = 0; at + ONE <= text->len; at += ONE) {
		const unsigned char *client = (const unsigned char *)text->str + at;
		uint32_t total = (uint32_t)bytes_in(client + CLIENT_KEY, 3);
		hearing->heard(client, total < LIMIT_MOST ? total : LIMIT_MOST, hearing->with);
	}
}

void hear_bans(struct hearing *hearing, const redisReply *text)
{
	const struct fleet *fleet = hearing->fleet;

	if (text->type != REDIS_REPLY_STRING || fleet->heard_ban == NULL)
		return;
	for (size_t at = 0; at + BAN_WORD <= text->len; at += BAN_WORD) {
		const unsigned char *from = (const unsigned char *)text->str + at;
		struct fleet_ban ban = {.lifted = from[CLIENT_KEY] != 0};
		memcpy(ban.key, from, CLIENT_KEY);
		ban.seconds = (uint32_t)bytes_in(from + CLIENT_KEY + 1, 4);
		ban.turn = bytes_in(from + CLIENT_KEY + 5, 6);
		fleet->heard_ban(&ban, fleet->heard_ban_with);
	}
}

void hear_answer(redisReply *reply, int number, void *with)
{
	struct hearing *hearing = with;

	(void)number;
	hear_error(hearing, reply);
	for (size_t i = 0; i < sizeof(hearing->number) / sizeof(hearing->number[0]); i++) {
		bool there = reply->type == REDIS_REPLY_ARRAY && i < reply->elements;
		hearing->number[i] = there && reply->element[i]->type == REDIS_REPLY_INTEGER ? reply->element[i]->integer : 0;
	}
	if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2)
		return;
	if (hearing->of_bans)
		hear_bans(hearing, reply->element[1]);
	else if (hearing->heard != NULL)
		hear_clients(hearing, reply->element[1]);
}

bool hear_standing(struct hearing *hearing)
{
	struct fleet *fleet = hearing->fleet;

	if (hearing->number[0] != 1) {
		fleet->joined = false;
		snprintf(fleet->former, sizeof(fleet->former), "%s", hearing->number[0] == 2 ? fleet->incarnation : "");
		return false;
	}
	fleet->ended = hearing->number[1] < 0;
	/* The stream has fewer entries than were read: it was deleted and started again. */
	if ((unsigned long long)hearing->number[2] < fleet->last) {
		fleet->missed = true;
		fleet->last = (unsigned long long)hearing->number[2];
	}
	return true;
}

/* ---- what is told ---- */

void put_bytes(unsigned char *to, uint64_t number, int bytes)
{
	for (int i = bytes; i-- > 0; number >>= 8)
		to[i] = (unsigned char)number;
}

unsigned fleet_bucket(const unsigned char *key)
{
	uint32_t hash = 2166136261U; /* FNV-1a: the same on every machine */

	for (int i = 0; i < CLIENT_KEY; i++)
		hash = (hash ^ key[i]) * 16777619U;
	return (hash ^ hash >> 16) % BUCKETS;
}
