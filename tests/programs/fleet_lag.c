/* How far the nodes of a fleet lag behind each other: fleet_lag NAME NODES ROUNDS LIMIT
 *
 * Makes the tables NAME-0, NAME-1, ..., with the fleet's LIMIT, and waits until a sidecar has joined each. For ROUNDS clients
 * it admits half the limit at one node, from which on others hear of a client, and measures how long it takes until the last of
 * them knows, and the same for an end. Then one client knocks at random nodes, 1000 times a second, until nobody lets it in for
 * a second: how many got in, beside the limit and how many knocked in the longest time that news took; three times.
 *
 * Whatever the load, no node may admit what it must know better: it is told of an admission elsewhere in two turns of the
 * sidecar there and two of its own, as either may have been under way already. Exit status 1 if one does. */
#include "table/clients.h"
#include "values/clock.h"
#include "table/remote.h"
#include "table/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { NODES_MOST = 64, ROUNDS_MOST = 10000, LIMIT_HIGHEST = 1000, ADMITTED_MOST = NODES_MOST * LIMIT_HIGHEST };

static struct settings settings;
static struct table table[NODES_MOST];
static unsigned nodes;
static unsigned limit;

static struct connection connection_of(unsigned client)
{
	struct connection connection = {.peer.port = 1024, .local.port = 80};
	uint8_t address[16] = {[10] = 0xff, 0xff, 198, 18, (uint8_t)(client >> 8), (uint8_t)client};

	memcpy(connection.peer.address.bytes, address, sizeof(address));
	return connection;
}

static void wait_us(long us)
{
	struct timespec pause = {.tv_nsec = us * 1000};

	nanosleep(&pause, NULL);
}

static uint32_t remote_of(const struct table *node, const struct connection *connection)
{
	struct network network = {.address = connection->peer.address, .prefix = 128};
	uint32_t entry;
	uint64_t word;

	return client_find(node, client_fingerprint(node, &network), &entry, &word)
		   ? atomic_load(&client_notes(node, entry)->remote)
		   : 0;
}

static double until_all_know(unsigned but, const struct connection *connection, uint32_t remote)
{
	uint64_t began = clock_us();

	for (unsigned n = 0; n < nodes; n++)
		while (n != but && remote_of(&table[n], connection) != remote && clock_us() - began < 60000000)
			wait_us(200);
	return (double)(clock_us() - began) / 1000;
}

static int by_size(const void *left, const void *right)
{
	double a = *(const double *)left;
	double b = *(const double *)right;

	return a < b ? -1 : a > b;
}

static double show(const char *what, double *lag, int number)
{
	qsort(lag, (size_t)number, sizeof(*lag), by_size);
	printf("%s: known to all after %.0f ms (median), %.0f ms (99 of 100), %.0f ms (most)\n", what, lag[number / 2],
	       lag[(number * 99 - 1) / 100], lag[number - 1]);
	return lag[number - 1];
}

/* ---- what each must know ---- */

struct admission {
	unsigned node;
	unsigned turn; /* of this node, seen right after */
	bool told;
	unsigned told_at[NODES_MOST]; /* turns of all nodes, seen after that */
};

static struct admission admission[ADMITTED_MOST];
static unsigned admissions;
static unsigned turn[NODES_MOST]; /* ends of turns that were seen */

static void see_turns(void)
{
	static uint64_t heard[NODES_MOST];

	for (unsigned n = 0; n < nodes; n++) {
		uint64_t now = atomic_load(&table[n].header->remote_heard);
		turn[n] += now != heard[n];
		heard[n] = now;
	}
}

static void see_what_is_told(void)
{
	static bool told[ADMITTED_MOST];

	see_turns();
	for (unsigned i = 0; i < admissions; i++)
		told[i] = turn[admission[i].node] >= admission[i].turn + 2;
	see_turns();
	for (unsigned i = 0; i < admissions; i++) {
		if (told[i] && !admission[i].told)
			memcpy(admission[i].told_at, turn, sizeof(turn));
		admission[i].told = told[i];
	}
}

static unsigned must_know(unsigned node)
{
	unsigned known = 0;

	for (unsigned i = 0; i < admissions; i++)
		known += admission[i].node == node || (admission[i].told && turn[node] >= admission[i].told_at[node] + 2);
	return known;
}

/* ---- the flood ---- */

static bool knock(double lag, unsigned client)
{
	struct connection connection = connection_of(client);
	uint64_t began = clock_us();
	double rate = 0;
	bool right = true;

	admissions = 0;
	for (unsigned knocks = 1, refused = 0; refused < 1000 && admissions < ADMITTED_MOST; knocks++, refused++) {
		unsigned at = (unsigned)random() % nodes;
		reference held;
		see_what_is_told();
		unsigned known = must_know(at);
		if (table_admit(&table[at], &connection, &held) != VERDICT_REFUSED) {
			if (known >= limit) {
				printf("node %u admitted one more, though it must know of %u\n", at, known);
				right = false;
			}
			see_turns();
			admission[admissions++] = (struct admission){.node = at, .turn = turn[at]};
			refused = 0;
			rate = knocks * 1e6 / (double)(clock_us() - began);
		}
		wait_us(900);
	}
	printf(
	    "one client at all nodes, %.0f times a second: %u admitted of %u; the bound is %.0f, with what knocks in %.0f ms\n",
	    rate, admissions, limit, limit + rate * lag / 1000, lag);
	return right && admissions >= limit;
}

int main(int argc, char **argv)
{
	static double opened[ROUNDS_MOST];
	static double closed[ROUNDS_MOST];
	int rounds = argc == 5 ? atoi(argv[3]) : 0;
	bool right = true;
	char name[64];

	nodes = argc == 5 ? (unsigned)atoi(argv[2]) : 0;
	limit = argc == 5 ? (unsigned)atoi(argv[4]) : 0;
	if (nodes < 2 || nodes > NODES_MOST || rounds < 1 || rounds > ROUNDS_MOST || limit < 1 || limit > LIMIT_HIGHEST)
		return 2;
	settings_default(&settings);
	settings.cluster_per_ip = limit;
	settings.capacity = 65536; /* room for all that are near the limit anywhere, as tables should have */
	for (unsigned n = 0; n < nodes; n++) {
		snprintf(name, sizeof(name), "%.50s-%u", argv[1], n);
		if (!table_open(&table[n], name, &settings, NULL)) {
			perror("fleet_lag");
			return 1;
		}
		/* Its connections are not the kernel's. */
		atomic_store(&table[n].header->network, 0);
	}
	for (unsigned n = 0; n < nodes; n++)
		while (remote_sidecar(&table[n]) == 0)
			wait_us(1000);
	const uint32_t half = (limit + 1) / 2;
	for (int round = 0; round < rounds; round++) {
		struct connection connection = connection_of((unsigned)round);
		unsigned at = (unsigned)random() % nodes;
		reference held[LIMIT_HIGHEST];
		wait_us(random() % 100000);
		for (uint32_t i = 0; i < half; i++)
			table_admit(&table[at], &connection, &held[i]);
		opened[round] = until_all_know(at, &connection, half);
		wait_us(random() % 100000);
		for (uint32_t i = 0; i < half; i++)
			table_release(&table[at], held[i]);
		closed[round] = until_all_know(at, &connection, 0);
	}
	show("an admission", opened, rounds);
	double most = show("an end", closed, rounds);
	for (unsigned flood = 0; flood < 3; flood++)
		right = knock(most, 0xffff - flood) && right;
	for (unsigned n = 0; n < nodes; n++)
		table_leave(&table[n]);
	return right ? 0 : 1;
}
