/* A table that does what it is told: fleet_node NAME LIMIT, LIMIT being the fleet's. On standard input, each answered by a
 * number:
 *
 *     admit C     1 if a connection of client C was admitted, 0 if it was refused
 *     drop C      1 if one was held, and is not any more
 *     count C     connections of it in this table
 *     claim C     as one that was taken over: that it holds a million connections of C, of which there must be one
 *     remote C    what others hold of it, as the table was told; 0 if that is not good any more
 */
#include "table/clients.h"
#include "table/remote.h"
#include "table/table.h"
#include "values/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CLIENTS = 4096, EACH = 64 };

static struct settings settings;
static struct table table;
static reference held[CLIENTS][EACH];
static unsigned holds[CLIENTS];

static struct connection connection_of(unsigned client)
{
	struct connection connection = {.peer.port = 1024, .local.port = 80};
	uint8_t address[16] = {[10] = 0xff, 0xff, 198, 18, (uint8_t)(client >> 8), (uint8_t)client};

	memcpy(connection.peer.address.bytes, address, sizeof(address));
	return connection;
}

static unsigned remote_of(const struct connection *connection)
{
	struct network network = {.address = connection->peer.address, .prefix = 128};
	uint32_t entry;
	uint64_t word;

	if (remote_sidecar(&table) == 0 || !client_find(&table, client_fingerprint(&table, &network), &entry, &word))
		return 0;
	return atomic_load(&client_notes(&table, entry)->remote);
}

static unsigned claim(const struct connection *connection)
{
	struct network network = {.address = connection->peer.address, .prefix = 128};
	uint32_t entry;
	uint64_t word;

	if (!client_find(&table, client_fingerprint(&table, &network), &entry, &word))
		return 0;
	atomic_store(&table.entry[entry].word, (word & ~(uint64_t)CLIENT_COUNT) | 1000000);
	return 1;
}

static unsigned obey(const char *what, unsigned client)
{
	struct connection connection = connection_of(client);

	if (strcmp(what, "admit") == 0) {
		if (holds[client] == EACH || table_admit(&table, &connection, &held[client][holds[client]]) == VERDICT_REFUSED)
			return 0;
		holds[client]++;
		return 1;
	}
	if (strcmp(what, "drop") == 0) {
		if (holds[client] == 0)
			return 0;
		table_release(&table, held[client][--holds[client]]);
		return 1;
	}
	if (strcmp(what, "claim") == 0)
		return claim(&connection);
	if (strcmp(what, "remote") == 0)
		return remote_of(&connection);
	return table_count(&table, &connection.peer.address);
}

int main(int argc, char **argv)
{
	char what[16];
	unsigned client;

	if (argc != 3)
		return 2;
	settings_default(&settings);
	settings.cluster_per_ip = (uint32_t)atoi(argv[2]);
	settings.capacity = 4096;
	if (!table_open(&table, argv[1], &settings, NULL)) {
		perror("fleet_node");
		return 1;
	}
	/* Its connections are not the kernel's. */
	atomic_store(&table.header->network, 0);
	while (scanf("%15s %u", what, &client) == 2 && client < CLIENTS) {
		printf("%u\n", obey(what, client));
		fflush(stdout);
	}
	for (client = 0; client < CLIENTS; client++)
		while (holds[client] > 0)
			obey("drop", client);
	table_leave(&table);
	return 0;
}
