#include "command/fleet/servers.h"

#include "command/fleet/wire.h"

#include <netdb.h>
#include <stdio.h>
#include <string.h>

enum {
	SENTINEL_MS = 200,	  /* how long to wait for a Sentinel while there is a master */
	SENTINEL_PAUSE_MS = 5000, /* pause after no Sentinel answered */
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

/* ---- Sentinel ---- */

struct named {
	struct redis_host host;
	char *error;
	bool good;
};

static void hear_master(redisReply *reply, int number, void *with)
{
	struct named *named = with;

	(void)number;
	named->good = false;
	if (reply->type == REDIS_REPLY_ERROR)
		redis_quote(named->error, reply);
	else if (reply->type == REDIS_REPLY_NIL)
		snprintf(named->error, WIRE_ERROR, "Sentinel does not know a master of this name");
	if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 || reply->element[0]->type != REDIS_REPLY_STRING ||
	    reply->element[1]->type != REDIS_REPLY_STRING || reply->element[0]->len >= sizeof(named->host.name) ||
	    reply->element[1]->len >= sizeof(named->host.port))
		return;
	snprintf(named->host.name, sizeof(named->host.name), "%s", reply->element[0]->str);
	snprintf(named->host.port, sizeof(named->host.port), "%s", reply->element[1]->str);
	named->good = true;
}

static bool ask_sentinel(struct redis *sentinel, const struct redis_address *url, int wait_ms, struct named *named)
{
	const char *question[] = {"SENTINEL", "GET-MASTER-ADDR-BY-NAME", url->master};

	snprintf(named->error, WIRE_ERROR, "not understood: no master's address");
	return redis_add(sentinel, 3, question, NULL) && redis_exchange(sentinel, wait_ms, hear_master, named, named->error) &&
	       named->good;
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

static void drop_sentinel(struct servers *servers)
{
	redis_close(servers->sentinel);
	servers->sentinel = NULL;
}

/* Asks one Sentinel, and connects to the master that it names. */
static struct redis *open_by_sentinel(struct servers *servers, const struct redis_address *url, int which, uint64_t deadline,
				      char *error)
{
	char why[WIRE_ERROR];
	struct named named = {.error = why};
	struct redis *redis = NULL;
	uint64_t half = share(deadline, 2);

	drop_sentinel(servers);
	servers->sentinel_host = which;
	servers->sentinel = open_sentinel(url, &url->host[which], half, why);
	uint64_t now = now_ms();
	if (servers->sentinel != NULL && ask_sentinel(servers->sentinel, url, now < half ? (int)(half - now) : 0, &named)) {
		servers->master = named.host; /* while connecting, the wait ends if another one is named */
		redis = open_host(servers, url, &named.host, deadline, error);
	} else {
		snprintf(error, WIRE_ERROR, "Sentinel %.60s port %.7s: %.150s", url->host[which].name, url->host[which].port,
			 why);
	}
	servers->sentinel_asked = now_ms();
	if (redis == NULL) {
		drop_sentinel(servers);
		servers->master.name[0] = '\0';
	}
	return redis;
}

bool servers_moved(struct servers *servers, int every_ms)
{
	const struct redis_address *url = &servers->address[servers->chosen];
	uint64_t now = now_ms();
	char why[WIRE_ERROR];
	struct named named = {.error = why};

	if (servers->master.name[0] == '\0' || now < servers->sentinel_asked + (unsigned)every_ms)
		return false;
	servers->sentinel_asked = now;
	if (servers->sentinel == NULL)
		servers->sentinel = open_sentinel(url, &url->host[servers->sentinel_host], now + SENTINEL_MS, why);
	if (servers->sentinel == NULL || !ask_sentinel(servers->sentinel, url, SENTINEL_MS, &named)) {
		drop_sentinel(servers);
		servers->sentinel_host = (servers->sentinel_host + 1) % url->hosts;
		/* After all Sentinels failed, pause before asking the next. */
		if (servers->sentinel_host == 0)
			servers->sentinel_asked = now + SENTINEL_PAUSE_MS;
		return false;
	}
	return strcmp(named.host.name, servers->master.name) != 0 || strcmp(named.host.port, servers->master.port) != 0;
}

/* ---- all servers ---- */

static struct redis *open_url(struct servers *servers, const struct redis_address *url, uint64_t deadline, char *error)
{
	struct redis *redis = NULL;

	for (int i = 0; i < url->hosts && redis == NULL; i++) {
		uint64_t until = share(deadline, url->hosts - i);
		if (url->master[0] != '\0')
			redis = open_by_sentinel(servers, url, i, until, error);
		else
			redis = open_host(servers, url, &url->host[i], until, error);
	}
	return redis;
}

struct redis *servers_open(struct servers *servers, int wait_ms, char *error)
{
	uint64_t deadline = now_ms() + (unsigned)wait_ms;
	struct redis *redis = NULL;

	drop_sentinel(servers);
	servers->master.name[0] = '\0';
	if (servers->redirect.name[0] != '\0') {
		redis = open_host(servers, &servers->address[servers->chosen], &servers->redirect, share(deadline, 2), error);
		if (redis != NULL && servers->asking)
			redis_asking(redis);
		servers->redirect.name[0] = '\0';
	}
	int first = servers->chosen;
	for (int i = 0; i < servers->number && redis == NULL; i++) {
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
