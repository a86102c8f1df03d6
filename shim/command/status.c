/* connlimit status: every table of this machine that we may read, and its clients. Counts are compared with the kernel first. */
#include "command.h"

#include "../../lib/check.h"
#include "../../lib/clock.h"
#include "../../lib/table.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct listing {
	struct client_facts *client;
	size_t clients;
	size_t room;
};

struct found {
	unsigned tables;
	unsigned unreadable;
};

static bool add_client(struct listing *listing, const struct client_facts *facts)
{
	if (listing->clients == listing->room) {
		size_t room = listing->room != 0 ? listing->room * 2 : 64;
		struct client_facts *larger = realloc(listing->client, room * sizeof(*larger));

		if (larger == NULL)
			return false;
		listing->client = larger;
		listing->room = room;
	}
	listing->client[listing->clients++] = *facts;
	return true;
}

/* Most connections first, then most refusals, then by address. */
static int by_weight(const void *left, const void *right)
{
	const struct client_facts *a = left;
	const struct client_facts *b = right;

	if (a->open != b->open)
		return a->open < b->open ? 1 : -1;
	if (a->refused != b->refused)
		return a->refused < b->refused ? 1 : -1;
	return memcmp(&a->network.address, &b->network.address, sizeof(a->network.address));
}

/* A name from shared memory, fit to be printed. */
static void printable(char *text, const char *from, size_t size)
{
	size_t i = 0;

	for (; i + 1 < size && from[i] != '\0'; i++)
		text[i] = (unsigned char)from[i] >= ' ' && (unsigned char)from[i] < 127 ? from[i] : '?';
	text[i] = '\0';
}

static void print_limits(const struct table *table)
{
	struct limits limits;
	static const char *const modes[] = {"enforce", "observe", "off"};

	limits_read(table, &limits);
	if (limits.per_ip == LIMIT_NONE)
		printf("  limit    none per client");
	else
		printf("  limit    %" PRIu32 " per client", limits.per_ip);
	printf(" (IPv4 /%u, IPv6 /%u), mode %s\n", limits.ipv4_prefix, limits.ipv6_prefix, limits.mode < 3 ? modes[limits.mode] : "?");
}

static void print_reload(const struct table_header *header)
{
	uint64_t failed = atomic_load(&header->failed);
	uint64_t reloaded = atomic_load(&header->reloaded);
	uint64_t now = clock_ms();
	char failure[sizeof(header->failure)];

	if (failed > reloaded && failed <= now) {
		printable(failure, header->failure, sizeof(failure));
		printf("  reload   failed %" PRIu64 " s ago, the old limits stand: %s\n", (now - failed) / 1000, failure);
	} else if (reloaded != 0 && reloaded <= now) {
		printf("  limits   published %" PRIu64 " s ago\n", (now - reloaded) / 1000);
	}
}

static void print_troubles(const struct table *table)
{
	uint64_t uncounted = atomic_load(&table->header->uncounted);
	uint64_t unverified = atomic_load(&table->header->unverified);

	if (uncounted != 0)
		printf("  warning  %" PRIu64 " connections were admitted uncounted (CONNLIMIT_CAPACITY is %" PRIu32 ")\n", uncounted,
		       table->capacity);
	if (unverified != 0)
		printf("  warning  %" PRIu64 " refusals could not be verified with the kernel\n", unverified);
}

static void print_clients(const struct listing *listing)
{
	char limit[16];

	printf("  %-43s %8s %8s %10s\n", "CLIENT", "OPEN", "LIMIT", "REFUSED");
	for (size_t i = 0; i < listing->clients; i++) {
		const struct client_facts *client = &listing->client[i];
		char network[NETWORK_TEXT];

		network_format(network, &client->network);
		snprintf(limit, sizeof(limit), "%" PRIu32, client->limit);
		printf("  %-43s %8" PRIu32 " %8s %10" PRIu64 "\n", network, client->open, client->limit == LIMIT_NONE ? "-" : limit,
		       client->refused);
	}
}

static void print_table(struct table *table, const struct segment_facts *segment)
{
	struct listing listing = {0};
	char name[sizeof(table->header->name)];
	char program[sizeof(table->header->program)];
	uint64_t open = 0;

	/* Another network namespace's connections are unknown to ours: there the counts are shown as they are. */
	bool checked = network_namespace() == atomic_load(&table->header->network);
	if (checked)
		check_all(table);
	for (uint32_t entry = 0; entry < table->entries; entry++) {
		struct client_facts facts;

		if (!table_client(table, entry, &facts) || (facts.open == 0 && facts.refused == 0))
			continue;
		open += facts.open;
		if (!add_client(&listing, &facts))
			break;
	}
	printable(name, table->header->name, sizeof(name));
	printable(program, table->header->program, sizeof(program));
	printf("table %s\n", name);
	printf("  daemon   %s, started as pid %" PRIu32 ", %lu processes\n", program, atomic_load(&table->header->maker),
	       segment->attached > 0 ? segment->attached : 0);
	print_limits(table);
	print_reload(table->header);
	printf("  open     %" PRIu64 " connections of at most %" PRIu32 ", refused %" PRIu64 "%s\n", open, table->capacity,
	       atomic_load(&table->header->refused), checked ? "" : " (not checked: in another network namespace)");
	print_troubles(table);
	if (listing.clients > 0) {
		qsort(listing.client, listing.clients, sizeof(*listing.client), by_weight);
		print_clients(&listing);
	}
	free(listing.client);
}

static bool visit(const struct segment_facts *segment, void *with)
{
	struct found *found = with;
	struct table table;

	/* Nobody has it mapped: what a daemon left that was killed. Its connections are gone with it. */
	if (segment->attached == 0 || !segment->readable || !table_open_id(&table, segment->id))
		return true;
	if (found->tables++ > 0)
		putchar('\n');
	print_table(&table, segment);
	table_look_away(&table);
	return true;
}

int command_status(int argc, char **argv)
{
	struct found found = {0};

	(void)argv;
	if (argc > 1) {
		fprintf(stderr, "connlimit status: takes no arguments\n");
		return 2;
	}
	table_remove_abandoned();
	segment_list(visit, &found);
	if (found.tables == 0)
		printf("no daemon runs under connlimit\n");
	return 0;
}
