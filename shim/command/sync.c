/* connlimit sync: the sidecar that joins this machine's tables to a fleet through Redis.
 *
 * Every interval it looks which clients' counts changed (a comparison of one word for each entry), tells them in one pipelined
 * exchange, hears which totals changed near the limit, and writes what the others hold into the tables. accept never waits for
 * any of this. When Redis is not heard, what was said ages out with the lease, and the machine's own limits hold alone. */
#include "command.h"
#include "fleet.h"
#include "notify.h"
#include "redis.h"

#include "../../lib/clock.h"
#include "../../lib/remote.h"
#include "../../lib/segment.h"
#include "../../lib/table.h"

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* uthash's macros compare signed with unsigned. */
#pragma GCC diagnostic ignored "-Wsign-compare"
#include <uthash.h>

enum {
	TABLES_MOST = 256,
	REFRESH_MS = 10000, /* how often everything near the limit is read again, in case a change was missed */
	REAPPLY_MS = 1000,  /* how often remote counts are written again: an entry may have been given to another client */
	ERROR = 256,
};

struct client {
	unsigned char key[CLIENT_KEY];
	bool changed;	  /* to be told */
	bool near;	  /* the fleet named a total */
	uint32_t entries; /* that refer here */
	uint32_t local;
	uint32_t told;
	uint32_t total;
	UT_hash_handle hh;
};

/* What an entry was when it was last looked at. */
struct seen {
	struct client *client;
	uint64_t fingerprint;
	uint64_t word;
};

struct joined {
	int id;
	struct table table;
	struct seen *seen;
	bool found; /* by this look */
};

struct sync {
	struct redis_address address;
	struct redis *redis;
	struct fleet fleet;
	struct client *clients;
	struct joined joined[TABLES_MOST];
	size_t tables;
	struct fleet_change *change;
	size_t changes;
	size_t change_room;
	const char *only_table;
	int interval_ms;
	int lease_ms;
	bool verbose;
	bool reported; /* the present trouble was said */
	unsigned long long sent;
	unsigned long long received;
};

static volatile sig_atomic_t stopping;

static void on_stop(int signal)
{
	(void)signal;
	stopping = 1;
}

/* ---- clients ---- */

static void key_of(unsigned char *key, const struct network *network)
{
	memcpy(key, network->address.bytes, 16);
	key[16] = network->prefix;
}

static struct client *client_of(struct sync *sync, const unsigned char *key, bool make)
{
	struct client *client;

	HASH_FIND(hh, sync->clients, key, CLIENT_KEY, client);
	if (client == NULL && make && (client = calloc(1, sizeof(*client))) != NULL) {
		memcpy(client->key, key, CLIENT_KEY);
		HASH_ADD(hh, sync->clients, key, CLIENT_KEY, client);
	}
	return client;
}

static void add_change(struct sync *sync, struct client *client)
{
	if (client->changed)
		return;
	if (sync->changes == sync->change_room) {
		size_t room = sync->change_room != 0 ? sync->change_room * 2 : 1024;
		struct fleet_change *larger = realloc(sync->change, room * sizeof(*larger));

		if (larger == NULL)
			return; /* told when it changes again, or on the next joining */
		sync->change = larger;
		sync->change_room = room;
	}
	client->changed = true;
	memcpy(sync->change[sync->changes++].key, client->key, CLIENT_KEY);
}

static void adjust(struct sync *sync, struct client *client, int64_t step)
{
	if (client == NULL || step == 0)
		return;
	int64_t local = (int64_t)client->local + step;
	client->local = local > 0 ? (uint32_t)local : 0;
	add_change(sync, client);
}

/* ---- tables ---- */

static uint64_t count_in(uint64_t word)
{
	return (word & CLIENT_TENTATIVE) == 0 ? word & CLIENT_COUNT : 0;
}

static void refer(struct seen *seen, struct client *client)
{
	if (seen->client != NULL)
		seen->client->entries--;
	if (client != NULL)
		client->entries++;
	seen->client = client;
}

/* Who has the entry now; NULL if nobody holds anything there. */
static struct client *client_in(struct sync *sync, const struct table *table, uint32_t entry, uint64_t word)
{
	struct client_facts facts;
	unsigned char key[CLIENT_KEY];

	if (count_in(word) == 0 || !table_client(table, entry, &facts) || facts.network.prefix > 128)
		return NULL;
	key_of(key, &facts.network);
	return client_of(sync, key, true);
}

/* Takes up what changed in one table since it was last looked at. */
static void look_at(struct sync *sync, struct joined *joined)
{
	struct table *table = &joined->table;

	for (uint32_t entry = 0; entry < table->entries; entry++) {
		struct seen *seen = &joined->seen[entry];
		uint64_t word = atomic_load_explicit(&table->entry[entry].word, memory_order_acquire);

		if (word == seen->word)
			continue;
		uint64_t fingerprint = atomic_load_explicit(&table->entry[entry].fingerprint, memory_order_acquire);
		bool same = seen->client != NULL && fingerprint == seen->fingerprint;
		struct client *client = same ? seen->client : client_in(sync, table, entry, word);
		adjust(sync, seen->client, -(int64_t)count_in(seen->word));
		refer(seen, client != NULL && count_in(word) != 0 ? client : NULL);
		adjust(sync, client, (int64_t)count_in(word));
		seen->fingerprint = fingerprint;
		/* Not known yet whose it is (the entry is being made): look again next time. */
		seen->word = client != NULL || count_in(word) == 0 ? word : CLIENT_TENTATIVE;
	}
}

static void leave_table(struct sync *sync, struct joined *joined, bool forget)
{
	for (uint32_t entry = 0; entry < joined->table.entries; entry++) {
		adjust(sync, joined->seen[entry].client, -(int64_t)count_in(joined->seen[entry].word));
		refer(&joined->seen[entry], NULL);
	}
	if (forget)
		remote_forget(&joined->table);
	table_look_away(&joined->table);
	free(joined->seen);
	*joined = sync->joined[--sync->tables];
}

static bool belongs(const struct sync *sync, const struct table *table)
{
	struct limits limits;

	if (sync->only_table != NULL && strncmp(table->header->name, sync->only_table, sizeof(table->header->name)) != 0)
		return false;
	limits_read(table, &limits);
	return limits.cluster_per_ip != LIMIT_NONE;
}

static bool visit(const struct segment_facts *facts, void *with)
{
	struct sync *sync = with;
	struct joined *joined = &sync->joined[sync->tables];

	for (size_t i = 0; i < sync->tables; i++) {
		if (sync->joined[i].id != facts->id)
			continue;
		/* We have it mapped ourselves: one more than that means that the daemon lives. */
		sync->joined[i].found = facts->attached > 1 && belongs(sync, &sync->joined[i].table);
		return true;
	}
	if (facts->attached == 0 || !facts->readable || sync->tables == TABLES_MOST ||
	    !table_open_id(&joined->table, facts->id))
		return true;
	joined->seen = belongs(sync, &joined->table) ? calloc(joined->table.entries, sizeof(*joined->seen)) : NULL;
	if (joined->seen == NULL) {
		table_look_away(&joined->table);
		return true;
	}
	joined->id = facts->id;
	joined->found = true;
	sync->tables++;
	return true;
}

/* The fleet's limit in force here: the smallest, if daemons differ. */
static void find_tables(struct sync *sync)
{
	uint32_t smallest = LIMIT_MOST;

	for (size_t i = 0; i < sync->tables; i++)
		sync->joined[i].found = false;
	segment_list(visit, sync);
	for (size_t i = sync->tables; i-- > 0;)
		if (!sync->joined[i].found)
			leave_table(sync, &sync->joined[i], true);
	for (size_t i = 0; i < sync->tables; i++) {
		struct limits limits;
		limits_read(&sync->joined[i].table, &limits);
		if (limits.cluster_per_ip < smallest)
			smallest = limits.cluster_per_ip;
	}
	sync->fleet.near = (smallest + 1) / 2;
}

/* What a table's client is told of others: other machines, and other daemons of this one. */
static void apply(struct sync *sync, const struct client *client)
{
	uint32_t elsewhere = client->total > client->told ? client->total - client->told : 0;
	struct network network;

	memcpy(network.address.bytes, client->key, 16);
	network.prefix = client->key[16];
	for (size_t i = 0; i < sync->tables; i++) {
		uint32_t beside = 0;
		if (sync->tables > 1) {
			uint32_t own = table_count(&sync->joined[i].table, &network.address);
			beside = client->local > own ? client->local - own : 0;
		}
		remote_set(&sync->joined[i].table, &network, elsewhere + beside);
	}
}

static void apply_all(struct sync *sync)
{
	struct client *client;
	struct client *next;

	HASH_ITER(hh, sync->clients, client, next)
	{
		if (client->total != 0 || sync->tables > 1)
			apply(sync, client);
		/* Nobody holds anything, here or elsewhere. */
		if (client->entries == 0 && client->told == 0 && client->total == 0 && !client->changed) {
			HASH_DEL(sync->clients, client);
			free(client);
		}
	}
}

static void heard(const unsigned char *key, uint32_t total, void *with)
{
	struct sync *sync = with;
	struct client *client = client_of(sync, key, total != 0);

	if (client == NULL)
		return;
	client->total = total >= sync->fleet.near ? total : 0;
	client->near = client->total != 0;
	apply(sync, client);
}

static void heard_again(const unsigned char *key, uint32_t total, void *with)
{
	struct sync *sync = with;
	struct client *client = client_of(sync, key, total != 0);

	heard(key, total, with);
	if (client != NULL)
		client->near = true;
}

/* ---- the exchange ---- */

static void complain(struct sync *sync, const char *error)
{
	if (!sync->reported)
		fprintf(stderr, "connlimit sync: %s: the fleet is not heard; this machine's own limits hold\n", error);
	sync->reported = true;
	if (sync->redis != NULL) {
		redis_traffic(sync->redis, &sync->sent, &sync->received);
		redis_close(sync->redis);
		sync->redis = NULL;
	}
}

/* Tells everything anew: after joining, nothing that was told before is known. */
static void tell_all(struct sync *sync)
{
	struct client *client;
	struct client *next;

	HASH_ITER(hh, sync->clients, client, next)
	{
		client->told = 0;
		client->total = 0;
		client->near = false;
		if (client->local != 0)
			add_change(sync, client);
		apply(sync, client);
	}
}

static bool connect_and_join(struct sync *sync, char *error)
{
	int wait_ms = sync->lease_ms;

	if (sync->redis == NULL) {
		sync->redis = redis_open(&sync->address, wait_ms, error);
		if (sync->redis == NULL || !fleet_prepare(&sync->fleet, sync->redis, wait_ms, error))
			return false;
	}
	if (sync->fleet.joined)
		return true;
	if (!fleet_join(&sync->fleet, sync->redis, wait_ms, error))
		return false;
	tell_all(sync);
	return fleet_snapshot(&sync->fleet, sync->redis, wait_ms, heard, sync, error);
}

/* A total that was near and that a snapshot no longer names has fallen since. */
static bool refresh(struct sync *sync, char *error)
{
	struct client *client;
	struct client *next;

	HASH_ITER(hh, sync->clients, client, next)
	client->near = false;
	if (!fleet_snapshot(&sync->fleet, sync->redis, sync->lease_ms, heard_again, sync, error))
		return false;
	HASH_ITER(hh, sync->clients, client, next)
	{
		if (!client->near && client->total != 0) {
			client->total = 0;
			apply(sync, client);
		}
	}
	return true;
}

static bool exchange(struct sync *sync, char *error)
{
	size_t told = sync->changes;

	for (size_t i = 0; i < told; i++) {
		struct client *client = client_of(sync, sync->change[i].key, false);
		sync->change[i].number = client != NULL ? client->local : 0;
		if (client != NULL) {
			client->changed = false;
			client->told = client->local; /* before the answers: they contain it */
		}
	}
	sync->changes = 0;
	if (!fleet_exchange(&sync->fleet, sync->redis, sync->lease_ms, sync->change, told, heard, sync, error)) {
		/* What was told may not have arrived: an absolute count can be told twice. */
		for (size_t i = 0; i < told; i++) {
			struct client *client = client_of(sync, sync->change[i].key, false);
			if (client != NULL)
				add_change(sync, client);
		}
		return false;
	}
	if (sync->verbose && told > 0)
		fprintf(stderr, "connlimit sync: told %zu clients\n", told);
	return true;
}

static void turn(struct sync *sync)
{
	static uint64_t refreshed;
	static uint64_t reapplied;
	static uint64_t buried;
	static uint64_t retry;
	char error[ERROR] = "";
	uint64_t now = clock_us() / 1000;

	find_tables(sync);
	for (size_t i = 0; i < sync->tables; i++)
		look_at(sync, &sync->joined[i]);
	if (sync->redis == NULL && now < retry)
		return;
	retry = now + (uint64_t)sync->interval_ms * 5;
	if (!connect_and_join(sync, error) || !exchange(sync, error)) {
		complain(sync, error);
		return;
	}
	if (!sync->fleet.joined)
		return; /* forgotten by the fleet, or Redis came back empty: join in the next turn */
	if (now - refreshed >= REFRESH_MS && !refresh(sync, error)) {
		complain(sync, error);
		return;
	}
	if (now - refreshed >= REFRESH_MS)
		refreshed = now;
	if (now - buried >= (uint64_t)sync->interval_ms) {
		buried = now;
		if (!fleet_bury(&sync->fleet, sync->redis, sync->lease_ms, error)) {
			complain(sync, error);
			return;
		}
	}
	if (now - reapplied >= REAPPLY_MS) {
		reapplied = now;
		apply_all(sync);
	}
	if (sync->reported)
		fprintf(stderr, "connlimit sync: the fleet is heard again\n");
	sync->reported = false;
	for (size_t i = 0; i < sync->tables; i++)
		remote_heard(&sync->joined[i].table, (uint32_t)sync->lease_ms);
}

static void rest(const struct sync *sync, uint64_t began)
{
	uint64_t passed = clock_us() / 1000 - began;

	if (passed < (uint64_t)sync->interval_ms)
		poll(NULL, 0, (int)((uint64_t)sync->interval_ms - passed));
}

static void stop(struct sync *sync)
{
	if (sync->redis != NULL && sync->fleet.joined)
		fleet_leave(&sync->fleet, sync->redis, sync->lease_ms);
	while (sync->tables > 0)
		leave_table(sync, &sync->joined[sync->tables - 1], true);
	if (sync->redis != NULL)
		redis_traffic(sync->redis, &sync->sent, &sync->received);
	if (sync->verbose)
		fprintf(stderr, "connlimit sync: %llu bytes sent, %llu received\n", sync->sent, sync->received);
	redis_close(sync->redis);
}

static const char help[] =
    "usage: connlimit sync --redis redis://[USER[:PASSWORD]@]HOST[:PORT][/DATABASE]\n"
    "                      [OPTION]...\n"
    "\n"
    "Joins this machine's tables that have CONNLIMIT_CLUSTER_PER_IP set to a fleet,\n"
    "so that its limit holds over all machines. Runs until SIGTERM or SIGINT.\n"
    "\n"
    "  --redis URL        Redis or Valkey; rediss:// for TLS; a password is better in\n"
    "                     REDISCLI_AUTH or in a file\n"
    "  --redis-file FILE  the URL is the first line of FILE\n"
    "  --ca FILE          certificates to trust for TLS; by default the system's\n"
    "  --cluster NAME     name of the fleet (default)\n"
    "  --node NAME        name of this machine (its host name)\n"
    "  --table NAME       only this table\n"
    "  --interval MS      how often to exchange, 10 to 10000 (100)\n"
    "  --lease MS         how long the others' word is good, and ours to them, at\n"
    "                     least 5 intervals (3000)\n"
    "  --verbose          say what is told\n"
    "\n"
    "Exit status: 0 told to stop; 2 called wrongly\n";

static bool number_option(const char *text, int least, int most, int *number)
{
	char *end;
	long value = strtol(text, &end, 10);

	if (*text < '0' || *text > '9' || *end != '\0' || value < least || value > most)
		return false;
	*number = (int)value;
	return true;
}

static int wrong(const char *option, const char *value, const char *why)
{
	fprintf(stderr, "connlimit sync: %s %s: %s\nTry 'connlimit sync --help'.\n", option, value, why);
	return 2;
}

static bool first_line(const char *path, char *line, int room)
{
	FILE *file = fopen(path, "re");
	bool read;

	if (file == NULL)
		return false;
	errno = ENODATA;
	read = fgets(line, room, file) != NULL;
	fclose(file);
	if (read)
		line[strcspn(line, "\r\n")] = '\0';
	return read;
}

/* What stands between ':' and '@' was seen by whoever ran ps in the meantime; from here on it is not. */
static void hide_password(char *url)
{
	char *from = strstr(url, "://") + 3;
	char *colon = strchr(from, ':');
	char *end = from + strcspn(from, "/");
	char *at = memrchr(from, '@', (size_t)(end - from));

	if (at == NULL || colon == NULL || colon > at)
		return;
	fprintf(stderr,
		"connlimit sync: a password on the command line can be seen by every user; "
		"put it into REDISCLI_AUTH or --redis-file\n");
	memset(colon + 1, '*', (size_t)(at - colon - 1));
}

static bool good_name(const char *name)
{
	size_t length = strlen(name);

	return length >= 1 && length <= 60 &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == length;
}

int command_sync(int argc, char **argv)
{
	static const struct option options[] = {
	    {"redis", required_argument, NULL, 'r'},
	    {"redis-file", required_argument, NULL, 'f'},
	    {"ca", required_argument, NULL, 'a'},
	    {"cluster", required_argument, NULL, 'c'},
	    {"node", required_argument, NULL, 'n'},
	    {"table", required_argument, NULL, 't'},
	    {"interval", required_argument, NULL, 'i'},
	    {"lease", required_argument, NULL, 'l'},
	    {"verbose", no_argument, NULL, 'v'},
	    {"help", no_argument, NULL, 'h'},
	    {0},
	};
	static struct sync sync = {.interval_ms = 100, .lease_ms = 3000};
	struct sigaction action = {.sa_handler = on_stop};
	char from_file[1024];
	char *redis = NULL;
	const char *file = NULL;
	const char *ca = NULL;
	const char *cluster = "default";
	const char *why = NULL;
	char host[65] = "";
	const char *node = host;
	int option;

	gethostname(host, sizeof(host) - 1);
	while ((option = next_option(argc, argv, ":h", options)) != -1) {
		switch (option) {
		case 'r': redis = optarg; break;
		case 'f': file = optarg; break;
		case 'a': ca = optarg; break;
		case 'c': cluster = optarg; break;
		case 'n': node = optarg; break;
		case 't': sync.only_table = optarg; break;
		case 'i':
			if (!number_option(optarg, 10, 10000, &sync.interval_ms))
				return wrong("--interval", optarg, "is not a number of milliseconds from 10 to 10000");
			break;
		case 'l':
			if (!number_option(optarg, 50, 3600000, &sync.lease_ms))
				return wrong("--lease", optarg, "is not a number of milliseconds from 50 to 3600000");
			break;
		case 'v': sync.verbose = true; break;
		case 'h': fputs(help, stdout); return output_end();
		default: return STATUS_USAGE;
		}
	}
	if ((redis == NULL) == (file == NULL))
		return usage_error("sync", "either --redis or --redis-file says where Redis is");
	if (!arguments_within(argc, argv, 0, 0))
		return STATUS_USAGE;
	if (file != NULL && !first_line(file, from_file, sizeof(from_file)))
		return wrong("--redis-file", file, strerror(errno));
	if (!redis_address_parse(&sync.address, redis != NULL ? redis : from_file, &why))
		return redis != NULL ? wrong("--redis", "URL", why) : wrong("--redis-file", file, why);
	if (redis != NULL && strchr(redis, '@') != NULL)
		hide_password(redis);
	if (ca != NULL)
		snprintf(sync.address.ca, sizeof(sync.address.ca), "%s", ca);
	if (!good_name(cluster))
		return wrong("--cluster", cluster, "is not 1 to 60 letters, digits, '.', '_' or '-'");
	if (!good_name(node))
		return wrong("--node", node, "is not 1 to 60 letters, digits, '.', '_' or '-'");
	if (sync.lease_ms < 5 * sync.interval_ms)
		return wrong("--lease", "", "is shorter than five intervals");
	fleet_init(&sync.fleet, cluster, node, sync.lease_ms);
	notify("READY=1\nSTATUS=connecting");
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
	while (!stopping) {
		uint64_t began = clock_us() / 1000;
		turn(&sync);
		if (!stopping)
			rest(&sync, began);
	}
	notify("STOPPING=1");
	stop(&sync);
	return 0;
}
