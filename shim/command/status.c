/* connlimit status: every table of this machine that we may read, and its clients. Counts are compared with the kernel first.
 */
#include "command.h"
#include "view.h"
#include "view_json.h"

#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Colour only on a terminal, and not where the user asked for none (no-color.org). */
static bool coloured;

static const char *colour(const char *code)
{
	return coloured ? code : "";
}

static void print_span(uint64_t seconds)
{
	if (seconds >= 86400)
		printf("%" PRIu64 "d %" PRIu64 "h", seconds / 86400, seconds % 86400 / 3600);
	else if (seconds >= 3600)
		printf("%" PRIu64 "h %" PRIu64 "m", seconds / 3600, seconds % 3600 / 60);
	else if (seconds >= 60)
		printf("%" PRIu64 "m %" PRIu64 "s", seconds / 60, seconds % 60);
	else
		printf("%" PRIu64 "s", seconds);
}

/* What was said, and where; defaults are left out, except for the one that everybody asks for. */
static void print_settings(const struct table_view *view)
{
	static const char *const modes[] = {"enforce", "observe", "off"};
	const struct settings *settings = &view->settings;
	char value[256];

	if (settings->per_ip == LIMIT_NONE)
		printf("  limit    none per client");
	else
		printf("  limit    %" PRIu32 " per client", settings->per_ip);
	printf(" (IPv4 /%u, IPv6 /%u), mode %s\n", settings->ipv4_prefix, settings->ipv6_prefix,
	       settings->mode < 3 ? modes[settings->mode] : "?");
	for (int id = 0; id < SETTINGS; id++) {
		if (settings->origin[id] == FROM_DEFAULT)
			continue;
		settings_format(value, sizeof(value), settings, (enum setting_id)id);
		printf("  setting  CONNLIMIT_%s=%.180s%s (%s)\n", settings_table[id].name, value,
		       strlen(value) > 180 ? "..." : "", view_origin(settings->origin[id]));
	}
}

static void print_reload(const struct table_view *view)
{
	if (view->failed >= 0)
		printf("  %sreload   failed %" PRId64 " s ago, the old limits stand: %s%s\n", colour("\033[31m"), view->failed,
		       view->failure, colour("\033[0m"));
	else if (view->reloaded >= 0)
		printf("  limits   published %" PRId64 " s ago\n", view->reloaded);
}

static void print_fleet(const struct table_view *view)
{
	if (view->settings.cluster_per_ip == LIMIT_NONE)
		return;
	if (view->heard < 0)
		printf("  fleet    never heard (connlimit sync): this machine's own limits hold\n");
	else
		printf("  fleet    %s, heard %" PRId64 " s ago\n",
		       view->fleet_current ? "in step" : "not heard: this machine's own limits hold", view->heard);
}

static void print_troubles(const struct table_view *view)
{
	if (!view->checked)
		printf("  note     not compared with the kernel: the daemon is in another network namespace\n");
	if (view->uncounted != 0)
		printf("  warning  %" PRIu64 " connections were admitted uncounted (CONNLIMIT_CAPACITY is %" PRIu32 ")\n",
		       view->uncounted, view->capacity);
	if (view->unverified != 0)
		printf("  warning  %" PRIu64 " refusals could not be verified with the kernel\n", view->unverified);
	if (view->covered >= 0 && view->covered < view->in_kernel)
		printf("  warning  the kernel has %" PRId64 " connections on these ports, the table %" PRId64 "\n",
		       view->in_kernel, view->covered);
}

static void print_clients(const struct table_view *view)
{
	bool fleet = view->settings.cluster_per_ip != LIMIT_NONE;

	printf("  %s%-43s %8s %8s %10s %8s %8s%s%s\n", colour("\033[1m"), "CLIENT", "OPEN", "LIMIT", "REFUSED", "PEAK",
	       "OLDEST", fleet ? "   REMOTE" : "", colour("\033[0m"));
	for (size_t i = 0; i < view->clients; i++) {
		const struct client_view *client = &view->client[i];
		const struct client_facts *facts = &client->facts;
		char network[NETWORK_TEXT];
		char limit[16] = "-";
		bool full = facts->limit != LIMIT_NONE && facts->open >= facts->limit;

		network_format(network, &facts->network);
		if (facts->limit != LIMIT_NONE)
			snprintf(limit, sizeof(limit), "%" PRIu32, facts->limit);
		printf("  %s%-43s %8" PRIu32 " %8s %10" PRIu64 " %8" PRIu32 " %7" PRIu32 "s", colour(full ? "\033[33m" : ""),
		       network, facts->open, limit, facts->refused, facts->peak, client->oldest);
		if (fleet)
			printf(" %8" PRIu32, client->remote);
		printf("%s\n", colour("\033[0m"));
	}
}

static void print_table(const struct table_view *view)
{
	printf("%stable %s%s\n", colour("\033[1m"), view->name, colour("\033[0m"));
	printf("  daemon   %s, started as pid %" PRIu32 ", %lu processes, up ", view->program, view->maker, view->processes);
	print_span(view->uptime);
	printf("\n");
	print_settings(view);
	print_reload(view);
	print_fleet(view);
	printf("  open     %" PRIu64 " connections of at most %" PRIu32 ", refused %" PRIu64, view->open, view->capacity,
	       view->refused);
	if (view->observed != 0)
		printf(", would have been refused %" PRIu64, view->observed);
	if (view->covered >= 0 && view->in_kernel > 0)
		printf(", coverage %" PRId64 " of %" PRId64, view->covered, view->in_kernel);
	printf("\n");
	print_troubles(view);
	if (view->clients > 0)
		print_clients(view);
}

static int show(const char *which, bool json)
{
	struct table_view *views;
	int number = views_gather(&views, which);

	if (number < 0)
		return 1;
	if (json) {
		view_print_json(views, number);
	} else {
		for (int i = 0; i < number; i++) {
			if (i > 0)
				putchar('\n');
			print_table(&views[i]);
		}
		if (number == 0)
			printf("no daemon runs under connlimit\n");
	}
	views_free(views, number);
	return fflush(stdout) == 0 ? 0 : 1;
}

int command_status(int argc, char **argv)
{
	static const struct option options[] = {
	    {"json", no_argument, NULL, 'j'}, {"watch", no_argument, NULL, 'w'}, {"help", no_argument, NULL, 'h'}, {0}};
	static const char usage[] = "usage: connlimit status [--json] [--watch] [TABLE | PID]\n";
	bool json = false;
	bool watch = false;
	int option;

	optind = 1;
	while ((option = getopt_long(argc, argv, "jwh", options, NULL)) != -1) {
		switch (option) {
		case 'j': json = true; break;
		case 'w': watch = true; break;
		case 'h': fputs(usage, stdout); return 0;
		default: fputs(usage, stderr); return 2;
		}
	}
	if (argc - optind > 1) {
		fputs(usage, stderr);
		return 2;
	}
	const char *no_colour = getenv("NO_COLOR");
	coloured = isatty(STDOUT_FILENO) && (no_colour == NULL || no_colour[0] == '\0');
	for (;;) {
		if (watch && isatty(STDOUT_FILENO))
			printf("\033[H\033[2J");
		int status = show(optind < argc ? argv[optind] : NULL, json);
		if (!watch || status != 0)
			return status;
		poll(NULL, 0, 2000);
	}
}
