#include "command/fleet/redis.h"

#include "command/fleet/wire.h"

#include "values/text.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct redis {
	struct wire wire;
	redisReader *reader;
	char *pending;
	size_t length;
	size_t room;
	int commands;
	bool asking; /* for a cluster's node: ASKING is sent before each command */
	unsigned long long sent;
	unsigned long long received;
};

/* ---- commands ---- */

static bool add(struct redis *redis, int arguments, const char **argument, const size_t *length)
{
	char *command = NULL;
	long long bytes = redisFormatCommandArgv(&command, arguments, argument, length);

	if (bytes <= 0)
		return false;
	if (redis->pending == NULL || redis->length + (size_t)bytes > redis->room) {
		size_t room = (redis->length + (size_t)bytes) * 2;
		char *larger = realloc(redis->pending, room);
		if (larger == NULL) {
			redisFreeCommand(command);
			return false;
		}
		redis->pending = larger;
		redis->room = room;
	}
	memcpy(redis->pending + redis->length, command, (size_t)bytes);
	redis->length += (size_t)bytes;
	redis->commands++;
	redisFreeCommand(command);
	return true;
}

bool redis_add(struct redis *redis, int arguments, const char **argument, const size_t *length)
{
	const char *asking[] = {"ASKING"};

	return (!redis->asking || add(redis, 1, asking, NULL)) && add(redis, arguments, argument, length);
}

void redis_asking(struct redis *redis)
{
	redis->asking = true;
}

static bool list_refused; /* set by make_short_list */

/* Passes on the replies that have arrived. */
static bool take_replies(struct redis *redis, int *replies, void (*got)(redisReply *, int, void *), void *with, char *error)
{
	while (*replies < redis->commands) {
		void *reply = NULL;
		list_refused = false;
		if (redisReaderGetReply(redis->reader, &reply) != REDIS_OK) {
			snprintf(error, WIRE_ERROR, "not understood: %s",
				 list_refused ? "a list that is too long or too deeply nested" : redis->reader->errstr);
			return false;
		}
		if (reply == NULL)
			return true;
		if (!redis->asking)
			got(reply, *replies, with);
		else if (*replies % 2 != 0)
			got(reply, *replies / 2, with);
		++*replies;
		freeReplyObject(reply);
	}
	if (redis->reader->pos < redis->reader->len) {
		snprintf(error, WIRE_ERROR, "not understood: a reply that was not asked for");
		return false;
	}
	return true;
}

static bool transfer(struct redis *redis, uint64_t deadline, void (*got)(redisReply *, int, void *), void *with, char *error)
{
	size_t written = 0;
	size_t received = 0;
	int replies = 0;
	/* Writing is no longer possible. What the server said before it closed, such as the reason, is still read. */
	bool broken = false;
	char buffer[65536];

	/* Reads while writing: a large pipeline could fill the buffers of both directions and deadlock. */
	while (replies < redis->commands) {
		short write_events = 0;
		short read_events = 0;
		if (!broken && written < redis->length) {
			ssize_t n =
			    wire_write(&redis->wire, redis->pending + written, redis->length - written, &write_events, error);
			if (n > 0) {
				written += (size_t)n;
				redis->sent += (unsigned long long)n;
				write_events = written < redis->length ? POLLOUT : 0;
			}
			broken = n == WIRE_FAILED;
		}
		ssize_t n = wire_read(&redis->wire, buffer, sizeof(buffer), &read_events, error);
		if (n == WIRE_FAILED || (n == WIRE_AGAIN && broken))
			return false;
		if (n == WIRE_AGAIN) {
			if (!wire_wait(redis->wire.descriptor, (short)(read_events | write_events), deadline)) {
				snprintf(error, WIRE_ERROR, "%s", errno == ECANCELED ? wire_given_up : "no answer in time");
				return false;
			}
			continue;
		}
		received += (size_t)n;
		redis->received += (unsigned long long)n;
		if (received > REPLIES_MOST || redisReaderFeed(redis->reader, buffer, (size_t)n) != REDIS_OK) {
			snprintf(error, WIRE_ERROR, "more replies than commands");
			return false;
		}
		if (!take_replies(redis, &replies, got, with, error))
			return false;
		/* A server that sends a few bytes at a time does not extend the deadline. */
		if (replies < redis->commands && now_ms() >= deadline) {
			snprintf(error, WIRE_ERROR, "no answer in time");
			return false;
		}
	}
	return true;
}

bool redis_exchange(struct redis *redis, int wait_ms, void (*got)(redisReply *reply, int number, void *with), void *with,
		    char *error)
{
	bool done = transfer(redis, now_ms() + (uint64_t)wait_ms, got, with, error);

	redis->length = 0;
	redis->commands = 0;
	return done;
}

void redis_quote(char *error, const redisReply *reply)
{
	text_escape(error, WIRE_ERROR, reply->str, reply->len);
}

struct greeting {
	bool good;
	char *error;
};

static void check_greeting(redisReply *reply, int number, void *with)
{
	struct greeting *greeting = with;

	(void)number;
	if (reply->type == REDIS_REPLY_ERROR && greeting->good) {
		greeting->good = false;
		redis_quote(greeting->error, reply);
	}
}

static bool greet(struct redis *redis, const struct redis_address *address, bool is_sentinel, int wait_ms, char *error)
{
	const char *user = is_sentinel ? address->sentinel_user : address->user;
	const char *password = is_sentinel ? address->sentinel_password : address->password;
	struct greeting greeting = {.good = true, .error = error};
	char database[16];

	snprintf(error, WIRE_ERROR, "out of memory");
	if (password[0] != '\0' || user[0] != '\0') {
		const char *with_user[] = {"AUTH", user, password};
		const char *without[] = {"AUTH", password};
		if (user[0] != '\0' ? !redis_add(redis, 3, with_user, NULL) : !redis_add(redis, 2, without, NULL))
			return false;
	}
	snprintf(database, sizeof(database), "%d", address->database);
	const char *select[] = {"SELECT", database};
	if (address->database != 0 && !is_sentinel && !redis_add(redis, 2, select, NULL))
		return false;
	const char *ping[] = {"PING"};
	if (!redis_add(redis, 1, ping, NULL))
		return false;
	return redis_exchange(redis, wait_ms, check_greeting, &greeting, error) && greeting.good;
}

/* hiredis allocates a list for as many elements as are announced, before they arrive, and since version 1.0 lists may be nested
 * to any depth. So both are bounded. */
#if HIREDIS_MAJOR >= 1
typedef size_t list_length;
#else
typedef int list_length;
#endif
static void *(*make_list)(const redisReadTask *task, list_length elements);

static void *make_short_list(const redisReadTask *task, list_length elements)
{
	unsigned depth = 0;

	for (const redisReadTask *outer = task; outer != NULL && depth <= DEPTH_MOST; outer = outer->parent)
		depth++;
	list_refused = (size_t)elements > ELEMENTS_MOST || depth > DEPTH_MOST;
	return list_refused ? NULL : make_list(task, elements);
}

static redisReader *make_reader(void)
{
	static redisReplyObjectFunctions functions;
	redisReader *reader = redisReaderCreate();

	if (reader == NULL)
		return NULL;
	if (make_list == NULL) {
		functions = *reader->fn;
		make_list = functions.createArray;
		functions.createArray = make_short_list;
	}
	reader->fn = &functions;
	return reader;
}

struct redis *redis_open(const struct redis_address *address, const struct redis_host *host, const struct resolved_address *at,
			 bool is_sentinel, uint64_t deadline, char *error)
{
	const struct wire_tls tls = {
	    .host = host->name, .ca = address->ca, .certificate = address->certificate, .key = address->key};
	struct redis *redis = calloc(1, sizeof(*redis));

	snprintf(error, WIRE_ERROR, "out of memory");
	if (redis == NULL)
		return NULL;
	redis->wire.descriptor = -1;
	redis->reader = make_reader();
	if (redis->reader == NULL || !wire_open(&redis->wire, at, address->tls ? &tls : NULL, deadline, error)) {
		redis_close(redis);
		return NULL;
	}
	uint64_t now = now_ms();
	if (!greet(redis, address, is_sentinel, now < deadline ? (int)(deadline - now) : 0, error)) {
		redis_close(redis);
		return NULL;
	}
	return redis;
}

void redis_close(struct redis *redis)
{
	if (redis == NULL)
		return;
	wire_close(&redis->wire);
	if (redis->reader != NULL)
		redisReaderFree(redis->reader);
	free(redis->pending);
	free(redis);
}

/* ---- the server's role ---- */

static bool says(const redisReply *info, const char *line)
{
	const char *found = strstr(info->str, line);

	return found != NULL && (found == info->str || found[-1] == '\n');
}

static void hear_facts(redisReply *reply, int number, void *with)
{
	struct redis_facts *facts = with;

	(void)number;
	if (reply->type != REDIS_REPLY_STRING)
		return; /* may not be permitted */
	facts->replica = says(reply, "role:slave") && !says(reply, "cluster_enabled:1");
	facts->evicting = says(reply, "maxmemory_policy:allkeys-");
}

bool redis_ask_facts(struct redis *redis, int wait_ms, struct redis_facts *facts, char *error)
{
	const char *info[] = {"INFO"};

	*facts = (struct redis_facts){0};
	snprintf(error, WIRE_ERROR, "out of memory");
	return redis_add(redis, 1, info, NULL) && redis_exchange(redis, wait_ms, hear_facts, facts, error);
}

void redis_traffic(const struct redis *redis, unsigned long long *sent, unsigned long long *received)
{
	*sent += redis->sent;
	*received += redis->received;
}
