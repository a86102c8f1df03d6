/* connlimit status: every table on this machine that we may read, and its clients. Counts are first compared with the kernel;
 * nothing is written to a table. */
#include "command/command.h"
#include "command/tables.h"
#include "command/view.h"
#include "command/view_json.h"

#include "table/bans.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "usage: connlimit status [OPTION]... [TABLE | PID]\n"
    "\n"
    "Shows each limited daemon: its limits and where they came from, its counts and\n"
    "refusals, its clients, and what does not work as it should. Counts are compared\n"
    "with the kernel first.\n"
    "\n"
    "  --json             for programs; connlimit(1) says what is in it\n"
    "  --compact          JSON on one line\n"
    "  --watch [SECONDS]  repeat every SECONDS, 1 to 3600 (2); a PID must be given\n"
    "                     before it\n"
    "  --names            only the tables' names, one per line\n"
    "  --networks         the clients' networks instead of the clients, if there is a\n"
    "                     limit on them (JSON always has both)\n"
    "\n"
    "On a terminal, columns are aligned and coloured (no colours if NO_COLOR is set),\n"
    "and fit into COLUMNS, if set. Elsewhere a client's fields are separated by tabs.\n"
    "\n"
    "Exit status: 0 done; 1 no such table, or it cannot be done; 2 called wrongly;\n"
    "77 no such table among those that this user may read\n";

static bool terminal;
static bool coloured;
static bool of_networks; /* networks are shown in place of clients */

static const char *colour(const char *code)
{
	return coloured ? code : "";
}

/* Prints what applies, in one line, and then what was set and where. Defaults are left out. */
static void print_settings(const struct table_view *view)
{
	const struct settings *settings = &view->settings;
	char limit[LIMIT_TEXT];
	char value[256];
	/* A value that does not fit the line is truncated and ends with dots; JSON has all of it. */
	int room = terminal ? output_width() - 55 : 180;
	room = room < 20 ? 20 : room > 180 ? 180 : room;

	view_limit(limit, settings->per_ip);
	printf("  limit    %s per client", limit);
	printf(" (%s; IPv4 /%u, IPv6 /%u)", view_origin(settings->origin[SETTING_PER_IP]), settings->ipv4_prefix,
	       settings->ipv6_prefix);
	if (settings_count_networks(settings)) {
		view_limit(limit, settings->per_network);
		printf(", %s per network (%s; IPv4 /%u, IPv6 /%u)", limit, view_origin(settings->origin[SETTING_PER_NETWORK]),
		       settings->network_ipv4_prefix, settings->network_ipv6_prefix);
	}
	printf(", mode %s (%s)\n", view_mode(settings->mode), view_origin(settings->origin[SETTING_MODE]));
	for (int id = 0; id < SETTINGS; id++) {
		if (settings->origin[id] == FROM_DEFAULT)
			continue;
		settings_format(value, sizeof(value), settings, (enum setting_id)id);
		int length = (int)strlen(value);
		printf("  setting  CONNLIMIT_%s=%.*s%s (%s)\n", settings_table[id].name, length > room ? room : length, value,
		       length > room ? "..." : "", view_origin(settings->origin[id]));
	}
}

/* A reload replaces what connlimit set changed. */
static bool was_set(const struct settings *settings)
{
	bool any = false;

	for (int id = 0; id < SETTINGS; id++)
		any |= settings->origin[id] == FROM_COMMAND;
	return any;
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
	} else if (was_set(&view->settings)) {
		view_span(span, view->published > 0 ? (uint64_t)view->published : 0);
		printf("  reload   none since connlimit set, %s ago\n", span);
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
	printf("  fleet    in step, heard %s ago by connlimit sync, pid %" PRIu32 ", valid for %" PRIu64 ".%" PRIu64
	       " s; other machines hold %" PRIu64 "\n",
	       span, view->sidecar, view->lease / 1000, view->lease % 1000 / 100, view->remote);
	if (view->fleet_mended != 0)
		printf("           %" PRIu64 " counts in Redis differed from what was sent, and were corrected\n",
		       view->fleet_mended);
}

static void print_refusals(const struct table_view *view)
{
	const char *divider = " (";

	printf("  refused  %" PRIu64, view->refused);
	if (view->observed != 0)
		printf(", would have refused %" PRIu64 " in mode enforce", view->observed);
	for (unsigned reason = REFUSED_NOT + 1; reason < REASONS; reason++) {
		if (view->refused_for[reason] == 0)
			continue;
		printf("%s%s %" PRIu64, divider, refusal_reason_word(reason), view->refused_for[reason]);
		divider = ", ";
	}
	printf("%s\n", divider[0] == ',' ? ")" : "");
	if (view->banned != 0 || view->bans != 0)
		printf("  banned   %" PRIu64 " client%s, of %" PRIu64 " bans so far\n", view->banned,
		       view->banned == 1 ? "" : "s", view->bans);
	if (view->checks != 0)
		printf("  checks   %" PRIu64 " before refusals by %s, %" PRIu64 " us each; gone %" PRIu64 ", mended %" PRIu64
		       "\n",
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
			continue; /* this one has its own line */
		view_degraded_says(text, sizeof(text), view, what);
		printf("  %swarning  %s%s\n", colour("\033[33m"), text, colour("\033[0m"));
	}
}

/* ---- clients: a table, aligned on a terminal; elsewhere separated by tabs, for cut(1) and awk(1) ---- */

/* In this order; optional columns come last. */
enum cell {
	CELL_CLIENT,
	CELL_OPEN,
	CELL_LIMIT,
	CELL_PEAK,
	CELL_REFUSED,
	CELL_OLDEST,
	CELL_REMOTE,
	CELL_OBSERVED,
	CELL_BANNED,
	CELLS
};

struct cells {
	char text[CELLS][NETWORK_TEXT];
};

struct columns {
	bool shown[CELLS];
	int width[CELLS];
};

static const char *const titles[CELLS] = {"CLIENT", "OPEN",   "LIMIT",	  "PEAK",  "REFUSED",
					  "OLDEST", "REMOTE", "OBSERVED", "BANNED"};

static const char *title_of(enum cell cell)
{
	return of_networks && cell == CELL_CLIENT ? "NETWORK" : titles[cell];
}

static void fill_cells(struct cells *cells, const struct client_view *client)
{
	const struct client_facts *facts = &client->facts;

	network_format(cells->text[CELL_CLIENT], &facts->network);
	snprintf(cells->text[CELL_OPEN], NETWORK_TEXT, "%" PRIu32, facts->open);
	view_limit(cells->text[CELL_LIMIT], facts->limit);
	snprintf(cells->text[CELL_PEAK], NETWORK_TEXT, "%" PRIu32, facts->peak);
	snprintf(cells->text[CELL_REFUSED], NETWORK_TEXT, "%" PRIu64, facts->refused);
	if (!terminal)
		snprintf(cells->text[CELL_OLDEST], NETWORK_TEXT, "%" PRIu32, client->oldest);
	else if (facts->open > 0)
		view_span(cells->text[CELL_OLDEST], client->oldest);
	else
		strcpy(cells->text[CELL_OLDEST], "-");
	snprintf(cells->text[CELL_REMOTE], NETWORK_TEXT, "%" PRIu32, client->remote);
	snprintf(cells->text[CELL_OBSERVED], NETWORK_TEXT, "%" PRIu64, facts->observed);
	if (terminal || facts->banned == BAN_FOREVER)
		view_ban(cells->text[CELL_BANNED], facts->banned);
	else
		snprintf(cells->text[CELL_BANNED], NETWORK_TEXT, "%" PRIu32, facts->banned);
}

static int width_of(const struct columns *columns)
{
	int width = 1;

	for (int cell = 0; cell < CELLS; cell++)
		width += columns->shown[cell] ? 1 + columns->width[cell] : 0;
	return width;
}

/* Columns are as wide as their contents. If the screen is too narrow, ages are left out, then peaks; nothing is truncated. */
static void lay_out(struct columns *columns, const struct table_view *view)
{
	size_t number;
	const struct client_view *client = view_clients(view, of_networks, &number);
	struct cells cells;

	for (enum cell cell = 0; cell < CELLS; cell++) {
		columns->shown[cell] = true;
		columns->width[cell] = (int)strlen(title_of(cell));
	}
	columns->shown[CELL_REMOTE] = !of_networks && view->settings.cluster_per_ip != LIMIT_NONE;
	columns->shown[CELL_OBSERVED] = view->observed != 0;
	columns->shown[CELL_BANNED] = view->banned != 0;
	if (!terminal)
		return;
	for (size_t i = 0; i < number; i++) {
		fill_cells(&cells, &client[i]);
		for (int cell = 0; cell < CELLS; cell++) {
			int length = (int)strlen(cells.text[cell]);
			columns->width[cell] = length > columns->width[cell] ? length : columns->width[cell];
		}
	}
	if (width_of(columns) > output_width())
		columns->shown[CELL_OLDEST] = false;
	if (width_of(columns) > output_width())
		columns->shown[CELL_PEAK] = false;
}

static void print_cell(const struct columns *columns, enum cell cell, const char *text)
{
	if (!columns->shown[cell])
		return;
	if (!terminal)
		printf("%s%s", cell == CELL_CLIENT ? "" : "\t", text);
	else
		printf(cell == CELL_CLIENT ? "%-*s" : " %*s", columns->width[cell], text);
}

static void print_clients(const struct table_view *view)
{
	size_t number;
	const struct client_view *client = view_clients(view, of_networks, &number);
	struct columns columns;
	struct cells cells;

	if (number == 0)
		return;
	lay_out(&columns, view);
	printf("%s%s", terminal ? "  " : "", colour("\033[1m"));
	for (enum cell cell = 0; cell < CELLS; cell++)
		print_cell(&columns, cell, title_of(cell));
	printf("%s\n", colour("\033[0m"));
	for (size_t i = 0; i < number; i++) {
		const struct client_facts *facts = &client[i].facts;
		bool full = facts->limit != LIMIT_NONE && facts->open >= facts->limit;

		fill_cells(&cells, &client[i]);
		printf("%s%s", terminal ? "  " : "", colour(facts->banned != 0 ? "\033[31m" : full ? "\033[33m" : ""));
		for (enum cell cell = 0; cell < CELLS; cell++)
			print_cell(&columns, cell, cells.text[cell]);
		printf("%s\n", colour("\033[0m"));
	}
}

static void print_table(const struct table_view *view)
{
	char owner[USER_TEXT];
	char span[SPAN_TEXT];

	view_span(span, view->uptime);
	printf("%stable %s%s\n", colour("\033[1m"), view->name, colour("\033[0m"));
	printf("  daemon   %s, started as pid %" PRIu32 ", %lu process%s, up %s%s\n", view->program, view->maker,
	       view->place.processes, view->place.processes == 1 ? "" : "es", span,
	       view->place.memory == MEMORY_ELSEWHERE	? ", in another IPC namespace (a container)"
	       : view->place.memory == MEMORY_ANONYMOUS ? ", in anonymous memory"
							: "");
	if (view->place.owner != geteuid()) {
		user_text(owner, view->place.owner);
		printf("  user     %s\n", owner);
	}
	print_settings(view);
	print_reload(view);
	print_fleet(view);
	printf("  open     %" PRIu64 " connections of at most %" PRIu32, view->open, view->capacity);
	if (view->covered >= 0)
		printf(", coverage %" PRId64 " of %" PRId64 " that the kernel has", view->covered, view->in_kernel);
	printf("\n");
	print_refusals(view);
	print_troubles(view);
	print_clients(view);
}

static int print_names(const char *which)
{
	char called[QUALIFIED_TEXT];
	struct tables tables;

	if (!tables_read(&tables, &(struct wanted){.which = which}))
		return STATUS_FAILED;
	for (int i = 0; i < tables.number; i++)
		if (tables_call(called, &tables, i))
			printf("%s\n", called);
	int status = tables_say_unread(&tables, which);
	if (tables.number == 0 && which != NULL)
		status = tables_none(which);
	tables_free(&tables);
	int ended = output_end();
	return status != STATUS_DONE ? status : ended;
}

static int show(const char *which, enum json json, bool again)
{
	struct tables tables;

	if (!views_gather(&tables, which))
		return STATUS_FAILED;
	views_sort(&tables);
	if (again)
		printf("\033[H\033[2J");
	for (int i = 0; i < tables.number && json == JSON_NONE; i++) {
		if (i > 0)
			putchar('\n');
		print_table(&tables.view[i]);
	}
	int status = tables_say_unread(&tables, which);
	if (tables.number == 0 && which != NULL)
		status = tables_none(which);
	else if (json != JSON_NONE)
		view_print_json(&tables, json);
	else if (tables.number == 0)
		printf("no daemon%s runs under connlimit\n", tables.hidden > 0 ? " of yours" : "");
	tables_free(&tables);
	int ended = output_end();
	return status != STATUS_DONE ? status : ended;
}

int command_status(int argc, char **argv)
{
	static const struct option options[] = {{"json", no_argument, NULL, 'j'},
						{"compact", no_argument, NULL, 'c'},
						{"watch", optional_argument, NULL, 'w'},
						{"names", no_argument, NULL, 'n'},
						{"networks", no_argument, NULL, 'N'},
						{"help", no_argument, NULL, 'h'},
						{0}};
	enum json json = JSON_NONE;
	bool names = false;
	long seconds = 0;
	int option;

	while ((option = next_option(argc, argv, ":h", options)) != -1) {
		switch (option) {
		case 'j': json = json == JSON_NONE ? JSON_INDENTED : json; break;
		case 'c': json = JSON_COMPACTED; break;
		case 'n': names = true; break;
		case 'N': of_networks = true; break;
		case 'w':
			seconds = 2;
			/* Accepts "--watch 5" as well as "--watch=5": getopt_long does not do this for optional arguments. */
			if (optarg == NULL && optind < argc && argv[optind][strspn(argv[optind], "0123456789")] == '\0')
				optarg = argv[optind++];
			if (optarg != NULL && !number_argument(optarg, 1, 3600, &seconds))
				return usage_error("status", "--watch: '%s' is not a number of seconds from 1 to 3600%s",
						   optarg, optarg == argv[optind - 1] ? "; a PID goes before --watch" : "");
			break;
		case 'h': fputs(help, stdout); return output_end();
		default: return STATUS_USAGE;
		}
	}
	if (!arguments_within(argc, argv, 0, 1))
		return STATUS_USAGE;
	const char *which = optind < argc ? argv[optind] : NULL;
	if (names)
		return print_names(which);
	terminal = output_is_terminal();
	coloured = output_is_coloured();
	for (;;) {
		int status = show(which, json, seconds > 0 && coloured && json == JSON_NONE);
		if (seconds == 0 || status != 0)
			return status;
		poll(NULL, 0, (int)seconds * 1000);
	}
}
