#include "fleet.h"

#include "../../lib/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { CHANGES_A_SCRIPT = 500, FORGOTTEN_A_STEP = 1000, ERROR = 256 };

/* KEYS: node:ID totals near changes leases incarnations
 * ARGV: node incarnation lease_ms near (client count)... */
static const char tell_script[] =
    "if redis.call('HGET', KEYS[6], ARGV[1]) ~= ARGV[2] then return 0 end\n"
    "local t = redis.call('TIME')\n"
    "redis.call('ZADD', KEYS[5], t[1] * 1000 + math.floor(t[2] / 1000) + ARGV[3], ARGV[1])\n"
    "local near = tonumber(ARGV[4])\n"
    "local news = {}\n"
    "for i = 5, #ARGV, 2 do\n"
    "  local client, count = ARGV[i], tonumber(ARGV[i + 1])\n"
    "  local step = count - (tonumber(redis.call('HGET', KEYS[1], client)) or 0)\n"
    "  if step ~= 0 then\n"
    "    if count > 0 then redis.call('HSET', KEYS[1], client, count) else redis.call('HDEL', KEYS[1], client) end\n"
    "    local total = redis.call('HINCRBY', KEYS[2], client, step)\n"
    "    if total <= 0 then redis.call('HDEL', KEYS[2], client) total = 0 end\n"
    "    if total >= near then redis.call('HSET', KEYS[3], client, total)\n"
    "    elseif total - step >= near then redis.call('HDEL', KEYS[3], client) end\n"
    "    if total >= near or total - step >= near then news[#news + 1] = client news[#news + 1] = total end\n"
    "  end\n"
    "end\n"
    "if #news > 0 then redis.call('XADD', KEYS[4], 'MAXLEN', '~', 100000, '*', unpack(news)) end\n"
    "return 1\n";

/* KEYS as above. ARGV: node near most only_if_ended. Takes up to `most` of the node's clients back from the totals; returns how
 * many are left. From the first step on, the node itself is told that it must join anew. */
static const char forget_script[] =
    "local t = redis.call('TIME')\n"
    "if ARGV[4] == '1' then\n"
    "  local ends = redis.call('ZSCORE', KEYS[5], ARGV[1])\n"
    "  if ends and tonumber(ends) >= t[1] * 1000 + math.floor(t[2] / 1000) then return 0 end\n"
    "end\n"
    "redis.call('HDEL', KEYS[6], ARGV[1])\n"
    "local near = tonumber(ARGV[2])\n"
    "local news = {}\n"
    "local part = redis.call('HSCAN', KEYS[1], '0', 'COUNT', ARGV[3])[2]\n"
    "for i = 1, #part, 2 do\n"
    "  local client, count = part[i], tonumber(part[i + 1])\n"
    "  redis.call('HDEL', KEYS[1], client)\n"
    "  local total = redis.call('HINCRBY', KEYS[2], client, -count)\n"
    "  if total <= 0 then redis.call('HDEL', KEYS[2], client) total = 0 end\n"
    "  if total >= near then redis.call('HSET', KEYS[3], client, total) else redis.call('HDEL', KEYS[3], client) end\n"
    "  if total + count >= near then news[#news + 1] = client news[#news + 1] = total end\n"
    "  if #news >= 1000 then redis.call('XADD', KEYS[4], 'MAXLEN', '~', 100000, '*', unpack(news)) news = {} end\n"
    "end\n"
    "if #news > 0 then redis.call('XADD', KEYS[4], 'MAXLEN', '~', 100000, '*', unpack(news)) end\n"
    "local left = redis.call('HLEN', KEYS[1])\n"
    "if left == 0 then redis.call('ZREM', KEYS[5], ARGV[1]) end\n"
    "return left\n";

/* KEYS as above. ARGV: node incarnation lease_ms. Returns the stream's end. */
static const char join_script[] =
    "local t = redis.call('TIME')\n"
    "redis.call('HSET', KEYS[6], ARGV[1], ARGV[2])\n"
    "redis.call('ZADD', KEYS[5], t[1] * 1000 + math.floor(t[2] / 1000) + ARGV[3], ARGV[1])\n"
    "local last = redis.call('XREVRANGE', KEYS[4], '+', '-', 'COUNT', 1)\n"
    "return last[1] and last[1][1] or '0-0'\n";

/* KEYS: leases. Returns the nodes whose lease ended. */
static const char ended_script[] =
    "local t = redis.call('TIME')\n"
    "return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', t[1] * 1000 + math.floor(t[2] / 1000) - 1, 'LIMIT', 0, 16)\n";

void fleet_init(struct fleet *fleet, const char *cluster, const char *node, int lease_ms)
{
	*fleet = (struct fleet){.lease_ms = lease_ms, .near = 1};
	snprintf(fleet->prefix, sizeof(fleet->prefix), "connlimit:{%.70s}:", cluster);
	snprintf(fleet->node, sizeof(fleet->node), "%s", node);
}

/* One EVAL or EVALSHA in the making. A script that Redis has lost is an error, upon which the caller connects anew. */
struct call {
	const char *argument[3 + 6 + 4 + 2 * CHANGES_A_SCRIPT];
	size_t length[3 + 6 + 4 + 2 * CHANGES_A_SCRIPT];
	int arguments;
	char key[6][192];
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
	static const char *const keys[] = {"node:", "totals", "near", "changes", "leases", "incarnations"};

	call->arguments = 0;
	add_text(call, script == fleet->tell ? "EVALSHA" : "EVAL");
	add_text(call, script);
	add_text(call, "6");
	for (int i = 0; i < 6; i++) {
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
	int told; /* replies of tell_script come first */
	bool good;
	bool more;	/* the stream may hold more than was read */
	long long left; /* of forget_script */
	char cursor[32];
};

static void complain(struct hearing *hearing, const redisReply *reply)
{
	if (reply->type == REDIS_REPLY_ERROR && hearing->good) {
		hearing->good = false;
		snprintf(hearing->error, ERROR, "%.*s", (int)(reply->len < ERROR ? reply->len : ERROR - 1), reply->str);
	}
}

static void hear_pairs(struct hearing *hearing, redisReply **pair, size_t number)
{
	for (size_t i = 0; i + 1 < number; i += 2)
		if (pair[i]->type == REDIS_REPLY_STRING && pair[i]->len == CLIENT_KEY &&
		    pair[i + 1]->type == REDIS_REPLY_STRING)
			hearing->heard((const unsigned char *)pair[i]->str, (uint32_t)strtoul(pair[i + 1]->str, NULL, 10),
				       hearing->with);
}

/* [[stream, [[id, [client, total, ...]], ...]]] */
static void hear_stream(struct hearing *hearing, const redisReply *reply)
{
	if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 1 || reply->element[0]->type != REDIS_REPLY_ARRAY ||
	    reply->element[0]->elements != 2)
		return;
	const redisReply *entries = reply->element[0]->element[1];
	for (size_t i = 0; entries->type == REDIS_REPLY_ARRAY && i < entries->elements; i++) {
		const redisReply *entry = entries->element[i];
		if (entry->type != REDIS_REPLY_ARRAY || entry->elements != 2 || entry->element[0]->type != REDIS_REPLY_STRING)
			continue;
		snprintf(hearing->fleet->last, sizeof(hearing->fleet->last), "%s", entry->element[0]->str);
		if (entry->element[1]->type == REDIS_REPLY_ARRAY)
			hear_pairs(hearing, entry->element[1]->element, entry->element[1]->elements);
	}
	hearing->more = entries->elements >= 1000;
}

static void hear_exchange(redisReply *reply, int number, void *with)
{
	struct hearing *hearing = with;

	complain(hearing, reply);
	if (!hearing->good)
		return;
	if (number < hearing->told) {
		if (reply->type == REDIS_REPLY_INTEGER && reply->integer == 0)
			hearing->fleet->joined = false;
		return;
	}
	hear_stream(hearing, reply);
}

static bool add_read(struct fleet *fleet, struct redis *redis)
{
	char stream[192];

	snprintf(stream, sizeof(stream), "%schanges", fleet->prefix);
	const char *arguments[] = {"XREAD", "COUNT", "1000", "STREAMS", stream, fleet->last};
	return redis_add(redis, 6, arguments, NULL);
}

bool fleet_exchange(struct fleet *fleet, struct redis *redis, int wait_ms, const struct fleet_change *change, size_t number,
		    fleet_heard *heard, void *with, char *error)
{
	static struct call call; /* large, and this program has one thread */
	struct hearing hearing = {.fleet = fleet, .heard = heard, .with = with, .error = error, .good = true};
	size_t done = 0;

	snprintf(error, ERROR, "out of memory");
	uint64_t now = clock_us() / 1000;
	bool silent = number == 0 && now - fleet->told < (uint64_t)fleet->lease_ms / 4;
	if (!silent)
		fleet->told = now;
	while (!silent) {
		size_t part = number - done < CHANGES_A_SCRIPT ? number - done : CHANGES_A_SCRIPT;
		begin(&call, fleet, fleet->tell, fleet->node);
		add_text(&call, fleet->node);
		add_text(&call, fleet->incarnation);
		add_number(&call, 0, fleet->lease_ms);
		add_number(&call, 1, fleet->near);
		for (size_t i = 0; i < part; i++) {
			add(&call, (const char *)change[done + i].key, CLIENT_KEY);
			snprintf(call.count[i], sizeof(call.count[i]), "%u", change[done + i].number);
			add_text(&call, call.count[i]);
		}
		if (!send_call(redis, &call))
			return false;
		hearing.told++;
		done += part;
		if (done >= number)
			break;
	}
	if (!add_read(fleet, redis) || !redis_exchange(redis, wait_ms, hear_exchange, &hearing, error))
		return false;
	hearing.told = 0;
	while (hearing.good && hearing.more) {
		hearing.more = false;
		if (!add_read(fleet, redis) || !redis_exchange(redis, wait_ms, hear_exchange, &hearing, error))
			return false;
	}
	return hearing.good;
}

static void hear_left(redisReply *reply, int number, void *with)
{
	struct hearing *hearing = with;

	(void)number;
	complain(hearing, reply);
	hearing->left = reply->type == REDIS_REPLY_INTEGER ? reply->integer : 0;
}

static bool forget(struct fleet *fleet, struct redis *redis, int wait_ms, const char *node, bool only_if_ended, char *error)
{
	struct hearing hearing = {.fleet = fleet, .error = error, .good = true, .left = 1};
	static struct call call;

	while (hearing.good && hearing.left > 0) {
		begin(&call, fleet, forget_script, node);
		add_text(&call, node);
		add_number(&call, 0, fleet->near);
		add_number(&call, 1, FORGOTTEN_A_STEP);
		add_text(&call, only_if_ended ? "1" : "0");
		if (!send_call(redis, &call) || !redis_exchange(redis, wait_ms, hear_left, &hearing, error))
			return false;
		if (only_if_ended)
			break;
	}
	return hearing.good;
}

static void hear_last(redisReply *reply, int number, void *with)
{
	struct hearing *hearing = with;

	(void)number;
	complain(hearing, reply);
	if (reply->type == REDIS_REPLY_STRING)
		snprintf(hearing->fleet->last, sizeof(hearing->fleet->last), "%s", reply->str);
}

static void hear_hash(redisReply *reply, int number, void *with)
{
	struct hearing *hearing = with;

	(void)number;
	complain(hearing, reply);
	if (reply->type == REDIS_REPLY_STRING)
		snprintf(hearing->fleet->tell, sizeof(hearing->fleet->tell), "%s", reply->str);
}

bool fleet_prepare(struct fleet *fleet, struct redis *redis, int wait_ms, char *error)
{
	struct hearing hearing = {.fleet = fleet, .error = error, .good = true};
	const char *arguments[] = {"SCRIPT", "LOAD", tell_script};

	fleet->told = 0;
	return redis_add(redis, 3, arguments, NULL) && redis_exchange(redis, wait_ms, hear_hash, &hearing, error) &&
	       hearing.good;
}

bool fleet_join(struct fleet *fleet, struct redis *redis, int wait_ms, char *error)
{
	struct hearing hearing = {.fleet = fleet, .error = error, .good = true};
	unsigned long long number = 0;
	static struct call call;

	if (getrandom(&number, sizeof(number), GRND_NONBLOCK) != sizeof(number)) {
		snprintf(error, ERROR, "no random number: %s", strerror(errno));
		return false;
	}
	snprintf(fleet->incarnation, sizeof(fleet->incarnation), "%016llx", number);
	if (!forget(fleet, redis, wait_ms, fleet->node, false, error))
		return false;
	begin(&call, fleet, join_script, fleet->node);
	add_text(&call, fleet->node);
	add_text(&call, fleet->incarnation);
	add_number(&call, 0, fleet->lease_ms);
	fleet->joined = send_call(redis, &call) && redis_exchange(redis, wait_ms, hear_last, &hearing, error) && hearing.good;
	return fleet->joined;
}

void fleet_leave(struct fleet *fleet, struct redis *redis, int wait_ms)
{
	char error[ERROR];

	forget(fleet, redis, wait_ms, fleet->node, false, error);
	fleet->joined = false;
}

static void hear_snapshot(redisReply *reply, int number, void *with)
{
	struct hearing *hearing = with;

	(void)number;
	complain(hearing, reply);
	snprintf(hearing->cursor, sizeof(hearing->cursor), "0");
	if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 || reply->element[0]->type != REDIS_REPLY_STRING ||
	    reply->element[1]->type != REDIS_REPLY_ARRAY)
		return;
	snprintf(hearing->cursor, sizeof(hearing->cursor), "%s", reply->element[0]->str);
	hear_pairs(hearing, reply->element[1]->element, reply->element[1]->elements);
}

bool fleet_snapshot(struct fleet *fleet, struct redis *redis, int wait_ms, fleet_heard *heard, void *with, char *error)
{
	struct hearing hearing = {.fleet = fleet, .heard = heard, .with = with, .error = error, .good = true, .cursor = "0"};
	char key[192];

	snprintf(key, sizeof(key), "%snear", fleet->prefix);
	do {
		char cursor[32];
		snprintf(cursor, sizeof(cursor), "%s", hearing.cursor);
		const char *arguments[] = {"HSCAN", key, cursor, "COUNT", "1000"};
		if (!redis_add(redis, 5, arguments, NULL) || !redis_exchange(redis, wait_ms, hear_snapshot, &hearing, error))
			return false;
	} while (hearing.good && strcmp(hearing.cursor, "0") != 0);
	return hearing.good;
}

struct burial {
	char node[16][64];
	int nodes;
	bool good;
};

static void hear_ended(redisReply *reply, int number, void *with)
{
	struct burial *burial = with;

	(void)number;
	burial->good = reply->type == REDIS_REPLY_ARRAY;
	for (size_t i = 0; burial->good && i < reply->elements && burial->nodes < 16; i++)
		if (reply->element[i]->type == REDIS_REPLY_STRING && reply->element[i]->len < sizeof(burial->node[0]))
			snprintf(burial->node[burial->nodes++], sizeof(burial->node[0]), "%s", reply->element[i]->str);
}

bool fleet_bury(struct fleet *fleet, struct redis *redis, int wait_ms, char *error)
{
	struct burial burial = {0};
	char key[192];

	snprintf(key, sizeof(key), "%sleases", fleet->prefix);
	const char *arguments[] = {"EVAL", ended_script, "1", key};
	if (!redis_add(redis, 4, arguments, NULL) || !redis_exchange(redis, wait_ms, hear_ended, &burial, error))
		return false;
	for (int i = 0; i < burial.nodes; i++)
		if (!forget(fleet, redis, wait_ms, burial.node[i], true, error))
			return false;
	return true;
}
