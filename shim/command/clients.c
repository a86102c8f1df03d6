/* connlimit clients ADDRESS: one client's connections. */
#include "command/command.h"
#include "command/connections.h"
#include "command/tables.h"
#include "command/view_json.h"

#include <inttypes.h>
#include <string.h>

static const char help[] =
    "usage: connlimit clients [OPTION]... ADDRESS | NETWORK/PREFIX [TABLE | PID]\n"
    "\n"
    "Lists the open connections of a client or of all clients in a network, in one\n"
    "table or in all: the client's address and port, the daemon's, the seconds since\n"
    "accept, and the process that has it open. They are compared with the kernel\n"
    "first.\n"
    "\n"
    "  --json     for programs; connlimit(1) says what is in it\n"
    "  --compact  JSON on one line\n"
    "\n"
    "Exit status: 0 done, also if there are none; 1 no such table, or it cannot be\n"
    "done; 2 called wrongly; 77 no such table among those that this user may read\n";

/* On a terminal the addresses are aligned to the longest one; elsewhere fields are separated by tabs. */
static int address_width(const struct connections *connections)
{
	char text[ADDRESS_TEXT];
	size_t width = strlen("CLIENT");

	for (size_t i = 0; i < connections->number; i++) {
		address_format(text, &connections->connection[i].client);
		width = strlen(text) > width ? strlen(text) : width;
		connection_local_text(text, &connections->connection[i].connection);
		width = strlen(text) > width ? strlen(text) : width;
	}
	return (int)width;
}

static void print_rows(const struct connections *connections)
{
	bool terminal = output_is_terminal();
	int width = terminal ? address_width(connections) : 0;
	char peer[ADDRESS_TEXT];
	char local[ADDRESS_TEXT];

	if (terminal)
		printf("%s%-*s %5s  %-*s %10s %8s %8s  %s%s\n", output_is_coloured() ? "\033[1m" : "", width, "CLIENT", "PORT",
		       width, "LOCAL", "LOCAL-PORT", "SECONDS", "PID", "TABLE", output_is_coloured() ? "\033[0m" : "");
	else
		printf("CLIENT\tPORT\tLOCAL\tLOCAL-PORT\tSECONDS\tPID\tTABLE\n");
	for (size_t i = 0; i < connections->number; i++) {
		const struct client_connection *one = &connections->connection[i];

		address_format(peer, &one->client);
		connection_local_text(local, &one->connection);
		printf(terminal ? "%-*s %5u  %-*s %10u %8" PRIu32 " %8" PRIu32 "  %s\n"
				: "%-*s\t%u\t%-*s\t%u\t%" PRIu32 "\t%" PRIu32 "\t%s\n",
		       width, peer, one->connection.peer.port, width, local, one->connection.local.port, one->age, one->pid,
		       one->table);
	}
}

static void print_json(const struct connections *connections, enum json how)
{
	json_t *array = json_array();

	for (size_t i = 0; i < connections->number; i++) {
		const struct client_connection *one = &connections->connection[i];
		char peer[ADDRESS_TEXT];
		char local[ADDRESS_TEXT];
		char through[ADDRESS_TEXT];

		address_format(peer, &one->client);
		connection_local_text(local, &one->connection);
		json_t *holder = one->pid != 0 ? json_integer((json_int_t)one->pid) : json_null();
		json_t *balancer = json_null();
		if (memcmp(&one->client, &one->connection.peer.address, sizeof(one->client)) != 0) {
			address_format(through, &one->connection.peer.address);
			balancer = json_string(through);
		}
		json_t *known = connection_lacks_address(&one->connection) ? json_null() : json_string(local);
		json_array_append_new(array, json_pack("{s:s, s:i, s:o, s:o, s:i, s:I, s:o, s:s}", "client", peer, "port",
						       (int)one->connection.peer.port, "balancer", balancer, "local", known,
						       "local_port", (int)one->connection.local.port, "age_seconds",
						       (json_int_t)one->age, "pid", holder, "table", one->table));
	}
	json_print(json_pack("{s:i, s:o}", "version", 1, "connections", array), how);
}

int command_clients(int argc, char **argv)
{
	static const struct option options[] = {
	    {"json", no_argument, NULL, 'j'}, {"compact", no_argument, NULL, 'c'}, {"help", no_argument, NULL, 'h'}, {0}};
	struct connections connections;
	struct network network;
	const char *which;
	enum json json = JSON_NONE;
	int option;

	while ((option = next_option(argc, argv, ":h", options)) != -1) {
		switch (option) {
		case 'j': json = json == JSON_NONE ? JSON_INDENTED : json; break;
		case 'c': json = JSON_COMPACTED; break;
		case 'h': fputs(help, stdout); return output_end();
		default: return STATUS_USAGE;
		}
	}
	int status = client_arguments(argc, argv, &network, &which);
	if (status != 0)
		return status;
	if (!connections_find(&connections, &network, which)) {
		connections_free(&connections);
		return STATUS_FAILED;
	}
	if (connections.tables.number == 0) {
		connections_free(&connections);
		return tables_none(which);
	}
	tables_say_unread(&connections.tables, which);
	if (json != JSON_NONE)
		print_json(&connections, json);
	else if (connections.number > 0)
		print_rows(&connections);
	else
		fprintf(stderr, "connlimit: %s has no open connection\n", argv[optind]);
	connections_free(&connections);
	return output_end();
}
