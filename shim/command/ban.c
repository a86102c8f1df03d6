/* connlimit ban and unban: a client that is refused for a time, whatever it holds. */
#include "command/command.h"
#include "command/tables.h"
#include "command/writer.h"

#include "settings/settings_values.h"
#include "table/bans.h"

#include <stdlib.h>
#include <string.h>

static const char ban_help[] =
    "usage: connlimit ban [--all] ADDRESS [for TIME] [TABLE | PID]\n"
    "\n"
    "Has the daemon refuse a client, whatever it holds, for a time (30s, 10m, 1h) or,\n"
    "without one, for as long as its table is there. Connections that the client has\n"
    "stay open: connlimit disconnect ends those. A ban that it has already is\n"
    "replaced. The client is the address, or the network that is one client under\n"
    "CONNLIMIT_IPV4_PREFIX and CONNLIMIT_IPV6_PREFIX. TABLE may be left out if there\n"
    "is only one.\n"
    "\n"
    "  --all  do so for all limited daemons that this user may change\n"
    "\n"
    "Exit status: 0 banned; 1 no such table, no room for it, or the client is\n"
    "unlimited by a rule, and so never banned; 2 called wrongly, or several tables\n"
    "and none named; 77 no such table among those that this user may read\n";

static const char unban_help[] =
    "usage: connlimit unban [--all] ADDRESS | NETWORK/PREFIX [TABLE | PID]\n"
    "\n"
    "Ends the ban of a client, or of all clients in a network, and forgets how often\n"
    "it was refused. TABLE may be left out if there is only one.\n"
    "\n"
    "  --all  do so for all limited daemons that this user may change\n"
    "\n"
    "Exit status: 0 done; 1 no such table, or nobody there is banned; 2 called\n"
    "wrongly, or several tables and none named; 77 no such table among those that\n"
    "this user may read\n";

/* One table's part. Returns the exit status. */
typedef int change_bans(const struct table_view *view, const void *with);

static int change_each(const struct wanted *wanted, bool all, change_bans *change, const void *with)
{
	struct tables tables;
	int chosen = tables_choose(&tables, wanted, all);
	int highest = chosen;

	if (chosen == STATUS_DONE)
		tables_say_unread(&tables, wanted->which);
	for (int i = 0; i < tables.number && chosen == STATUS_DONE; i++) {
		int status = change(&tables.view[i], with);
		highest = status > highest ? status : highest;
	}
	tables_free(&tables);
	int ended = output_end();
	return highest != STATUS_DONE ? highest : ended;
}

/* ---- ban ---- */

struct wanted_ban {
	struct network network; /* an address, or a client's network */
	uint32_t seconds;
};

static int write_ban(struct table *table, const void *with)
{
	const struct wanted_ban *ban = with;

	return (int)ban_address(table, &ban->network.address, ban->seconds);
}

static int ban_in(const struct table_view *view, const void *with)
{
	const struct wanted_ban *ban = with;
	const struct limits limits = {.ipv4_prefix = view->settings.ipv4_prefix, .ipv6_prefix = view->settings.ipv6_prefix};
	struct network client = limits_client(&limits, &ban->network.address);
	char asked[NETWORK_TEXT];
	char text[NETWORK_TEXT];
	char span[SPAN_TEXT];

	network_format(text, &client);
	network_format(asked, &ban->network);
	if (ban->network.prefix < client.prefix) {
		fprintf(stderr,
			"connlimit: table %s: %s is more than one client, which is %s; a rule can refuse a network: %s=deny\n",
			view->name, asked, text, asked);
		return STATUS_USAGE;
	}
	switch (writer_write(view, write_ban, ban)) {
	case BAN_BEGUN: break;
	case BAN_EXEMPT:
		fprintf(stderr, "connlimit: table %s: %s is unlimited by a rule, and so is not banned\n", view->name, text);
		return STATUS_FAILED;
	case BAN_NO_ROOM:
		fprintf(stderr, "connlimit: table %s has no room for the ban of %s at this moment\n", view->name, text);
		return STATUS_FAILED;
	default: return writer_failed(view);
	}
	view_ban(span, ban->seconds);
	printf("%s banned in table %s %s%s\n", text, view->name, ban->seconds == BAN_FOREVER ? "" : "for ",
	       ban->seconds == BAN_FOREVER ? "until it is unbanned" : span);
	return STATUS_DONE;
}

static bool only_all(int argc, char **argv, const char *text, bool *all, int *status)
{
	static const struct option options[] = {{"all", no_argument, NULL, 'a'}, {"help", no_argument, NULL, 'h'}, {0}};
	int option;

	while ((option = next_option(argc, argv, ":h", options)) != -1) {
		switch (option) {
		case 'a': *all = true; break;
		case 'h':
			fputs(text, stdout);
			*status = output_end();
			return false;
		default: *status = STATUS_USAGE; return false;
		}
	}
	return true;
}

int command_ban(int argc, char **argv)
{
	struct wanted_ban ban = {.seconds = BAN_FOREVER};
	bool all = false;
	int status;

	if (!only_all(argc, argv, ban_help, &all, &status))
		return status;
	bool timed = optind + 1 < argc && strcmp(argv[optind + 1], "for") == 0;
	if (!arguments_within(argc, argv, timed ? 3 : 1, (timed ? 3 : 1) + (all ? 0 : 1)))
		return STATUS_USAGE;
	if (timed) {
		const char *given = argv[optind + 2];
		const char *problem;

		if (!duration_parse(&ban.seconds, given, strlen(given), 1, BAN_MOST, &problem))
			return usage_error("ban", "for %s: %s; allowed: 30s, 10m, 1h, up to 1000h", given, problem);
	}
	status = network_argument("ban", argv[optind], &ban.network);
	if (status != STATUS_DONE)
		return status;
	return change_each(&(struct wanted){.which = argv[optind + (timed ? 3 : 1)]}, all, ban_in, &ban);
}

/* ---- unban ---- */

/* As many as were found banned there. */
struct unbanning {
	const struct network *client;
	size_t number;
};

static int write_unban(struct table *table, const void *with)
{
	const struct unbanning *unbanning = with;

	for (size_t i = 0; i < unbanning->number; i++)
		ban_end(table, &unbanning->client[i]);
	return 0;
}

static bool is_meant(const struct network *wanted, const struct network *client)
{
	return client->prefix <= 128 && (network_contains(wanted, &client->address) ||
					 (client->prefix < wanted->prefix && network_contains(client, &wanted->address)));
}

static int unban_in(const struct table_view *view, const void *with)
{
	const struct network *wanted = with;
	struct network *client = calloc(view->clients + 1, sizeof(*client));
	struct unbanning unbanning = {.client = client};
	char text[NETWORK_TEXT];

	for (size_t i = 0; i < view->clients && client != NULL; i++)
		if (view->client[i].facts.banned != 0 && is_meant(wanted, &view->client[i].facts.network))
			client[unbanning.number++] = view->client[i].facts.network;
	int written = unbanning.number > 0 ? writer_write(view, write_unban, &unbanning) : 0;
	for (size_t i = 0; i < unbanning.number && written != NOT_WRITTEN; i++) {
		network_format(text, &client[i]);
		printf("%s unbanned in table %s\n", text, view->name);
	}
	free(client);
	if (written == NOT_WRITTEN)
		return writer_failed(view);
	if (unbanning.number > 0)
		return STATUS_DONE;
	network_format(text, wanted);
	fprintf(stderr, "connlimit: table %s: %s is not banned\n", view->name, text);
	return STATUS_FAILED;
}

int command_unban(int argc, char **argv)
{
	struct network network;
	bool all = false;
	int status;

	if (!only_all(argc, argv, unban_help, &all, &status))
		return status;
	if (!arguments_within(argc, argv, 1, all ? 1 : 2))
		return STATUS_USAGE;
	status = network_argument("unban", argv[optind], &network);
	if (status != STATUS_DONE)
		return status;
	return change_each(&(struct wanted){.which = argv[optind + 1], .clients = true}, all, unban_in, &network);
}
