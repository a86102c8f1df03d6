#include "command/fleet/servers.h"

#include "command/fleet/wire.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	SENTINEL_MS = 200,	   /* how long to wait for a Sentinel while others may answer; */
	SENTINEL_PAUSE_MS = 60000, /* how long one that did not is left alone, as each attempt delays a turn, */
	SENTINEL_SOON_MS = 2000,   /* and how long while the master does not answer */
};

/* Shares the remaining time among the remaining servers, so that a silent one does not use it up. */
static uint64_t share(uint64_t deadline, int left)
{
	uint64_t now = now_ms();

	return now < deadline ? now + (deadline - now) / (unsigned)left : deadline;
}

static void describe(char text[80], const struct resolved_address *address)
{
	char host[46];
	char port[8];

	if (getnameinfo((const struct sockaddr *)&address->address, address->length, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		snprintf(text, 80, "?");
	else
		snprintf(text, 80, strchr(host, ':') != NULL ? "[%s]:%s" : "%s:%s", host, port);
}

/* Tries one address of a host. The error names it. */
static struct redis *open_one(struct servers *servers, const struct redis_address *url, const struct redis_host *host,
			      const struct resolved_address *at, uint64_t deadline, char *error)
{
	char why[WIRE_ERROR];
	char name[80];

	describe(name, at);
	struct redis *redis = redis_open(url, host, at, false, deadline, why);
	uint64_t now = now_ms();
	if (redis != NULL && !redis_ask_facts(redis, now < deadline ? (int)(deadline - now) : 0, &servers->facts, why)) {
		redis_close(redis);
		redis = NULL;
	} else if (redis != NULL && servers->facts.replica) {
		snprintf(why, sizeof(why), "is a replica, which accepts no writes");
		redis_close(redis);
		redis = NULL;
	}
	if (redis == NULL)
		snprintf(error, WIRE_ERROR, "%s: %.170s", name, why);
	else
		snprintf(servers->present, sizeof(servers->present), "%s", name);
	return redis;
}

/* Tries all addresses of a host in turn. */
static struct redis *open_host(struct servers *servers, const struct redis_address *url, const struct redis_host *host,
			       uint64_t deadline, char *error)
{
	struct resolved_address found[ADDRESSES_MOST];
	int number = resolve(found, host->name, host->port, deadline, error);
	struct redis *redis = NULL;

	for (int i = 0; i < number && redis == NULL; i++) {
		char name[80];
		describe(name, &found[i]);
		if (servers->unwritable[0] != '\0' && strcmp(name, servers->unwritable) == 0) {
			snprintf(error, WIRE_ERROR, "%s: accepts no writes", name);
			continue;
		}
		redis = open_one(servers, url, host, &found[i], share(deadline, number - i), error);
	}
	return redis;
}

/* ---- Sentinel ----
 *
 * After an election the Sentinels learn of the new master one after another, the leader first. So all are asked, and the one
 * whose configuration has the highest epoch is right, as it is among them. */

struct answer {
	struct sentinel *sentinel;
	char *error;
};

static bool is_text(const redisReply *reply, size_t room)
{
	return reply->type == REDIS_REPLY_STRING && reply->len < room;
}

/* [name, value, ...]. A user who may not ask for it can do without, see the README. */
static void hear_epoch(struct sentinel *sentinel, const redisReply *reply)
{
	for (size_t i = 0; reply->type == REDIS_REPLY_ARRAY && i + 1 < reply->elements; i += 2)
		if (is_text(reply->element[i], 64) && strcmp(reply->element[i]->str, "config-epoch") == 0 &&
		    is_text(reply->element[i + 1], 32))
			sentinel->epoch = strtoull(reply->element[i + 1]->str, NULL, 10);
}

static void hear_master(redisReply *reply, int number, void *with)
{
	struct answer *answer = with;
	struct redis_host *master = &answer->sentinel->master;

	if (number != 0) {
		hear_epoch(answer->sentinel, reply);
		return;
	}
	if (reply->type == REDIS_REPLY_ERROR)
		redis_quote(answer->error, reply);
	else if (reply->type == REDIS_REPLY_NIL)
		snprintf(answer->error, WIRE_ERROR, "Sentinel does not know a master of this name");
	if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 || !is_text(reply->element[0], sizeof(master->name)) ||
	    !is_text(reply->element[1], sizeof(master->port)))
		return;
	snprintf(master->name, sizeof(master->name), "%s", reply->element[0]->str);
	snprintf(master->port, sizeof(master->port), "%s", reply->element[1]->str);
}

static struct redis *open_sentinel(const struct redis_address *url, const struct redis_host *host, uint64_t deadline,
				   char *error)
{
	struct resolved_address found[ADDRESSES_MOST];
	int number = resolve(found, host->name, host->port, deadline, error);
	struct redis *sentinel = NULL;

	for (int i = 0; i < number && sentinel == NULL; i++)
		sentinel = redis_open(url, host, &found[i], true, share(deadline, number - i), error);
	return sentinel;
}

static bool ask_sentinel(struct sentinel *sentinel, const struct redis_address *url, const struct redis_host *host,
			 uint64_t deadline, char *error)
{
	const char *question[] = {"SENTINEL", "GET-MASTER-ADDR-BY-NAME", url->master};
	const char *facts[] = {"SENTINEL", "MASTER", url->master};
	struct answer answer = {.sentinel = sentinel, .error = error};

	if (sentinel->redis == NULL && (sentinel->redis = open_sentinel(url, host, deadline, error)) == NULL)
		return false;
	uint64_t now = now_ms();
	snprintf(error, WIRE_ERROR, "not understood: no master's address");
	return redis_add(sentinel->redis, 3, question, NULL) && redis_add(sentinel->redis, 3, facts, NULL) &&
	       redis_exchange(sentinel->redis, now < deadline ? (int)(deadline - now) : 0, hear_master, &answer, error) &&
	       sentinel->master.name[0] != '\0';
}

/* The one who knows best; NULL if none does. */
static const struct sentinel *newest(const struct servers *servers)
{
	const struct sentinel *best = NULL;

	for (int i = 0; i < HOSTS_MOST; i++)
		if (servers->sentinel[i].master.name[0] != '\0' && (best == NULL || servers->sentinel[i].epoch > best->epoch))
			best = &servers->sentinel[i];
	return best;
}

/* Asks all Sentinels, each for so long at most, but for those that failed in the last pause_ms. False if none answers, with the
 * last one's reason. */
static bool ask_sentinels(struct servers *servers, const struct redis_address *url, uint64_t each_ms, uint64_t pause_ms,
			  char *error)
{
	char why[WIRE_ERROR];

	for (int i = 0; i < url->hosts; i++) {
		struct sentinel *sentinel = &servers->sentinel[i];
		uint64_t now = now_ms();
		sentinel->master.name[0] = '\0';
		sentinel->epoch = 0;
		if ((sentinel->redis == NULL && sentinel->failed != 0 && now < sentinel->failed + pause_ms) ||
		    ask_sentinel(sentinel, url, &url->host[i], now + each_ms, why))
			continue;
		redis_close(sentinel->redis);
		*sentinel = (struct sentinel){.failed = now};
		snprintf(error, WIRE_ERROR, "Sentinel %.60s port %.7s: %.150s", url->host[i].name, url->host[i].port, why);
	}
	servers->sentinels_asked = now_ms();
	return newest(servers) != NULL;
}

static void drop_sentinels(struct servers *servers)
{
	for (int i = 0; i < HOSTS_MOST; i++) {
		redis_close(servers->sentinel[i].redis);
		servers->sentinel[i] = (struct sentinel){0};
	}
}

static bool is_same(const struct redis_host *one, const struct redis_host *other)
{
	return strcmp(one->name, other->name) == 0 && strcmp(one->port, other->port) == 0;
}

/* Connects to the master that the Sentinels name. If they differ within one epoch (which we may not be permitted to ask for),
 * each of those is tried. */
static struct redis *open_by_sentinels(struct servers *servers, const struct redis_address *url, uint64_t deadline, char *error)
{
	const struct sentinel *best;
	struct redis *redis = NULL;
	uint64_t now = now_ms();
	uint64_t each_ms = now < deadline ? (deadline - now) / 2 / (unsigned)url->hosts : 0;

	if (!ask_sentinels(servers, url, each_ms < SENTINEL_MS ? each_ms : SENTINEL_MS, SENTINEL_SOON_MS, error))
		ask_sentinels(servers, url, each_ms, 0, error);
	servers->epoch = 0;
	while (redis == NULL && (best = newest(servers)) != NULL && best->epoch >= servers->epoch) {
		servers->epoch = best->epoch;
		servers->master = best->master; /* while connecting, the wait ends if another one is named */
		redis = open_host(servers, url, &servers->master, deadline, error);
		if (redis == NULL && strstr(error, wire_given_up) != NULL)
			break;
		for (int i = 0; i < url->hosts && redis == NULL; i++)
			if (is_same(&servers->sentinel[i].master, &servers->master))
				servers->sentinel[i].master.name[0] = '\0';
	}
	if (redis == NULL)
		servers->master.name[0] = '\0';
	return redis;
}

bool servers_moved(struct servers *servers, int every_ms, bool answers)
{
	const struct redis_address *url = &servers->address[servers->chosen];
	uint64_t now = now_ms();
	char why[WIRE_ERROR];

	if (servers->master.name[0] == '\0' || now < servers->sentinels_asked + (unsigned)every_ms)
		return false;
	if (!ask_sentinels(servers, url, SENTINEL_MS, answers ? SENTINEL_PAUSE_MS : SENTINEL_SOON_MS, why))
		return false;
	/* The one that named this master may not have answered now, and the others not know it yet. */
	const struct sentinel *best = newest(servers);
	return best->epoch >= servers->epoch && !is_same(&best->master, &servers->master);
}

/* ---- all servers ---- */

static struct redis *open_url(struct servers *servers, const struct redis_address *url, uint64_t deadline, char *error)
{
	struct redis *redis = NULL;

	if (url->master[0] != '\0')
		return open_by_sentinels(servers, url, deadline, error);
	for (int i = 0; i < url->hosts && redis == NULL; i++)
		redis = open_host(servers, url, &url->host[i], share(deadline, url->hosts - i), error);
	return redis;
}

void servers_forget(struct servers *servers)
{
	drop_sentinels(servers);
	servers->master.name[0] = servers->redirect.name[0] = '\0';
	servers->chosen = 0;
}

struct redis *servers_open(struct servers *servers, int wait_ms, char *error)
{
	uint64_t deadline = now_ms() + (unsigned)wait_ms;
	struct redis *redis = NULL;

	servers->master.name[0] = '\0';
	if (servers->redirect.name[0] != '\0') {
		redis = open_host(servers, &servers->address[servers->chosen], &servers->redirect, share(deadline, 2), error);
		if (redis != NULL && servers->asking)
			redis_asking(redis);
		servers->redirect.name[0] = '\0';
	}
	int first = servers->chosen;
	for (int i = 0; i < servers->number && redis == NULL; i++) {
		if (i > 0)
			drop_sentinels(servers); /* they are those of the URL before */
		servers->chosen = (first + i) % servers->number;
		redis = open_url(servers, &servers->address[servers->chosen], share(deadline, servers->number - i), error);
	}
	servers->unwritable[0] = '\0';
	return redis;
}

/* Redirections: Sentinel named another master while we waited, or the server answered "MOVED 3999 host:port" or "ASK 3999
 * host:port". Without a host, the same host is meant. */
bool servers_redirected(struct servers *servers, const char *error)
{
	if (strstr(error, wire_given_up) != NULL)
		return true;
	bool asking = strncmp(error, "ASK ", 4) == 0;
	const char *from = asking ? error + 4 : error + 6;

	if (!asking && strncmp(error, "MOVED ", 6) != 0)
		return false;
	from += strspn(from, "0123456789");
	if (*from++ != ' ')
		return false;
	const char *end = from + strcspn(from, " ");
	const char *colon = memrchr(from, ':', (size_t)(end - from));
	if (colon == NULL || end - colon - 1 >= (int)sizeof(servers->redirect.port) ||
	    colon - from >= (int)sizeof(servers->redirect.name))
		return false;
	if (colon == from) { /* as written in `present`, without an IPv6 address's brackets */
		bool bracketed = servers->present[0] == '[';
		const char *last = strrchr(servers->present, ':');
		if (last == NULL)
			return false;
		snprintf(servers->redirect.name, sizeof(servers->redirect.name), "%.*s",
			 (int)(last - servers->present) - 2 * bracketed, servers->present + bracketed);
	} else {
		snprintf(servers->redirect.name, sizeof(servers->redirect.name), "%.*s", (int)(colon - from), from);
	}
	snprintf(servers->redirect.port, sizeof(servers->redirect.port), "%.*s", (int)(end - colon - 1), colon + 1);
	servers->asking = asking;
	return true;
}

void servers_failed(struct servers *servers, const char *error)
{
	if (strstr(error, "READONLY") != NULL)
		snprintf(servers->unwritable, sizeof(servers->unwritable), "%s", servers->present);
}
