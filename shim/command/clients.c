/* connlimit clients ADDRESS and disconnect ADDRESS: one client's connections, and their end. */
#include "command.h"
#include "connections.h"
#include "tables.h"

#include "../../lib/check.h"
#include "../../lib/text.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char clients_help[] =
    "usage: connlimit clients [--json] ADDRESS | NETWORK/PREFIX [TABLE | PID]\n"
    "\n"
    "The connections that a client, or all of a network, holds open: its address and\n"
    "port, ours, the seconds since it was accepted, the process that accepted it.\n"
    "They are compared with the kernel before they are shown.\n"
    "\n"
    "  --json  for programs; connlimit(1) says what is in it\n"
    "\n"
    "Exit status: 0 done, also if there are none; 1 no such table, or it cannot be\n"
    "done; 2 called wrongly; 77 no such table among those that this user may read\n";

static const char disconnect_help[] =
    "usage: connlimit disconnect ADDRESS | NETWORK/PREFIX [TABLE | PID]\n"
    "\n"
    "Ends the connections of a client, or of all of a network, through the kernel:\n"
    "the client is reset, and the daemon reads an error (ECONNABORTED). Needs\n"
    "CAP_NET_ADMIN and a kernel built with CONFIG_INET_DIAG_DESTROY.\n"
    "\n"
    "Exit status: 0 done, also if there are none; 1 no such table, or some could not\n"
    "be ended; 2 called wrongly; 69 this kernel cannot end connections; 77 not\n"
    "permitted, or no such table among those that this user may read\n";

/* "ADDRESS [TABLE]": 0, or the exit status. */
static int read_arguments(int argc, char **argv, struct network *network, const char **which)
{
	const char *error;
	size_t position;
	char shown[200];
	struct text text = text_begin(shown, sizeof(shown));

	if (!arguments_within(argc, argv, 1, 2))
		return STATUS_USAGE;
	const char *address = argv[optind];
	*which = optind + 1 < argc ? argv[optind + 1] : NULL;
	if (network_parse(network, address, strlen(address), &error, &position))
		return STATUS_DONE;
	text_add_quoted(&text, address, strlen(address));
	return usage_error(argv[0], "%s %s; allowed: 192.0.2.1, 192.0.2.0/24, 2001:db8::1, 2001:db8::/32", shown, error);
}

/* ---- clients ---- */

static void print_row(const struct client_connection *connection, bool terminal)
{
	char peer[ADDRESS_TEXT];
	char local[ADDRESS_TEXT];

	address_format(peer, &connection->connection.peer.address);
	address_format(local, &connection->connection.local.address);
	printf(terminal ? "%-39s %5u  %-39s %5u %8" PRIu32 " %8" PRIu32 "  %s\n"
			: "%s\t%u\t%s\t%u\t%" PRIu32 "\t%" PRIu32 "\t%s\n",
	       peer, connection->connection.peer.port, local, connection->connection.local.port, connection->age,
	       connection->pid, connection->table);
}

static void print_rows(const struct connections *connections)
{
	bool terminal = output_is_terminal();

	printf(terminal ? "%s%-39s %5s  %-39s %5s %8s %8s  %s%s\n" : "%s%s\t%s\t%s\t%s\t%s\t%s\t%s%s\n",
	       output_is_coloured() ? "\033[1m" : "", "CLIENT", "PORT", "LOCAL", "PORT", "SECONDS", "PID", "TABLE",
	       output_is_coloured() ? "\033[0m" : "");
	for (size_t i = 0; i < connections->number; i++)
		print_row(&connections->connection[i], terminal);
}

static void print_json(const struct connections *connections)
{
	json_t *array = json_array();

	for (size_t i = 0; i < connections->number; i++) {
		const struct client_connection *one = &connections->connection[i];
		char peer[ADDRESS_TEXT];
		char local[ADDRESS_TEXT];

		address_format(peer, &one->connection.peer.address);
		address_format(local, &one->connection.local.address);
		json_array_append_new(array, json_pack("{s:s, s:i, s:s, s:i, s:I, s:I, s:s}", "client", peer, "port",
						       (int)one->connection.peer.port, "local", local, "local_port",
						       (int)one->connection.local.port, "age_seconds", (json_int_t)one->age,
						       "pid", (json_int_t)one->pid, "table", one->table));
	}
	json_t *whole = json_pack("{s:i, s:o}", "version", 1, "connections", array);
	json_dumpf(whole, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
	putchar('\n');
	json_decref(whole);
}

int command_clients(int argc, char **argv)
{
	static const struct option options[] = {{"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {0}};
	struct connections connections;
	struct network network;
	const char *which;
	bool json = false;
	int option;

	while ((option = next_option(argc, argv, ":h", options)) != -1) {
		switch (option) {
		case 'j': json = true; break;
		case 'h': fputs(clients_help, stdout); return STATUS_DONE;
		default: return STATUS_USAGE;
		}
	}
	int status = read_arguments(argc, argv, &network, &which);
	if (status != 0)
		return status;
	unsigned tables = connections_find(&connections, &network, which);
	if (tables == 0)
		return tables_none(which);
	if (json)
		print_json(&connections);
	else if (connections.number > 0)
		print_rows(&connections);
	else
		fprintf(stderr, "connlimit: %s holds no connection\n", argv[optind]);
	connections_free(&connections);
	return output_end();
}

/* ---- disconnect ---- */

/* sock_diag(7), SOCK_DESTROY: the kernel ends the connection as if by a reset, and the daemon reads ECONNABORTED. Returns an
 * errno; ENOENT if it is gone already. */
static int destroy(int descriptor, const struct connection *connection)
{
	bool ipv4 = address_is_ipv4(&connection->peer.address);
	size_t skipped = ipv4 ? 12 : 0;
	struct {
		struct nlmsghdr header;
		struct inet_diag_req_v2 body;
	} request = {
	    .header = {.nlmsg_len = sizeof(request),
		       .nlmsg_type = SOCK_DESTROY,
		       .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK,
		       .nlmsg_seq = 1},
	    .body = {.sdiag_family = ipv4 ? AF_INET : AF_INET6,
		     .sdiag_protocol = IPPROTO_TCP,
		     .idiag_states = ~(1U << TCP_LISTEN),
		     .id = {.idiag_sport = htons(connection->local.port),
			    .idiag_dport = htons(connection->peer.port),
			    .idiag_if = connection->peer.interface,
			    .idiag_cookie = {INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE}}},
	};
	struct {
		struct nlmsghdr header;
		struct nlmsgerr error;
		char rest[256];
	} reply = {0};

	memcpy(request.body.id.idiag_src, connection->local.address.bytes + skipped, 16 - skipped);
	memcpy(request.body.id.idiag_dst, connection->peer.address.bytes + skipped, 16 - skipped);
	if (send(descriptor, &request, sizeof(request), 0) < 0 ||
	    recv(descriptor, &reply, sizeof(reply), 0) < (ssize_t)sizeof(reply.header))
		return errno != 0 ? errno : EIO;
	return reply.header.nlmsg_type == NLMSG_ERROR ? -reply.error.error : 0;
}

static const char *why_not(int failure)
{
	return failure == EOPNOTSUPP ? "this kernel cannot end connections: it was built without CONFIG_INET_DIAG_DESTROY"
	       : failure == EPERM    ? "not permitted: ending connections needs CAP_NET_ADMIN, so run it as root"
				     : strerror(failure);
}

static int end_all(const struct connections *connections)
{
	int status = STATUS_DONE;
	size_t ended = 0;
	int descriptor = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);

	if (descriptor < 0) {
		fprintf(stderr, "connlimit: sock_diag is not to be had: %s\n", strerror(errno));
		return STATUS_UNAVAILABLE;
	}
	for (size_t i = 0; i < connections->number; i++) {
		const struct connection *connection = &connections->connection[i].connection;
		char peer[ADDRESS_TEXT];
		int failure = connections->connection[i].elsewhere ? ENOENT : destroy(descriptor, connection);

		if (failure == 0) {
			ended++;
			continue;
		}
		if (failure == EOPNOTSUPP || failure == EPERM) {
			/* The same for all of them. */
			fprintf(stderr, "connlimit: %s\n", why_not(failure));
			status = failure == EPERM ? STATUS_NOT_PERMITTED : STATUS_UNAVAILABLE;
			break;
		}
		address_format(peer, &connection->peer.address);
		if (connections->connection[i].elsewhere) {
			fprintf(stderr, "connlimit: %s port %u: its daemon is in another network namespace; run it there\n",
				peer, connection->peer.port);
			status = STATUS_FAILED;
		} else if (failure != ENOENT) {
			fprintf(stderr, "connlimit: %s port %u: %s\n", peer, connection->peer.port, why_not(failure));
			status = STATUS_FAILED;
		}
	}
	close(descriptor);
	printf("%zu of %zu connections ended\n", ended, connections->number);
	return status;
}

int command_disconnect(int argc, char **argv)
{
	static const struct option options[] = {{"help", no_argument, NULL, 'h'}, {0}};
	struct connections connections;
	struct network network;
	const char *which;
	int option;

	while ((option = next_option(argc, argv, ":h", options)) != -1) {
		switch (option) {
		case 'h': fputs(disconnect_help, stdout); return STATUS_DONE;
		default: return STATUS_USAGE;
		}
	}
	int status = read_arguments(argc, argv, &network, &which);
	if (status != 0)
		return status;
	if (connections_find(&connections, &network, which) == 0)
		return tables_none(which);
	status = end_all(&connections);
	connections_free(&connections);
	return status != 0 ? status : output_end();
}
