/* connlimit status: every table of this machine that we may read, and its clients. Counts are compared with the kernel first.
 */
#include "command/command.h"
#include "command/tables.h"
#include "command/view.h"
#include "command/view_json.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "usage: connlimit status [--json] [--watch[=SECONDS]] [--names] [TABLE | PID]\n"
    "\n"
    "Each daemon under limits, its limits and where they came from, what does not\n"
    "work as it should, and its clients; of one table, or of the process PID. Counts\n"
    "are compared with the kernel before they are shown.\n"
    "\n"
    "  --json             for programs; connlimit(1) says what is in it\n"
    "  --watch[=SECONDS]  again and again, every 2 seconds or so many (1 to 3600)\n"
    "  --names            only the tables' names, one a line\n"
    "\n"
    "On a terminal columns are aligned and coloured (not if NO_COLOR is set);\n"
    "elsewhere the fields of a client are divided by tabs.\n"
    "\n"
    "Exit status: 0 done; 1 no such table, or it cannot be done; 2 called wrongly;\n"
    "77 no such table among those that this user may read\n";

static bool terminal;
static bool coloured;

static const char *colour(const char *code)
{
	return coloured ? code : "";
}

/* What holds, in one line; then what was said, and where; defaults are left out. */
static void print_settings(const struct table_view *view)
{
	const struct settings *settings = &view->settings;
	char value[256];

	if (settings->per_ip == LIMIT_NONE)
		printf("  limit    none per client");
	else
		printf("  limit    %" PRIu32 " per client", settings->per_ip);
	printf(" (%s; IPv4 /%u, IPv6 /%u), mode %s (%s)\n", view_origin(settings->origin[SETTING_PER_IP]),
	       settings->ipv4_prefix, settings->ipv6_prefix, view_mode(settings->mode),
	       view_origin(settings->origin[SETTING_MODE]));
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
	char span[SPAN_TEXT];

	if (view->failed >= 0) {
		view_span(span, (uint64_t)view->failed);
		printf("  %sreload   failed %s ago, the old limits stand: %s%s\n", colour("\033[31m"), span, view->failure,
		       colour("\033[0m"));
	} else if (view->publications <= 1) {
		printf("  reload   none since the start\n");
	} else {
		view_span(span, view->published > 0 ? (uint64_t)view->published : 0);
		printf("  reload   done %s ago\n", span);
	}
}

static void print_fleet(const struct table_view *view)
{
	char span[SPAN_TEXT];

	if (view->settings.cluster_per_ip == LIMIT_NONE || !view->fleet_current)
		return;
	view_span(span, view->heard > 0 ? (uint64_t)view->heard : 0);
	printf("  fleet    in step, heard %s ago by connlimit sync, pid %" PRIu32 ", good for %" PRIu64 ".%" PRIu64
	       " s; other machines hold %" PRIu64 "\n",
	       span, view->sidecar, view->lease / 1000, view->lease % 1000 / 100, view->remote);
	if (view->fleet_mended != 0)
		printf("           %" PRIu64 " counts in Redis were not as they had been told, and were mended\n",
		       view->fleet_mended);
}

static void print_refusals(const struct table_view *view)
{
	const char *divider = " (";

	printf("  refused  %" PRIu64, view->refused);
	if (view->observed != 0)
		printf(", would have been in mode enforce %" PRIu64, view->observed);
	for (unsigned reason = REFUSED_NOT + 1; reason < REASONS; reason++) {
		if (view->refused_for[reason] == 0)
			continue;
		printf("%s%s %" PRIu64, divider, view_reason(reason), view->refused_for[reason]);
		divider = ", ";
	}
	printf("%s\n", divider[0] == ',' ? ")" : "");
	if (view->checks != 0)
		printf("  checks   %" PRIu64 " before refusals, by %s, %" PRIu64 " us each; connections found gone %" PRIu64
		       ", counts mended %" PRIu64 "\n",
		       view->checks,
		       view->asked[KERNEL_UNREACHABLE] != 0 ? "nothing"
		       : view->asked[KERNEL_PROC] != 0	    ? "/proc/net/tcp"
							    : "sock_diag",
		       view->check_us / view->checks, view->check_gone, view->repaired);
}

static void print_troubles(const struct table_view *view)
{
	char text[512];

	for (enum degraded what = 0; what < DEGRADEDS; what++) {
		if (!view_degraded(view, what) || what == DEGRADED_RELOAD)
			continue; /* that one has its line */
		view_degraded_says(text, sizeof(text), view, what);
		printf("  %swarning  %s%s\n", colour("\033[33m"), text, colour("\033[0m"));
	}
}

/* Aligned on a terminal, with what room there is for the client; elsewhere with tabs, for cut(1) and awk(1). */
static void print_clients(const struct table_view *view)
{
	bool fleet = view->settings.cluster_per_ip != LIMIT_NONE;
	int room = output_width() - (fleet ? 59 : 49);
	int width = !terminal ? 0 : room < 16 ? 16 : room > 43 ? 43 : room;

	if (terminal)
		printf("  %s%-*s %8s %8s %8s %10s %8s%s%s\n", colour("\033[1m"), width, "CLIENT", "OPEN", "LIMIT", "PEAK",
		       "REFUSED", "OLDEST", fleet ? "   REMOTE" : "", colour("\033[0m"));
	else
		printf("CLIENT\tOPEN\tLIMIT\tPEAK\tREFUSED\tOLDEST%s\n", fleet ? "\tREMOTE" : "");
	for (size_t i = 0; i < view->clients; i++) {
		const struct client_view *client = &view->client[i];
		const struct client_facts *facts = &client->facts;
		char network[NETWORK_TEXT];
		char limit[LIMIT_TEXT];
		char oldest[SPAN_TEXT];
		bool full = facts->limit != LIMIT_NONE && facts->open >= facts->limit;

		network_format(network, &facts->network);
		view_limit(limit, facts->limit);
		view_span(oldest, client->oldest);
		if (!terminal)
			printf("%s\t%" PRIu32 "\t%s\t%" PRIu32 "\t%" PRIu64 "\t%" PRIu32, network, facts->open, limit,
			       facts->peak, facts->refused, client->oldest);
		else
			printf("  %s%-*s %8" PRIu32 " %8s %8" PRIu32 " %10" PRIu64 " %8s", colour(full ? "\033[33m" : ""),
			       width, network, facts->open, limit, facts->peak, facts->refused, facts->open > 0 ? oldest : "-");
		if (fleet)
			printf(terminal ? " %8" PRIu32 : "\t%" PRIu32, client->remote);
		printf("%s\n", colour("\033[0m"));
	}
}

static void print_table(const struct table_view *view)
{
	char span[SPAN_TEXT];

	view_span(span, view->uptime);
	printf("%stable %s%s\n", colour("\033[1m"), view->name, colour("\033[0m"));
	printf("  daemon   %s, started as pid %" PRIu32 ", %lu process%s, up %s%s\n", view->program, view->maker,
	       view->processes, view->processes == 1 ? "" : "es", span,
	       view->memory == MEMORY_ELSEWHERE	  ? ", in another IPC namespace (a container)"
	       : view->memory == MEMORY_ANONYMOUS ? ", in anonymous memory"
						  : "");
	print_settings(view);
	print_reload(view);
	print_fleet(view);
	printf("  open     %" PRIu64 " connections of at most %" PRIu32, view->open, view->capacity);
	if (view->covered >= 0)
		printf(", coverage %" PRId64 " of %" PRId64 " that the kernel has", view->covered, view->in_kernel);
	printf("\n");
	print_refusals(view);
	print_troubles(view);
	if (view->clients > 0)
		print_clients(view);
}

/* Said where there is nothing, or not everything, to show. */
static void print_hidden(bool none)
{
	uid_t owner;
	unsigned hidden = tables_hidden(&owner);

	if (none)
		printf("no daemon runs under connlimit\n");
	if (hidden > 0)
		fprintf(stderr, "connlimit: %u table%s of other users not shown: only they and root may read %s\n", hidden,
			hidden == 1 ? "" : "s", hidden == 1 ? "it" : "them");
}

static int show(const char *which, bool json, bool again)
{
	struct table_view *views;
	int number = views_gather(&views, which);

	if (number < 0)
		return STATUS_FAILED;
	if (number == 0 && which != NULL)
		return tables_none(which);
	if (again)
		printf("\033[H\033[2J");
	for (int i = 0; i < number && !json; i++) {
		if (i > 0)
			putchar('\n');
		print_table(&views[i]);
	}
	if (json)
		view_print_json(views, number);
	else if (which == NULL)
		print_hidden(number == 0);
	views_free(views, number);
	return output_end();
}

static void print_name(struct found *found, void *with)
{
	(void)with;
	printf("%s\n", found->name);
}

int command_status(int argc, char **argv)
{
	static const struct option options[] = {{"json", no_argument, NULL, 'j'},
						{"watch", optional_argument, NULL, 'w'},
						{"names", no_argument, NULL, 'n'},
						{"help", no_argument, NULL, 'h'},
						{0}};
	bool json = false;
	bool names = false;
	long seconds = 0;
	int option;

	while ((option = next_option(argc, argv, ":h", options)) != -1) {
		switch (option) {
		case 'j': json = true; break;
		case 'n': names = true; break;
		case 'w':
			seconds = 2;
			if (optarg != NULL && !number_argument(optarg, 1, 3600, &seconds))
				return usage_error("status", "--watch=%s: is not a number of seconds from 1 to 3600", optarg);
			break;
		case 'h': fputs(help, stdout); return output_end();
		default: return STATUS_USAGE;
		}
	}
	if (!arguments_within(argc, argv, 0, 1))
		return STATUS_USAGE;
	const char *which = optind < argc ? argv[optind] : NULL;
	if (names)
		return tables_visit(which, print_name, NULL) == 0 && which != NULL ? tables_none(which) : output_end();
	terminal = output_is_terminal();
	coloured = output_is_coloured();
	for (;;) {
		int status = show(which, json, seconds > 0 && coloured);
		if (seconds == 0 || status != 0)
			return status;
		poll(NULL, 0, (int)seconds * 1000);
	}
}
