/* How far the nodes of a fleet lag behind each other: fleet_lag NAME NODES ROUNDS
 *
 * Makes the tables NAME-0, NAME-1, ..., waits until a sidecar has joined each, and measures for ROUNDS connections how long it
 * takes from an admission at one node, and from the end, until the last of the others knows. Then one client knocks at random
 * nodes, 1000 times a second, until nobody lets it in for a second: how many got in over the limit, beside how many knocked in
 * the time that news had taken at most, which is the bound; three times. */
#include "decisions/regroup.h"
#include "table/clients.h"
#include "values/clock.h"
#include "table/remote.h"
#include "table/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { NODES_MOST = 64, ROUNDS_MOST = 10000, LIMIT = 100 };

static struct settings settings;
static struct table table[NODES_MOST];
static unsigned nodes;

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

	return client_find(node, client_fingerprint(node, &network), &entry, &word) ? atomic_load(&node->entry[entry].remote)
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
	       lag[number * 99 / 100], lag[number - 1]);
	return lag[number - 1];
}

static void knock(double lag, unsigned client)
{
	struct connection connection = connection_of(client);
	uint64_t began = clock_us();
	double last = 0;
	int refused = 0;
	int admitted = 0;

	for (int knocks = 0; refused < 1000; knocks++) {
		reference held;
		if (table_admit(&table[(unsigned)random() % nodes], &connection, &held) == VERDICT_REFUSED) {
			refused++;
		} else {
			admitted++;
			refused = 0;
			last = (double)(clock_us() - began) / 1e6;
		}
		wait_us(900);
	}
	double rate = admitted / last;
	printf(
	    "one client at all nodes, %.0f times a second: %d admitted of %d; the bound is %.0f, with what knocks in %.0f ms\n",
	    rate, admitted, LIMIT, LIMIT + rate * lag / 1000, lag);
}

int main(int argc, char **argv)
{
	static double opened[ROUNDS_MOST];
	static double closed[ROUNDS_MOST];
	int rounds = argc == 4 ? atoi(argv[3]) : 0;
	char name[64];

	nodes = argc == 4 ? (unsigned)atoi(argv[2]) : 0;
	if (nodes < 2 || nodes > NODES_MOST || rounds < 1 || rounds > ROUNDS_MOST)
		return 2;
	settings_default(&settings);
	settings.cluster_per_ip = 2;
	settings.capacity = 1024;
	for (unsigned n = 0; n < nodes; n++) {
		snprintf(name, sizeof(name), "%.50s-%u", argv[1], n);
		if (!table_open(&table[n], name, &settings, NULL)) {
			perror("fleet_lag");
			return 1;
		}
	}
	for (unsigned n = 0; n < nodes; n++)
		while (remote_sidecar(&table[n]) == 0)
			wait_us(1000);
	for (int round = 0; round < rounds; round++) {
		struct connection connection = connection_of((unsigned)round);
		unsigned at = (unsigned)random() % nodes;
		reference held;
		wait_us(random() % 100000);
		table_admit(&table[at], &connection, &held);
		opened[round] = until_all_know(at, &connection, 1);
		wait_us(random() % 100000);
		table_release(&table[at], held);
		closed[round] = until_all_know(at, &connection, 0);
	}
	show("an admission", opened, rounds);
	double most = show("an end", closed, rounds);
	settings.cluster_per_ip = LIMIT;
	for (unsigned n = 0; n < nodes; n++)
		regroup_publish(&table[n], limits_turn(&table[n]), &settings);
	wait_us(900000);
	for (unsigned flood = 0; flood < 3; flood++)
		knock(most, 0xffff - flood);
	for (unsigned n = 0; n < nodes; n++)
		table_leave(&table[n]);
	return 0;
}
