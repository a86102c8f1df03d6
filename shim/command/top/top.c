/* connlimit top: who holds what, live, on a terminal. */
#include "command/command.h"
#include "command/disconnect.h"
#include "command/top/top_draw.h"

#include "values/clock.h"

#include <errno.h>
#include <locale.h>
#include <ncurses.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <term.h>
#include <unistd.h>

static const char help[] =
    "usage: connlimit top [--delay SECONDS] [TABLE | PID]\n"
    "\n"
    "Shows each limited daemon and its clients, live. Counts are compared with the\n"
    "kernel at each update. 'h' shows the keys: sort by any column, filter, list or\n"
    "end a client's connections.\n"
    "\n"
    "  --delay SECONDS  time between updates, 1 to 3600 (1); longer if slow\n"
    "\n"
    "Exit status: 0 done; 1 no such table, or no suitable terminal;\n"
    "2 called wrongly; 77 no such table among those that this user may read\n";

static volatile sig_atomic_t stopping;

static void on_stop(int signal)
{
	(void)signal;
	stopping = 1;
}

/* ---- looking ---- */

/* With a million clients, reading the tables takes a second or two, during which keys are not answered. So that this takes
 * less than a tenth of a CPU, it pauses afterwards for this many times the CPU time that was used. */
enum { LOOK_REST = 12 };

/* Of this process and of its readers, in us. */
static uint64_t used_cpu(void)
{
	uint64_t used = 0;
	struct rusage usage;

	for (int whose = RUSAGE_CHILDREN; whose <= RUSAGE_SELF; whose++)
		if (getrusage(whose, &usage) == 0)
			used += (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
				(uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
	return used;
}

static void look(struct top *top)
{
	struct tables tables;
	uint64_t before = used_cpu();

	if (!views_gather(&tables, top->which)) {
		snprintf(top->message, sizeof(top->message), "out of memory: this is out of date");
		top->next = clock_us() / 1000 + (uint64_t)top->delay * 1000;
		return;
	}
	/* The rows point to these views. */
	tables_free(&top->tables);
	top->tables = tables;
	if (!rows_make(&top->rows, tables.view, tables.number, top->networks, top->filter, false))
		snprintf(top->message, sizeof(top->message), "out of memory");
	rows_sort(&top->rows, top->sort, top->reversed);
	if (top->pane == PANE_CONNECTIONS && !top->asking) {
		connections_free(&top->connections);
		connections_find(&top->connections, &top->chosen_network, top->chosen_table);
	}
	uint64_t rest = (used_cpu() - before) / 1000 * LOOK_REST;
	uint64_t delay = (uint64_t)top->delay * 1000;
	top->next = clock_us() / 1000 + (rest > delay ? rest : delay);
}

static size_t length_of(const struct top *top)
{
	return top->pane == PANE_CONNECTIONS ? top->connections.number : top->rows.number;
}

/* Keeps the selection within the rows, and the window around the selection, whatever came, went or was resized. */
static void keep_in_view(struct top *top)
{
	size_t room = draw_room(top);
	size_t length = length_of(top);

	if (top->selected >= length)
		top->selected = length > 0 ? length - 1 : 0;
	if (top->pane == PANE_CONNECTIONS)
		top->offset = top->selected; /* nothing is selected then */
	else if (top->selected < top->offset)
		top->offset = top->selected;
	else if (room > 0 && top->selected >= top->offset + room)
		top->offset = top->selected - room + 1;
	if (top->offset + room > length)
		top->offset = length > room ? length - room : 0;
}

static void arrange(struct top *top)
{
	rows_make(&top->rows, top->tables.view, top->tables.number, top->networks, top->filter, true);
	rows_sort(&top->rows, top->sort, top->reversed);
}

/* ---- keys ---- */

static void sort_by(struct top *top, enum column column)
{
	if (!column_is_there(top, column))
		return;
	/* The same key again reverses the order. */
	top->reversed = top->sort == column && !top->reversed;
	top->sort = column;
	arrange(top);
}

static void sort_beside(struct top *top, int step)
{
	int column = (int)top->sort;

	do
		column = (column + step + COLUMNS) % COLUMNS;
	while (!column_is_there(top, (enum column)column));
	top->reversed = false;
	top->sort = (enum column)column;
	arrange(top);
}

/* Between clients and networks. The rates of what is shown then are not known until the next look. */
static void show_networks(struct top *top)
{
	bool any = false;

	for (int i = 0; i < top->tables.number; i++)
		any |= settings_count_networks(&top->tables.view[i].settings);
	if (!any && !top->networks) {
		snprintf(top->message, sizeof(top->message), "no daemon has a limit on networks (CONNLIMIT_PER_NETWORK)");
		return;
	}
	top->networks = !top->networks;
	top->selected = 0;
	top->rows.looked = 0;
	rows_make(&top->rows, top->tables.view, top->tables.number, top->networks, top->filter, false);
	rows_sort(&top->rows, top->sort, top->reversed);
}

static void type_filter(struct top *top, int key)
{
	size_t length = strlen(top->filter);

	if (key == '\n' || key == '\r' || key == KEY_ENTER) {
		top->typing = false;
	} else if (key == 27) {
		top->typing = false;
		top->filter[0] = '\0';
	} else if (key == KEY_BACKSPACE || key == 127 || key == '\b') {
		if (length > 0)
			top->filter[length - 1] = '\0';
	} else if (key > ' ' && key < 127 && length < FILTER_MOST) {
		top->filter[length] = (char)key;
		top->filter[length + 1] = '\0';
	}
	arrange(top);
}

static bool choose(struct top *top)
{
	if (top->selected >= top->rows.number)
		return false;
	const struct row *row = &top->rows.row[top->selected];
	if (row->client->facts.network.prefix == NETWORK_UID) {
		snprintf(top->message, sizeof(top->message), "connections on Unix sockets have no addresses");
		return false;
	}
	top->chosen_network = row->client->facts.network;
	memcpy(top->chosen_table, row->table->name, sizeof(top->chosen_table));
	return true;
}

static void find_connections(struct top *top)
{
	connections_free(&top->connections);
	connections_find(&top->connections, &top->chosen_network, top->chosen_table);
}

static void open_connections(struct top *top)
{
	if (top->pane != PANE_CLIENTS || !choose(top))
		return;
	top->pane = PANE_CONNECTIONS;
	top->selected = 0;
	top->offset = 0;
	find_connections(top);
}

static void ask_to_disconnect(struct top *top)
{
	char network[NETWORK_TEXT];

	if (top->pane == PANE_CLIENTS && !choose(top))
		return;
	find_connections(top);
	network_format(network, &top->chosen_network);
	top->asking = top->connections.number > 0;
	if (top->asking)
		snprintf(top->message, sizeof(top->message), "end the %zu connections of %s in table %.40s? y/n",
			 top->connections.number, network, top->chosen_table);
	else
		snprintf(top->message, sizeof(top->message), "%s has no open connection", network);
}

/* Ends the connections that were asked about, and none that came since. */
static void disconnect_chosen(struct top *top)
{
	char why[120];
	struct disconnected result;
	int status = disconnect_all(&top->connections, &(struct selection){0}, &result, why, sizeof(why));

	snprintf(top->message, sizeof(top->message), "%zu of %zu connections ended%s%s", result.ended, top->connections.number,
		 status != 0 ? ": " : "", status != 0 ? why : "");
}

static bool move_key(struct top *top, int key)
{
	size_t page = draw_room(top) > 0 ? draw_room(top) : 1;
	size_t last = length_of(top) > 0 ? length_of(top) - 1 : 0;

	switch (key) {
	case KEY_UP: top->selected -= top->selected > 0; break;
	case KEY_DOWN: top->selected += top->selected < last; break;
	case KEY_PPAGE: top->selected -= top->selected < page ? top->selected : page; break;
	case KEY_NPAGE: top->selected += last - top->selected < page ? last - top->selected : page; break;
	case KEY_HOME: top->selected = 0; break;
	case KEY_END: top->selected = last; break;
	default: return false;
	}
	return true;
}

/* Returns false to quit. */
static bool obey(struct top *top, int key)
{
	if (key == KEY_RESIZE)
		return true;
	top->message[0] = '\0';
	if (top->asking) {
		top->asking = false;
		if (key == 'y')
			disconnect_chosen(top);
		return true;
	}
	if (top->typing) {
		type_filter(top, key);
		return true;
	}
	if (top->pane == PANE_HELP) {
		top->pane = PANE_CLIENTS;
		return true;
	}
	if (key == 'q')
		return false;
	if (move_key(top, key))
		return true;
	if (key == 'k') {
		ask_to_disconnect(top);
		return true;
	}
	if (top->pane == PANE_CONNECTIONS) {
		if (key == 27 || key == KEY_LEFT || key == KEY_BACKSPACE || key == '\r') {
			top->pane = PANE_CLIENTS;
			top->selected = 0;
		}
		return true;
	}
	switch (key) {
	case 'h':
	case '?': top->pane = PANE_HELP; return true;
	case '/': top->typing = true; return true;
	case 'n': show_networks(top); return true;
	case ' ': top->paused = !top->paused; return true;
	case 27: top->filter[0] = '\0'; break;
	case 'R': top->reversed = !top->reversed; break;
	case '<': sort_beside(top, -1); return true;
	case '>': sort_beside(top, 1); return true;
	case '+': top->delay += top->delay < 3600; return true;
	case '-': top->delay -= top->delay > 1; return true;
	case 'L' - '@': clearok(curscr, TRUE); return true;
	case '\r':
	case '\n':
	case KEY_ENTER: open_connections(top); return true;
	default:
		for (enum column column = 0; column < COLUMNS; column++)
			if (key == column_key(column)) {
				sort_by(top, column);
				return true;
			}
		snprintf(top->message, sizeof(top->message), "that key does nothing; h shows those that do");
		return true;
	}
	arrange(top);
	return true;
}

/* Waits for a key, for a limited time. False if the terminal is gone. */
static bool wait_for_key(uint64_t milliseconds)
{
	struct pollfd terminal = {.fd = STDIN_FILENO, .events = POLLIN};

	if (poll(&terminal, 1, (int)milliseconds) <= 0)
		return true; /* a timeout or a signal; a resize is read as a key */
	return (terminal.revents & (POLLHUP | POLLERR | POLLNVAL)) == 0;
}

static void watch(struct top *top)
{
	while (!stopping) {
		uint64_t now = clock_us() / 1000;
		int key;
		bool any = false;

		if (now >= top->next && !top->paused)
			look(top);
		keep_in_view(top);
		draw(top);
		now = clock_us() / 1000;
		if (!wait_for_key(top->paused ? 3600000 : top->next > now ? top->next - now : 0))
			return;
		while (!stopping && (key = getch()) != ERR) {
			any = true;
			if (!obey(top, key))
				return;
			keep_in_view(top);
		}
		/* Readable without a key: the other end is closed. */
		struct pollfd terminal = {.fd = STDIN_FILENO, .events = POLLIN};
		char byte;
		if (!any && poll(&terminal, 1, 0) == 1 && (terminal.revents & POLLIN) != 0 && read(STDIN_FILENO, &byte, 1) <= 0)
			return;
	}
}

/* ---- the terminal ---- */

static int no_terminal(const char *why)
{
	fprintf(stderr, "connlimit top: %s; 'connlimit status --watch' needs no terminal\n", why);
	return STATUS_FAILED;
}

/* Checks whether the terminal can be used, and reports it before it is changed. */
static int examine_terminal(void)
{
	const char *name = getenv("TERM");
	char why[160];
	int error;

	if (isatty(STDIN_FILENO) != 1 || isatty(STDOUT_FILENO) != 1)
		return no_terminal("standard input and output must be a terminal");
	if (name == NULL || name[0] == '\0')
		return no_terminal("TERM is not set");
	if (setupterm(NULL, STDOUT_FILENO, &error) != OK)
		snprintf(why, sizeof(why), "TERM=%.60s is unknown here (terminfo(5))", name);
	else if (tigetstr("cup") == NULL || tigetstr("clear") == NULL)
		snprintf(why, sizeof(why), "TERM=%.60s has no addressable cursor", name);
	else
		return 0;
	return no_terminal(why);
}

static int run(struct top *top)
{
	struct sigaction action = {.sa_handler = on_stop};
	SCREEN *screen = newterm(NULL, stdout, stdin);

	if (screen == NULL)
		return no_terminal("this terminal cannot be set up");
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	cbreak();
	noecho();
	nonl();
	keypad(stdscr, TRUE);
	nodelay(stdscr, TRUE);
	set_escdelay(50);
	curs_set(0);
	draw_start();
	watch(top);
	endwin();
	delscreen(screen);
	return STATUS_DONE;
}

int command_top(int argc, char **argv)
{
	static const struct option options[] = {{"delay", required_argument, NULL, 'd'}, {"help", no_argument, NULL, 'h'}, {0}};
	struct top top = {.sort = COLUMN_OPEN, .delay = 1};
	int option;

	while ((option = next_option(argc, argv, ":d:h", options)) != -1) {
		switch (option) {
		case 'd':
			if (!number_argument(optarg, 1, 3600, &top.delay))
				return usage_error("top", "--delay: '%s' is not a number of seconds from 1 to 3600", optarg);
			break;
		case 'h': fputs(help, stdout); return output_end();
		default: return STATUS_USAGE;
		}
	}
	if (!arguments_within(argc, argv, 0, 1))
		return STATUS_USAGE;
	top.which = optind < argc ? argv[optind] : NULL;
	setlocale(LC_ALL, "");
	int status = examine_terminal();
	if (status != 0)
		return status;
	look(&top);
	status = top.tables.number == 0 && top.which != NULL ? tables_none(top.which) : run(&top);
	/* What was shown last, and what was not. */
	if (status == STATUS_DONE)
		status = tables_say_unread(&top.tables, top.which);
	rows_free(&top.rows);
	connections_free(&top.connections);
	tables_free(&top.tables);
	return status;
}
