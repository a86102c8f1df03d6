#include "command/fleet/fleet.h"

#include "command/fleet/fleet_scripts.h"

#include "values/clock.h"
#include "settings/settings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum {
	KEYS = 7,
	CHANGES_A_SCRIPT = 500,
	SCRIPTS_AT_ONCE = 40,
	CLIENTS_A_STEP = 1000,
	NEWS_AT_ONCE = 250,
	ERROR = 256,
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
	snprintf(error, ERROR, "%s %s", what, *fleet->stopping != 0 ? "given up" : "without end");
	return false;
}

/* One EVAL or EVALSHA in the making. */
struct call {
	const char *argument[3 + KEYS + 5 + 2 * CHANGES_A_SCRIPT];
	size_t length[3 + KEYS + 5 + 2 * CHANGES_A_SCRIPT];
	int arguments;
	char key[KEYS][192];
	char number[4][24];
	char count[CHANGES_A_SCRIPT][12];
};

static void add(struct call *call, const char *argument, size_t length)
{
	call->argument[call->arguments] = argument;
	call->length[call->arguments++] = length;
}

static void add_text(struct call *call, const char *text)
{
	add(call, text, strlen(text));
}

static void begin(struct call *call, const struct fleet *fleet, const char *script, const char *node)
{
	static const char *const keys[KEYS] = {"node:", "totals", "near", "changes", "leases", "incarnations", "thresholds"};

	call->arguments = 0;
	add_text(call, script == fleet->tell ? "EVALSHA" : "EVAL");
	add_text(call, script);
	add_text(call, "7");
	for (int i = 0; i < KEYS; i++) {
		snprintf(call->key[i], sizeof(call->key[i]), "%s%s%s", fleet->prefix, keys[i], i == 0 ? node : "");
		add_text(call, call->key[i]);
	}
}

static void add_number(struct call *call, int which, long long number)
{
	snprintf(call->number[which], sizeof(call->number[which]), "%lld", number);
	add_text(call, call->number[which]);
}

static bool send_call(struct redis *redis, struct call *call)
{
	return redis_add(redis, call->arguments, call->argument, call->length);
}

/* ---- replies ---- */

struct hearing {
	struct fleet *fleet;
	fleet_heard *heard;
	void *with;
	char *error;
	int told; /* replies of the tell script come first */
	bool good;
	bool unknown_script; /* Redis lost it: SCRIPT FLUSH, or a replica in its place */
	bool more;	     /* there may be more news than were read */
	char cursor[32];
	long long left; /* of the forget script */
	long long number[3];
};

static void complain(struct hearing *hearing, const redisReply *reply)
{
	if (reply->type != REDIS_REPLY_ERROR || !hearing->good)
		return;
	hearing->good = false;
	hearing->unknown_script = strncmp(reply->str, "NOSCRIPT", 8) == 0;
	redis_quote(hearing->error, reply);
}

/* {number, number, ...}; what is not there, or is none, is 0. */
static void hear_numbers(redisReply *reply, int number, void *with)
{
	struct hearing *hearing = with;

	(void)number;
	complain(hearing, reply);
	for (size_t i = 0; i < 3; i++) {
		bool there =
		    reply->type == REDIS_REPLY_ARRAY && i < reply->elements && reply->element[i]->type == REDIS_REPLY_INTEGER;
		hearing->number[i] = there ? reply->element[i]->integer : 0;
	}
}

static uint32_t count_in(const redisReply *reply)
{
	long long number = strtoll(reply->str, NULL, 10);

	return number < 0 ? 0 : number < LIMIT_MOST ? (uint32_t)number : LIMIT_MOST;
}

static void hear_pairs(struct hearing *hearing, const redisReply *pairs)
{
	if (pairs->type != REDIS_REPLY_ARRAY)
		return;
	for (size_t i = 0; i + 1 < pairs->elements; i += 2) {
		const redisReply *client = pairs->element[i];
		const redisReply *number = pairs->element[i + 1];
		if (client->type == REDIS_REPLY_STRING && client->len == CLIENT_KEY && number->type == REDIS_REPLY_STRING)
			hearing->heard((const unsigned char *)client->str, count_in(number), hearing->with);
	}
}

/* [[stream, [[id, [client, total, ...]], ...]]] */
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
		hear_pairs(hearing, entry->element[1]);
	}
	hearing->more = entries->elements >= NEWS_AT_ONCE;
}

static void hear_exchange(redisReply *reply, int number, void *with)
{
	struct hearing *hearing = with;
	struct fleet *fleet = hearing->fleet;

	if (number >= hearing->told) {
		complain(hearing, reply);
		if (hearing->good)
			hear_news(hearing, reply);
		return;
	}
	hear_numbers(reply, number, with);
	if (!hearing->good)
		return;
	if (hearing->number[0] != 1) {
		fleet->joined = false;
		snprintf(fleet->former, sizeof(fleet->former), "%s", hearing->number[0] == 2 ? fleet->incarnation : "");
		return;
	}
	/* Look again when the next lease may have ended; ours is renewed on the way. */
	long long next = hearing->number[1] < 0 ? -1 : hearing->number[1];
	fleet->ended = next < 0;
	if (next < fleet->lease_ms / 4 - 1)
		fleet->renewal = now_ms() + (uint64_t)(next + 1);
	/* The stream is not the one that was read: it was deleted, and began anew. */
	if ((unsigned long long)hearing->number[2] < fleet->last) {
		fleet->missed = true;
		fleet->last = (unsigned long long)hearing->number[2];
	}
}

/* ---- the exchange ---- */

static bool add_read(struct fleet *fleet, struct redis *redis)
{
	char stream[192];
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
	static struct call call; /* large, and this program has one thread */

	begin(&call, fleet, fleet->tell, fleet->node);
	add_text(&call, fleet->node);
	add_text(&call, fleet->incarnation);
	add_number(&call, 0, fleet->lease_ms);
	for (size_t i = 0; i < number; i++) {
		add(&call, (const char *)change[i].key, CLIENT_KEY);
		snprintf(call.count[i], sizeof(call.count[i]), "%u", change[i].number);
		add_text(&call, call.count[i]);
	}
	return send_call(redis, &call);
}

/* Tells some of the clients and reads the news, which by then contain them. */
static bool exchange_some(struct redis *redis, int wait_ms, const struct fleet_change *change, size_t number, bool silent,
			  struct hearing *hearing)
{
	struct fleet *fleet = hearing->fleet;
	size_t done = 0;

	hearing->told = 0;
	while (!silent) {
		size_t part = number - done < CHANGES_A_SCRIPT ? number - done : CHANGES_A_SCRIPT;
		if (!add_tell(fleet, redis, change + done, part))
			return false;
		hearing->told++;
		done += part;
		if (done >= number)
			break;
	}
	if (!add_read(fleet, redis) || !redis_exchange(redis, wait_ms, hear_exchange, hearing, hearing->error))
		return false;
	hearing->told = 0;
	for (uint64_t began = now_ms(); hearing->good && hearing->more;) {
		hearing->more = false;
		if (!add_read(fleet, redis) || !redis_exchange(redis, wait_ms, hear_exchange, hearing, hearing->error))
			return false;
		if (!goes_on(fleet, began, "news", hearing->error))
			return false;
	}
	return hearing->good;
}

bool fleet_exchange(struct fleet *fleet, struct redis *redis, int wait_ms, const struct fleet_change *change, size_t number,
		    fleet_heard *heard, void *with, char *error)
{
	static const struct fleet_change none;
	const size_t most = (size_t)CHANGES_A_SCRIPT * SCRIPTS_AT_ONCE;
	uint64_t now = now_ms();
	bool silent = number == 0 && now < fleet->renewal;
	size_t done = 0;

	if (number == 0)
		change = &none; /* NULL has nothing behind it, not even at no distance */
	fleet->ended = false;
	if (!silent)
		fleet->renewal = now + (uint64_t)fleet->lease_ms / 4;
	snprintf(error, ERROR, "out of memory");
	do {
		struct hearing hearing = {.fleet = fleet, .heard = heard, .with = with, .error = error, .good = true};
		size_t part = number - done < most ? number - done : most;
		bool good = exchange_some(redis, wait_ms, change + done, part, silent, &hearing);
		if (!good && hearing.unknown_script && fleet_prepare(fleet, redis, wait_ms, error)) {
			/* Once more; those that were carried out all the same change nothing the second time. */
			hearing.good = true;
			hearing.unknown_script = false;
			good = exchange_some(redis, wait_ms, change + done, part, silent, &hearing);
		}
		if (!good)
			return false;
		done += part;
	} while (done < number && fleet->joined);
	return true;
}

static void hear_hash(redisReply *reply, int number, void *with)
{
	struct hearing *hearing = with;

	(void)number;
	complain(hearing, reply);
	if (reply->type == REDIS_REPLY_STRING && reply->len == 40)
		snprintf(hearing->fleet->tell, sizeof(hearing->fleet->tell), "%s", reply->str);
}

bool fleet_prepare(struct fleet *fleet, struct redis *redis, int wait_ms, char *error)
{
	struct hearing hearing = {.fleet = fleet, .error = error, .good = true};
	const char *arguments[] = {"SCRIPT", "LOAD", fleet_tell_script};

	return redis_add(redis, 3, arguments, NULL) && redis_exchange(redis, wait_ms, hear_hash, &hearing, error) &&
	       hearing.good;
}

/* ---- walks over hashes ---- */

static void hear_part(redisReply *reply, int number, void *with)
{
	struct hearing *hearing = with;

	(void)number;
	complain(hearing, reply);
	snprintf(hearing->cursor, sizeof(hearing->cursor), "0");
	if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 1)
		return;
	/* HSCAN: cursor and pairs; the fill script: the cursor alone. */
	if (reply->element[0]->type == REDIS_REPLY_STRING)
		snprintf(hearing->cursor, sizeof(hearing->cursor), "%s", reply->element[0]->str);
	if (reply->elements == 2 && hearing->heard != NULL)
		hear_pairs(hearing, reply->element[1]);
}

static bool walk_hash(struct fleet *fleet, struct redis *redis, int wait_ms, const char *name, const char *node,
		      fleet_heard *heard, void *with, char *error)
{
	struct hearing hearing = {.fleet = fleet, .heard = heard, .with = with, .error = error, .good = true, .cursor = "0"};
	uint64_t began = now_ms();
	char key[192];

	snprintf(key, sizeof(key), "%s%s%s", fleet->prefix, name, node);
	do {
		char cursor[32];
		snprintf(cursor, sizeof(cursor), "%s", hearing.cursor);
		const char *arguments[] = {"HSCAN", key, cursor, "COUNT", "1000"};
		if (!redis_add(redis, 5, arguments, NULL) || !redis_exchange(redis, wait_ms, hear_part, &hearing, error))
			return false;
		if (!goes_on(fleet, began, "a hash", error))
			return false;
	} while (hearing.good && strcmp(hearing.cursor, "0") != 0);
	return hearing.good;
}

bool fleet_snapshot(struct fleet *fleet, struct redis *redis, int wait_ms, fleet_heard *heard, void *with, char *error)
{
	return walk_hash(fleet, redis, wait_ms, "near", "", heard, with, error);
}

/* ---- joining ---- */

static bool choose_incarnation(struct fleet *fleet, char *error)
{
	unsigned long long number = 0;

	if (getrandom(&number, sizeof(number), GRND_NONBLOCK) != sizeof(number)) {
		snprintf(error, ERROR, "no random number: %s", strerror(errno));
		return false;
	}
	snprintf(fleet->incarnation, sizeof(fleet->incarnation), "%016llx", number);
	return true;
}

static bool fill(struct fleet *fleet, struct redis *redis, int wait_ms, char *error)
{
	struct hearing hearing = {.fleet = fleet, .error = error, .good = true, .cursor = "0"};
	uint64_t began = now_ms();
	static struct call call;

	do {
		begin(&call, fleet, fleet_fill_script, fleet->node);
		add_text(&call, hearing.cursor);
		add_number(&call, 0, CLIENTS_A_STEP);
		if (!send_call(redis, &call) || !redis_exchange(redis, wait_ms, hear_part, &hearing, error) ||
		    !goes_on(fleet, began, "a hash", error))
			return false;
	} while (hearing.good && strcmp(hearing.cursor, "0") != 0);
	return hearing.good;
}

bool fleet_join(struct fleet *fleet, struct redis *redis, int wait_ms, fleet_heard *held, void *with, char *error)
{
	struct hearing hearing = {.fleet = fleet, .error = error, .good = true};
	static struct call call;

	if (!choose_incarnation(fleet, error))
		return false;
	begin(&call, fleet, fleet_join_script, fleet->node);
	add_text(&call, fleet->node);
	add_text(&call, fleet->incarnation);
	add_number(&call, 0, fleet->lease_ms);
	add_number(&call, 1, fleet->threshold);
	add_text(&call, fleet->former);
	snprintf(error, ERROR, "out of memory");
	if (!send_call(redis, &call) || !redis_exchange(redis, wait_ms, hear_numbers, &hearing, error) || !hearing.good)
		return false;
	if (hearing.number[0] != 1) {
		snprintf(error, ERROR, "another machine goes by the name of node %s (--node)", fleet->node);
		return false;
	}
	fleet->former[0] = '\0';
	fleet->last = hearing.number[2] > 0 ? (unsigned long long)hearing.number[2] : 0;
	fleet->renewal = 0;
	fleet->missed = false;
	fleet->joined = (hearing.number[1] == 0 || fill(fleet, redis, wait_ms, error)) &&
			walk_hash(fleet, redis, wait_ms, "node:", fleet->node, held, with, error);
	return fleet->joined;
}

/* ---- forgetting ---- */

static void hear_forgotten(redisReply *reply, int number, void *with)
{
	struct hearing *hearing = with;

	(void)number;
	complain(hearing, reply);
	hearing->left = 0;
	if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 || reply->element[0]->type != REDIS_REPLY_INTEGER ||
	    reply->element[1]->type != REDIS_REPLY_STRING)
		return;
	hearing->left = reply->element[0]->integer;
	snprintf(hearing->cursor, sizeof(hearing->cursor), "%s", reply->element[1]->str);
}

static bool forget(struct fleet *fleet, struct redis *redis, int wait_ms, const char *node, bool only_if_ended, uint64_t until,
		   char *error)
{
	struct hearing hearing = {.fleet = fleet, .error = error, .good = true, .left = 1, .cursor = "0"};
	static struct call call;

	do {
		begin(&call, fleet, fleet_forget_script, node);
		add_text(&call, node);
		add_number(&call, 0, CLIENTS_A_STEP);
		add_text(&call, hearing.cursor);
		add_text(&call, only_if_ended ? "1" : "0");
		if (!send_call(redis, &call) || !redis_exchange(redis, wait_ms, hear_forgotten, &hearing, error))
			return false;
	} while (hearing.good && hearing.left > 0 && now_ms() < until);
	return hearing.good;
}

bool fleet_leave(struct fleet *fleet, struct redis *redis, int wait_ms, char *error)
{
	fleet->joined = false;
	return forget(fleet, redis, wait_ms, fleet->node, false, now_ms() + WALK_MOST_MS, error);
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
	complain(&burial->hearing, reply);
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
	static struct call call;

	begin(&call, fleet, fleet_ended_script, fleet->node);
	if (!send_call(redis, &call) || !redis_exchange(redis, wait_ms, hear_ended, &burial, error) || !burial.hearing.good)
		return false;
	for (int i = 0; i < burial.nodes; i++)
		if (!forget(fleet, redis, wait_ms, burial.node[i], true, until, error))
			return false;
	return true;
}
