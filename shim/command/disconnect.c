/* connlimit disconnect: ends a client's connections, or those that are old or idle. */
#include "command/command.h"
#include "command/connections.h"
#include "command/coverage.h"
#include "command/disconnect.h"
#include "command/processes.h"
#include "command/tables.h"

#include "kernel/netlink.h"
#include "settings/settings_values.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/inet_diag.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "usage: connlimit disconnect [OPTION]... ADDRESS | NETWORK/PREFIX [TABLE | PID]\n"
    "       connlimit disconnect --older-than TIME [OPTION]... [ADDRESS] [TABLE|PID]\n"
    "\n"
    "Ends the connections of a client, or of all clients in a network. The kernel\n"
    "resets them, and the daemon reads an error (ECONNABORTED). Needs CAP_NET_ADMIN\n"
    "and a kernel built with CONFIG_INET_DIAG_DESTROY. TABLE may be left out if there\n"
    "is only one. With --older-than or --idle, ADDRESS may be left out too: then the\n"
    "TCP connections of all clients are meant.\n"
    "\n"
    "  --older-than TIME  only connections accepted so long ago or more: 30s, 1h\n"
    "  --idle TIME        only connections on which, according to the kernel, no data\n"
    "                     was sent or received for so long\n"
    "  --dry-run          list the connections, and end none\n"
    "  --all              connections to all limited daemons\n"
    "\n"
    "Exit status: 0 done, also if there are none; 1 no such table, or some could not\n"
    "be ended; 2 called wrongly, or several tables and none named; 69 this kernel\n"
    "cannot end connections; 77 not permitted, or no such table among those that this\n"
    "user may read\n";

/* ---- whose connection it is ----
 *
 * A worker may write anything into the table, including other daemons' connections. So a connection is only ended if the kernel
 * says that a process which has the table mapped holds it. */

/* In place of an errno: the connection exists but is not the daemon's; it is not idle. */
enum { NOT_THEIRS = -1, NOT_IDLE = -2 };

enum { TIME_MOST = 1000 * 3600 }; /* seconds; the kernel's own times, 32-bit numbers of milliseconds, reach little further */

struct daemon {
	unsigned long *inode; /* of its processes' sockets, sorted */
	size_t number;
	struct sockets sockets; /* all of the kernel's */
	bool *own;		/* marks sockets.listener[] that belong to its processes */
	size_t from, to;	/* the range of its processes */
};

static void add_inode(unsigned long inode, void *with)
{
	struct daemon *daemon = with;

	/* The capacity doubles when the number reaches a power of two, from 64 on. */
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

/* Finds the sockets of one daemon's processes, and keeps them until another daemon's are needed. */
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

static struct request request_for(const struct connection *connection)
{
	struct request request = {
	    .header = {.nlmsg_len = sizeof(request),
		       .nlmsg_type = SOCK_DIAG_BY_FAMILY,
		       .nlmsg_flags = NLM_F_REQUEST,
		       .nlmsg_seq = 1},
	    .body = netlink_connection(connection),
	};

	request.body.idiag_ext = 1U << (INET_DIAG_INFO - 1);
	request.body.idiag_states = ~(1U << TCP_LISTEN);
	return request;
}

/* Returns an errno, or 0 with the kernel's reply. */
static int ask(int descriptor, const struct request *request, struct reply *reply)
{
	*reply = (struct reply){0};
	if (!netlink_send(descriptor, request, sizeof(*request)))
		return errno;
	errno = EIO;
	ssize_t length = netlink_receive(descriptor, reply, sizeof(*reply));
	if (length <= 0)
		return errno;
	if (reply->header.nlmsg_type != NLMSG_ERROR)
		return (size_t)length >= sizeof(reply->header) + sizeof(reply->socket) ? 0 : EIO;
	return (size_t)length >= sizeof(reply->header) + sizeof(reply->error) ? -reply->error.error : EIO;
}

/* How long no data was sent or received, according to the kernel. False if it does not say. */
static bool idle_seconds(const struct reply *reply, uint32_t *seconds)
{
	size_t end = reply->header.nlmsg_len < sizeof(*reply) ? reply->header.nlmsg_len : sizeof(*reply);
	size_t at = NLMSG_LENGTH(sizeof(reply->socket));
	const char *bytes = (const char *)reply;
	struct rtattr attribute;
	struct tcp_info facts;

	for (; at + sizeof(attribute) <= end; at += RTA_ALIGN(attribute.rta_len)) {
		memcpy(&attribute, bytes + at, sizeof(attribute));
		if (attribute.rta_len < sizeof(attribute) || attribute.rta_len > end - at)
			return false;
		if (attribute.rta_type != INET_DIAG_INFO)
			continue;
		if (attribute.rta_len < RTA_LENGTH(offsetof(struct tcp_info, tcpi_last_ack_recv)))
			return false;
		memcpy(&facts, bytes + at + RTA_LENGTH(0), offsetof(struct tcp_info, tcpi_last_ack_recv));
		uint32_t sent = facts.tcpi_last_data_sent;
		uint32_t received = facts.tcpi_last_data_recv;
		*seconds = (sent < received ? sent : received) / 1000;
		return true;
	}
	return false;
}

static void say_chosen(const struct client_connection *one, bool known, uint32_t idle)
{
	char peer[ADDRESS_TEXT];

	address_format(peer, &one->client);
	printf("%s port %u of table %s: open for %" PRIu32 " s", peer, one->connection.peer.port, one->table, one->age);
	if (known)
		printf(", idle for %" PRIu32 " s", idle);
	printf("\n");
}

/* sock_diag(7), SOCK_DESTROY: the kernel ends the connection as if it had been reset, and the daemon reads ECONNABORTED. The
 * cookie makes sure that it is the same socket. Returns an errno, ENOENT if it is already gone, NOT_THEIRS or NOT_IDLE. */
static int destroy(int descriptor, const struct client_connection *one, const struct daemon *daemon,
		   const struct selection *selection)
{
	const struct connection *connection = &one->connection;
	struct request request = request_for(connection);
	struct reply reply;
	uint32_t idle = 0;

	int failure = ask(descriptor, &request, &reply);
	if (failure != 0)
		return failure;
	/* If only the listener exists, the kernel finds that one. */
	if (reply.socket.idiag_state == TCP_LISTEN || reply.socket.idiag_inode == 0)
		return ENOENT;
	if (!is_theirs(daemon, connection, reply.socket.idiag_inode))
		return NOT_THEIRS;
	bool known = idle_seconds(&reply, &idle);
	if (selection->idle != 0 && !known)
		return ENODATA;
	if (idle < selection->idle)
		return NOT_IDLE;
	if (selection->dry_run) {
		say_chosen(one, known, idle);
		return 0;
	}
	request.header.nlmsg_type = SOCK_DESTROY;
	request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	memcpy(request.body.id.idiag_cookie, reply.socket.id.idiag_cookie, sizeof(request.body.id.idiag_cookie));
	return ask(descriptor, &request, &reply);
}

static const char *why_not(int failure)
{
	return failure == NOT_THEIRS   ? "it does not seem to be the daemon's, so it was not ended"
	       : failure == ENODATA    ? "the kernel does not say how long it has been idle, so it was not ended"
	       : failure == EOPNOTSUPP ? "this kernel cannot end connections: it was built without CONFIG_INET_DIAG_DESTROY"
	       : failure == EPERM      ? "not permitted: ending connections needs CAP_NET_ADMIN, so run it as root"
				       : strerror(failure);
}

static void say_why(char *text, size_t size, const struct client_connection *one, int failure)
{
	char peer[ADDRESS_TEXT];

	address_format(peer, &one->client);
	/* This applies to all of them, so the message does not name one. */
	if (failure == EOPNOTSUPP || failure == EPERM)
		snprintf(text, size, "%s", why_not(failure));
	else
		snprintf(text, size, "%s port %u: %s", peer, one->connection.peer.port,
			 one->elsewhere ? "its daemon is in another network namespace; run it there" : why_not(failure));
}

int disconnect_all(const struct connections *connections, const struct selection *selection, struct disconnected *result,
		   char *why, size_t size)
{
	int status = STATUS_DONE;
	int descriptor = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	struct daemon daemon = {0};

	*result = (struct disconnected){0};
	sockets_read(&daemon.sockets);
	if (descriptor < 0) {
		snprintf(why, size, "sock_diag is not available: %s", strerror(errno));
		sockets_free(&daemon.sockets);
		return STATUS_UNAVAILABLE;
	}
	for (size_t i = 0; i < connections->number; i++) {
		const struct client_connection *one = &connections->connection[i];

		/* The kernel cannot end Unix sockets. */
		if (one->age < selection->older_than || connection_is_unix(&one->connection))
			continue;
		look_at_daemon(&daemon, connections, one);
		int failure = one->elsewhere ? EXDEV : destroy(descriptor, one, &daemon, selection);
		if (failure == ENOENT || failure == NOT_IDLE)
			continue;
		result->chosen++;
		if (failure == 0) {
			result->ended++;
			continue;
		}
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

/* Chooses the table: *which then names it, or stays NULL for all. */
static int choose(const char **which, bool all, char chosen[QUALIFIED_TEXT])
{
	struct tables tables;
	int status = tables_choose(&tables, &(struct wanted){.which = *which}, all);

	if (status == 0)
		tables_say_unread(&tables, *which);
	if (status == 0 && *which == NULL && !all) {
		table_text(chosen, &tables.view[0]);
		*which = chosen;
	}
	tables_free(&tables);
	return status;
}

/* Reads a duration such as "1h". */
static bool read_time(const char *name, const char *given, uint32_t *seconds)
{
	const char *problem;

	if (duration_parse(seconds, given, strlen(given), 1, TIME_MOST, &problem))
		return true;
	usage_error("disconnect", "--%s: '%s' %s; allowed: 30s, 10m, 1h, up to 1000h", name, given, problem);
	return false;
}

/* Reads whose connections to end. If they are selected by time, the address is optional; without one, *everybody is set and
 * *network is not. */
static int read_whose(int argc, char **argv, bool by_time, struct network *network, bool *everybody, const char **which)
{
	const char *problem;
	size_t position;
	int left = argc - optind;

	*everybody =
	    by_time &&
	    (left == 0 || (left == 1 && !network_parse(network, argv[optind], strlen(argv[optind]), &problem, &position)));
	if (!*everybody)
		return client_arguments(argc, argv, network, which);
	*which = left == 1 ? argv[optind] : NULL;
	return STATUS_DONE;
}

static int disconnect(const struct network *network, const char *which, const struct selection *selection)
{
	struct connections connections;
	struct disconnected result;
	char why[256];

	if (!connections_find(&connections, network, which)) {
		connections_free(&connections);
		return STATUS_FAILED;
	}
	int status = disconnect_all(&connections, selection, &result, why, sizeof(why));
	fflush(stdout);
	if (status != 0)
		fprintf(stderr, "connlimit: %s\n", why);
	printf("%zu of %zu connections %s\n", result.ended, result.chosen, selection->dry_run ? "would be ended" : "ended");
	connections_free(&connections);
	return status != 0 ? status : output_end();
}

int command_disconnect(int argc, char **argv)
{
	static const struct option options[] = {
	    {"all", no_argument, NULL, 'a'},	    {"dry-run", no_argument, NULL, 'd'},
	    {"idle", required_argument, NULL, 'i'}, {"older-than", required_argument, NULL, 'o'},
	    {"help", no_argument, NULL, 'h'},	    {0}};
	struct selection selection = {0};
	struct network network;
	const char *which;
	char chosen[QUALIFIED_TEXT];
	bool all = false;
	bool everybody = false;
	int option;

	while ((option = next_option(argc, argv, ":h", options)) != -1) {
		switch (option) {
		case 'a': all = true; break;
		case 'd': selection.dry_run = true; break;
		case 'i':
			if (!read_time("idle", optarg, &selection.idle))
				return STATUS_USAGE;
			break;
		case 'o':
			if (!read_time("older-than", optarg, &selection.older_than))
				return STATUS_USAGE;
			break;
		case 'h': fputs(help, stdout); return output_end();
		default: return STATUS_USAGE;
		}
	}
	bool by_time = selection.older_than != 0 || selection.idle != 0;
	int status = read_whose(argc, argv, by_time, &network, &everybody, &which);
	if (status == 0 && all && which != NULL)
		return usage_error(argv[0], "--all and '%s' exclude each other", which);
	if (status == 0)
		status = choose(&which, all, chosen);
	return status != 0 ? status : disconnect(everybody ? NULL : &network, which, &selection);
}
