/* connlimit disconnect ADDRESS: the end of one client's connections. */
#include "command.h"
#include "connections.h"
#include "disconnect.h"
#include "tables.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char help[] =
    "usage: connlimit disconnect ADDRESS | NETWORK/PREFIX [TABLE | PID]\n"
    "\n"
    "Ends the connections of a client, or of all of a network, through the kernel:\n"
    "the client is reset, and the daemon reads an error (ECONNABORTED). Needs\n"
    "CAP_NET_ADMIN and a kernel built with CONFIG_INET_DIAG_DESTROY.\n"
    "\n"
    "Exit status: 0 done, also if there are none; 1 no such table, or some could not\n"
    "be ended; 2 called wrongly; 69 this kernel cannot end connections; 77 not\n"
    "permitted, or no such table among those that this user may read\n";

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

static void say_why(char *text, size_t size, const struct client_connection *one, int failure)
{
	char peer[ADDRESS_TEXT];

	address_format(peer, &one->connection.peer.address);
	/* What is so for all of them is not said of one. */
	if (failure == EOPNOTSUPP || failure == EPERM)
		snprintf(text, size, "%s", why_not(failure));
	else
		snprintf(text, size, "%s port %u: %s", peer, one->connection.peer.port,
			 one->elsewhere ? "its daemon is in another network namespace; run it there" : why_not(failure));
}

int disconnect_all(const struct connections *connections, size_t *ended, char *why, size_t size)
{
	int status = STATUS_DONE;
	int descriptor = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);

	*ended = 0;
	if (descriptor < 0) {
		snprintf(why, size, "sock_diag is not to be had: %s", strerror(errno));
		return STATUS_UNAVAILABLE;
	}
	for (size_t i = 0; i < connections->number; i++) {
		const struct client_connection *one = &connections->connection[i];
		int failure = one->elsewhere ? EXDEV : destroy(descriptor, &one->connection);

		if (failure == 0)
			(*ended)++;
		if (failure == 0 || failure == ENOENT)
			continue;
		say_why(why, size, one, failure);
		status = failure == EPERM ? STATUS_NOT_PERMITTED : failure == EOPNOTSUPP ? STATUS_UNAVAILABLE : STATUS_FAILED;
		if (status != STATUS_FAILED)
			break; /* the same for all of them */
	}
	close(descriptor);
	return status;
}

int command_disconnect(int argc, char **argv)
{
	static const struct option options[] = {{"help", no_argument, NULL, 'h'}, {0}};
	struct connections connections;
	struct network network;
	const char *which;
	char why[256];
	size_t ended;
	int option;

	while ((option = next_option(argc, argv, ":h", options)) != -1) {
		switch (option) {
		case 'h': fputs(help, stdout); return output_end();
		default: return STATUS_USAGE;
		}
	}
	int status = client_arguments(argc, argv, &network, &which);
	if (status != 0)
		return status;
	if (connections_find(&connections, &network, which) == 0)
		return tables_none(which);
	status = disconnect_all(&connections, &ended, why, sizeof(why));
	if (status != 0)
		fprintf(stderr, "connlimit: %s\n", why);
	printf("%zu of %zu connections ended\n", ended, connections.number);
	connections_free(&connections);
	return status != 0 ? status : output_end();
}
