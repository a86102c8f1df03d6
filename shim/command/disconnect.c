/* connlimit disconnect ADDRESS: the end of one client's connections. */
#include "command/command.h"
#include "command/connections.h"
#include "command/coverage.h"
#include "command/disconnect.h"
#include "command/processes.h"
#include "command/tables.h"

#include <errno.h>
#include <limits.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char help[] =
    "usage: connlimit disconnect ADDRESS | NETWORK/PREFIX [TABLE | PID | --all]\n"
    "\n"
    "Ends the connections of a client, or of all of a network, through the kernel:\n"
    "the client is reset, and the daemon reads an error (ECONNABORTED). Needs\n"
    "CAP_NET_ADMIN and a kernel built with CONFIG_INET_DIAG_DESTROY. TABLE may be\n"
    "left out where there is only one.\n"
    "\n"
    "  --all  its connections with all daemons under limits\n"
    "\n"
    "Exit status: 0 done, also if there are none; 1 no such table, or some could not\n"
    "be ended; 2 called wrongly, or several tables and none named; 69 this kernel\n"
    "cannot end connections; 77 not permitted, or no such table among those that this\n"
    "user may read\n";

/* ---- whose it is ----
 *
 * A worker may write into the table what it likes: other daemons' connections too. So none is ended that the kernel does not
 * know to be held by a process which has the table mapped. */

/* What is not an errno: the kernel has such a connection, and it is not the daemon's. */
enum { NOT_THEIRS = -1 };

struct daemon {
	unsigned long *inode; /* of its processes' sockets, sorted */
	size_t number;
	struct sockets sockets; /* of the kernel */
	bool *own;		/* of sockets.listener[], those of its processes */
	size_t from, to;	/* the processes whose they are */
};

static void add_inode(unsigned long inode, void *with)
{
	struct daemon *daemon = with;

	/* Room doubles whenever the number is a power of two from 64 on. */
	if (daemon->number == 0 || (daemon->number >= 64 && (daemon->number & (daemon->number - 1)) == 0)) {
		size_t room = daemon->number == 0 ? 64 : daemon->number * 2;
		unsigned long *larger = realloc(daemon->inode, room * sizeof(*larger));

		if (larger == NULL)
			return;
		daemon->inode = larger;
	}
	daemon->inode[daemon->number++] = inode;
}

static int by_number(const void *left, const void *right)
{
	unsigned long a = *(const unsigned long *)left;
	unsigned long b = *(const unsigned long *)right;

	return a < b ? -1 : a > b ? 1 : 0;
}

static bool holds(const struct daemon *daemon, unsigned long inode)
{
	return inode != 0 && daemon->number > 0 &&
	       bsearch(&inode, daemon->inode, daemon->number, sizeof(*daemon->inode), by_number) != NULL;
}

/* The sockets of one daemon's processes, sorted; kept until another daemon's are asked for. */
static void look_at_daemon(struct daemon *daemon, const struct connections *connections, const struct client_connection *one)
{
	if (daemon->inode != NULL && daemon->from == one->from && daemon->to == one->to)
		return;
	daemon->number = 0;
	free(daemon->inode);
	daemon->inode = NULL;
	daemon->from = one->from;
	daemon->to = one->to;
	for (size_t i = one->from; i < one->to; i++)
		process_sockets(connections->process[i], UINT_MAX, add_inode, daemon);
	if (daemon->number > 0)
		qsort(daemon->inode, daemon->number, sizeof(*daemon->inode), by_number);
	free(daemon->own);
	daemon->own = calloc(daemon->sockets.listeners + 1, sizeof(*daemon->own));
	for (size_t i = 0; i < daemon->sockets.listeners && daemon->own != NULL; i++)
		daemon->own[i] = holds(daemon, daemon->sockets.listener[i].inode);
}

static bool is_theirs(const struct daemon *daemon, const struct connection *connection, unsigned long inode)
{
	return holds(daemon, inode) ||
	       (daemon->own != NULL && listeners_lead_to(&daemon->sockets, daemon->own, &connection->local));
}

/* ---- the kernel's part ---- */

struct request {
	struct nlmsghdr header;
	struct inet_diag_req_v2 body;
};

struct reply {
	struct nlmsghdr header;
	union {
		struct nlmsgerr error;
		struct inet_diag_msg socket;
		char room[1024];
	};
};

static void write_request(struct request *request, const struct connection *connection)
{
	bool ipv4 = address_is_ipv4(&connection->peer.address);
	size_t skipped = ipv4 ? 12 : 0;

	*request = (struct request){
	    .header = {.nlmsg_len = sizeof(*request),
		       .nlmsg_type = SOCK_DIAG_BY_FAMILY,
		       .nlmsg_flags = NLM_F_REQUEST,
		       .nlmsg_seq = 1},
	    .body = {.sdiag_family = ipv4 ? AF_INET : AF_INET6,
		     .sdiag_protocol = IPPROTO_TCP,
		     .idiag_states = ~(1U << TCP_LISTEN),
		     .id = {.idiag_sport = htons(connection->local.port),
			    .idiag_dport = htons(connection->peer.port),
			    .idiag_if = connection->peer.interface,
			    .idiag_cookie = {INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE}}},
	};
	memcpy(request->body.id.idiag_src, connection->local.address.bytes + skipped, 16 - skipped);
	memcpy(request->body.id.idiag_dst, connection->peer.address.bytes + skipped, 16 - skipped);
}

/* Returns an errno; 0 with the kernel's reply. */
static int ask(int descriptor, const struct request *request, struct reply *reply)
{
	*reply = (struct reply){0};
	if (send(descriptor, request, sizeof(*request), 0) < 0)
		return errno;
	ssize_t length = recv(descriptor, reply, sizeof(*reply), 0);
	if (length < 0)
		return errno;
	if (reply->header.nlmsg_type != NLMSG_ERROR)
		return (size_t)length >= sizeof(reply->header) + sizeof(reply->socket) ? 0 : EIO;
	return (size_t)length >= sizeof(reply->header) + sizeof(reply->error) ? -reply->error.error : EIO;
}

/* sock_diag(7), SOCK_DESTROY: the kernel ends the connection as if by a reset, and the daemon reads ECONNABORTED. The cookie
 * names the very socket that was looked at. Returns an errno, ENOENT if it is gone already, or NOT_THEIRS. */
static int destroy(int descriptor, const struct connection *connection, const struct daemon *daemon)
{
	struct request request;
	struct reply reply;

	write_request(&request, connection);
	int failure = ask(descriptor, &request, &reply);
	if (failure != 0)
		return failure;
	/* Where only the listener is there, the kernel finds that. */
	if (reply.socket.idiag_state == TCP_LISTEN || reply.socket.idiag_inode == 0)
		return ENOENT;
	if (!is_theirs(daemon, connection, reply.socket.idiag_inode))
		return NOT_THEIRS;
	request.header.nlmsg_type = SOCK_DESTROY;
	request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	memcpy(request.body.id.idiag_cookie, reply.socket.id.idiag_cookie, sizeof(request.body.id.idiag_cookie));
	return ask(descriptor, &request, &reply);
}

static const char *why_not(int failure)
{
	return failure == NOT_THEIRS   ? "it is not the daemon's, as far as we may see, and is left alone"
	       : failure == EOPNOTSUPP ? "this kernel cannot end connections: it was built without CONFIG_INET_DIAG_DESTROY"
	       : failure == EPERM      ? "not permitted: ending connections needs CAP_NET_ADMIN, so run it as root"
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
	struct daemon daemon = {0};

	*ended = 0;
	sockets_read(&daemon.sockets);
	if (descriptor < 0) {
		snprintf(why, size, "sock_diag is not available: %s", strerror(errno));
		sockets_free(&daemon.sockets);
		return STATUS_UNAVAILABLE;
	}
	for (size_t i = 0; i < connections->number; i++) {
		const struct client_connection *one = &connections->connection[i];

		look_at_daemon(&daemon, connections, one);
		int failure = one->elsewhere ? EXDEV : destroy(descriptor, &one->connection, &daemon);
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
	free(daemon.inode);
	free(daemon.own);
	sockets_free(&daemon.sockets);
	return status;
}

/* Which table is meant: *which then names it, or stays NULL for all. */
static int choose(const char **which, bool all, char chosen[QUALIFIED_TEXT])
{
	struct tables tables;
	int status = tables_choose(&tables, *which, all);

	if (status == 0)
		tables_say_unread(&tables, *which);
	if (status == 0 && *which == NULL && !all) {
		table_text(chosen, &tables.view[0]);
		*which = chosen;
	}
	tables_free(&tables);
	return status;
}

int command_disconnect(int argc, char **argv)
{
	static const struct option options[] = {{"all", no_argument, NULL, 'a'}, {"help", no_argument, NULL, 'h'}, {0}};
	struct connections connections;
	struct network network;
	const char *which;
	char chosen[QUALIFIED_TEXT];
	char why[256];
	bool all = false;
	size_t ended;
	int option;

	while ((option = next_option(argc, argv, ":h", options)) != -1) {
		switch (option) {
		case 'a': all = true; break;
		case 'h': fputs(help, stdout); return output_end();
		default: return STATUS_USAGE;
		}
	}
	int status = client_arguments(argc, argv, &network, &which);
	if (status == 0 && all && which != NULL)
		return usage_error(argv[0], "--all and '%s' are two ways; choose one", which);
	if (status == 0)
		status = choose(&which, all, chosen);
	if (status != 0)
		return status;
	if (!connections_find(&connections, &network, which)) {
		connections_free(&connections);
		return STATUS_FAILED;
	}
	status = disconnect_all(&connections, &ended, why, sizeof(why));
	if (status != 0)
		fprintf(stderr, "connlimit: %s\n", why);
	printf("%zu of %zu connections ended\n", ended, connections.number);
	connections_free(&connections);
	return status != 0 ? status : output_end();
}
