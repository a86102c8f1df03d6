/* A table as of a busy daemon, without the daemon: fleet_table NAME NODE CLIENTS EACH RATE-FILE SECONDS LIMIT
 *
 * Admits CLIENTS connections, each from an address of its own (one of EACH of them the same on all nodes), then for SECONDS
 * closes and opens so many of them in each second as the file says at that time, evenly, up to ten times in it; each node at
 * moments of its own, and other clients than the others at the same time. LIMIT is the fleet's. */
#include "table/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct settings settings;

static struct connection connection_of(unsigned node, unsigned client, unsigned each)
{
	struct connection connection = {.peer.port = (uint16_t)(1024 + node), .local.port = 80};
	unsigned host = client % each == 0 ? client : client | (node + 1) << 18;

	connection.peer.address.bytes[10] = connection.peer.address.bytes[11] = 0xff;
	connection.peer.address.bytes[12] = 10;
	for (int i = 0; i < 3; i++)
		connection.peer.address.bytes[13 + i] = (uint8_t)(host >> (16 - 8 * i));
	connection.peer.address.bytes[12] = (uint8_t)(10 + (host >> 24));
	return connection;
}

static unsigned rate_in(const char *path)
{
	FILE *file = fopen(path, "re");
	unsigned rate = 0;

	if (file == NULL)
		return 0;
	if (fscanf(file, "%u", &rate) != 1)
		rate = 0;
	fclose(file);
	return rate;
}

static void wait_ms(long ms)
{
	struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	nanosleep(&pause, NULL);
}

int main(int argc, char **argv)
{
	struct table table;
	unsigned first = 0;
	unsigned closed = 0;
	unsigned left = 0;

	if (argc != 8)
		return 2;
	unsigned node = (unsigned)atoi(argv[2]);
	unsigned clients = (unsigned)atoi(argv[3]);
	unsigned each = (unsigned)atoi(argv[4]);
	reference *held = calloc(clients, sizeof(*held));
	settings_default(&settings);
	settings.cluster_per_ip = (uint32_t)atoi(argv[7]);
	settings.capacity = 2 * clients;
	if (held == NULL || !table_open(&table, argv[1], &settings, NULL)) {
		perror("fleet_table");
		return 1;
	}
	for (unsigned i = 0; i < clients; i++) {
		struct connection connection = connection_of(node, i, each);
		table_admit(&table, &connection, &held[i]);
	}
	printf("ready\n");
	fflush(stdout);
	wait_ms(node * 37 % 100);
	unsigned at = node * 104729 % clients;
	time_t until = time(NULL) + atoi(argv[6]);
	for (bool closing = true; time(NULL) < until; closing = !closing) {
		unsigned rate = rate_in(argv[5]);
		wait_ms(rate == 0 || rate >= 10 ? 100 : 1000 / (long)rate);
		/* What one turn closes, the next opens. */
		if (closing) {
			left += rate % 10;
			closed = rate >= 10 ? rate / 10 + left / 10 : rate != 0;
			left %= 10;
			first = at;
		}
		at = first;
		for (unsigned i = 0; i < closed; i++, at = (at + 7919) % clients) {
			struct connection connection = connection_of(node, at, each);
			if (held[at] != 0) {
				table_release(&table, held[at]);
				held[at] = 0;
			} else {
				table_admit(&table, &connection, &held[at]);
			}
		}
	}
	for (unsigned i = 0; i < clients; i++)
		table_release(&table, held[i]);
	table_leave(&table);
	return 0;
}
