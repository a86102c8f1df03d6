/* connlimit clients ADDRESS and disconnect ADDRESS: one client's connections, and their end. */
#include "command.h"

#include "../../lib/check.h"
#include "../../lib/clock.h"
#include "../../lib/records.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct search {
	struct network network;
	bool (*with_each)(const struct table *table, const struct record *record, const struct connection *connection);
	unsigned found;
	unsigned failed;
};

static bool visit(const struct segment_facts *segment, void *with)
{
	struct search *search = with;
	struct table table;

	if (segment->attached == 0 || !segment->readable || !table_open_id(&table, segment->id))
		return true;
	if (network_namespace() == atomic_load(&table.header->network))
		check_all(&table);
	uint32_t extent = record_extent(&table);
	for (uint32_t slot = 0; slot < extent; slot++) {
		struct connection connection;
		uint64_t state;

		if (!record_read(&table, slot, &state, &connection) ||
		    !network_contains(&search->network, &connection.peer.address))
			continue;
		search->found++;
		if (!search->with_each(&table, &table.record[slot], &connection))
			search->failed++;
	}
	table_look_away(&table);
	return true;
}

static bool parse(struct network *network, int argc, char **argv, const char *name)
{
	const char *error;
	size_t position;

	if (argc != 2 || argv[1][0] == '-') {
		fprintf(stderr, "usage: connlimit %s ADDRESS | NETWORK/PREFIX\n", name);
		return false;
	}
	if (!network_parse(network, argv[1], strlen(argv[1]), &error, &position)) {
		fprintf(stderr, "connlimit: '%s' %s\n", argv[1], error);
		return false;
	}
	return true;
}

static bool print_one(const struct table *table, const struct record *record, const struct connection *connection)
{
	char peer[ADDRESS_TEXT];
	char local[ADDRESS_TEXT];

	address_format(peer, &connection->peer.address);
	address_format(local, &connection->local.address);
	printf("%-39s %5u  %-39s %5u %8" PRIu32 " %8" PRIu32 "  %.63s\n", peer, connection->peer.port, local,
	       connection->local.port, (uint32_t)(clock_ms() / 1000) - record->since, record->pid, table->header->name);
	return true;
}

int command_clients(int argc, char **argv)
{
	struct search search = {.with_each = print_one};

	if (!parse(&search.network, argc, argv, "clients"))
		return 2;
	printf("%-39s %5s  %-39s %5s %8s %8s  %s\n", "CLIENT", "PORT", "LOCAL", "PORT", "SECONDS", "PID", "TABLE");
	segment_list(visit, &search);
	return 0;
}

/* sock_diag(7), SOCK_DESTROY: the kernel ends the connection as if by a reset, and the daemon reads ECONNABORTED. Needs
 * CAP_NET_ADMIN and a kernel with CONFIG_INET_DIAG_DESTROY. */
static int destroy(const struct connection *connection)
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
		     .idiag_states = ~0U,
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
	int descriptor = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	if (descriptor < 0)
		return errno;
	int failure = 0;
	if (send(descriptor, &request, sizeof(request), 0) < 0 ||
	    recv(descriptor, &reply, sizeof(reply), 0) < (ssize_t)sizeof(reply.header))
		failure = errno;
	else if (reply.header.nlmsg_type == NLMSG_ERROR)
		failure = -reply.error.error;
	close(descriptor);
	return failure;
}

static bool end_one(const struct table *table, const struct record *record, const struct connection *connection)
{
	int failure = destroy(connection);
	char peer[ADDRESS_TEXT];

	(void)table;
	(void)record;
	if (failure == 0 || failure == ENOENT)
		return true;
	address_format(peer, &connection->peer.address);
	fprintf(stderr, "connlimit: %s port %u: %s\n", peer, connection->peer.port,
		failure == EOPNOTSUPP ? "this kernel cannot end connections (CONFIG_INET_DIAG_DESTROY)"
		: failure == EPERM    ? "not permitted: needs CAP_NET_ADMIN"
				      : strerror(failure));
	return false;
}

int command_disconnect(int argc, char **argv)
{
	struct search search = {.with_each = end_one};

	if (!parse(&search.network, argc, argv, "disconnect"))
		return 2;
	segment_list(visit, &search);
	printf("%u of %u connections ended\n", search.found - search.failed, search.found);
	return search.failed == 0 ? 0 : 1;
}
