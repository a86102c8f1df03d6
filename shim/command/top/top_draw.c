#include "command/top/top_draw.h"

#include <inttypes.h>
#include <ncurses.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PLAIN, GOOD, WARN, BAD, DIM }; /* colour pairs; 0 is the terminal's own */

static bool coloured;

void draw_start(void)
{
	const char *none = getenv("NO_COLOR");

	coloured = has_colors() && (none == NULL || none[0] == '\0');
	if (!coloured)
		return;
	start_color();
	use_default_colors();
	init_pair(GOOD, COLOR_GREEN, -1);
	init_pair(WARN, COLOR_YELLOW, -1);
	init_pair(BAD, COLOR_RED, -1);
	init_pair(DIM, COLOR_CYAN, -1);
}

static attr_t colour(int pair)
{
	return coloured ? (attr_t)COLOR_PAIR(pair) : A_NORMAL;
}

/* ---- columns ---- */

static const struct {
	const char *title;
	int width; /* without the gap before it; 0: what is left */
	int key;
	int goes; /* the narrower the screen, the more columns go: the highest first */
} columns[COLUMNS] = {
    [COLUMN_TABLE] = {"TABLE", 12, 't', 4}, [COLUMN_CLIENT] = {"CLIENT", 0, 'c', 0}, [COLUMN_OPEN] = {"OPEN", 6, 'o', 0},
    [COLUMN_LIMIT] = {"LIMIT", 6, 'l', 1},  [COLUMN_PEAK] = {"PEAK", 6, 'p', 5},     [COLUMN_REFUSED] = {"REFUSED", 9, 'r', 2},
    [COLUMN_RATE] = {"REF/S", 7, 's', 3},   [COLUMN_OLDEST] = {"OLDEST", 8, 'a', 4}, [COLUMN_REMOTE] = {"REMOTE", 7, 'm', 6},
};

enum { CLIENT_LEAST = 15, CLIENT_MOST = 43, BAR = 12 };

struct layout {
	bool shown[COLUMNS];
	int client; /* width */
	bool bar;
};

int column_key(enum column column)
{
	return columns[column].key;
}

bool column_is_there(const struct top *top, enum column column)
{
	if (column != COLUMN_REMOTE)
		return true;
	for (int i = 0; i < top->number; i++)
		if (top->views[i].settings.cluster_per_ip != LIMIT_NONE)
			return true;
	return false;
}

static struct layout lay_out(const struct top *top)
{
	struct layout layout = {0};
	int left = COLS;

	for (int goes = 7; goes >= 0; goes--) {
		left = COLS;
		for (enum column column = 0; column < COLUMNS; column++) {
			layout.shown[column] = columns[column].goes < goes && column_is_there(top, column);
			if (columns[column].goes == 0)
				layout.shown[column] = true;
			if (layout.shown[column])
				left -= columns[column].width + 1;
		}
		if (left >= CLIENT_LEAST)
			break;
	}
	layout.bar = left >= CLIENT_MOST / 2 + BAR + 1;
	if (layout.bar)
		left -= BAR + 1;
	layout.client = left < 1 ? 1 : left > CLIENT_MOST ? CLIENT_MOST : left;
	return layout;
}

/* ---- the daemons ---- */

/* At most a third of the screen. */
static int table_lines(const struct top *top)
{
	int most = LINES / 3 > 1 ? LINES / 3 : 1;

	return top->number < most ? top->number : most;
}

/* A sentence on what does not work, where there is room for it. */
static int warnings_of(const struct top *top, char text[][512], int most)
{
	int number = 0;

	for (int i = 0; i < top->number; i++)
		for (enum degraded what = 0; what < DEGRADEDS && number < most; what++) {
			char sentence[400];

			if (!view_degraded(&top->views[i], what))
				continue;
			view_degraded_says(sentence, sizeof(sentence), &top->views[i], what);
			snprintf(text[number++], 512, "%s: %s", top->views[i].name, sentence);
		}
	return number;
}

enum { WARNINGS_MOST = 3 };

static int warning_lines(const struct top *top)
{
	char text[WARNINGS_MOST][512];
	int most = LINES >= 20 ? WARNINGS_MOST : LINES >= 12 ? 1 : 0;

	return warnings_of(top, text, most);
}

static int first_row_line(const struct top *top)
{
	return 2 + table_lines(top) + warning_lines(top) + 2;
}

size_t draw_room(const struct top *top)
{
	int room = LINES - first_row_line(top) - 1;

	return room > 0 ? (size_t)room : 0;
}

/* Like printw at the start of a line, but never beyond the screen's edge. */
static void line(int at, attr_t attributes, const char *text)
{
	if (at >= LINES)
		return;
	attrset(attributes);
	mvaddnstr(at, 0, text, COLS);
	clrtoeol();
	attrset(A_NORMAL);
}

static void draw_head(const struct top *top)
{
	char text[256];
	char now[16] = "";
	time_t seconds = time(NULL);
	struct tm parts;
	uint64_t open = 0;
	uint64_t clients = 0;

	for (int i = 0; i < top->number; i++) {
		open += top->views[i].open;
		clients += top->views[i].clients;
	}
	if (localtime_r(&seconds, &parts) != NULL)
		strftime(now, sizeof(now), "%H:%M:%S", &parts);
	snprintf(text, sizeof(text),
		 "connlimit top  %s  %d daemon%s, %" PRIu64 " client%s, %" PRIu64 " open, %.1f refused/s  every %ld s%s", now,
		 top->number, top->number == 1 ? "" : "s", clients, clients == 1 ? "" : "s", open, top->rows.rate, top->delay,
		 top->paused ? "  PAUSED" : "");
	line(0, A_BOLD, text);
}

enum { WITH_PROCESS = 100 }; /* columns from which there is room for the daemon and its pid */

static void draw_tables(const struct top *top)
{
	char text[256];
	char daemon[40] = "";

	if (COLS >= WITH_PROCESS)
		snprintf(daemon, sizeof(daemon), "%-10s %7s ", "DAEMON", "PID");
	snprintf(text, sizeof(text), "%-12s %s%8s %13s %6s %8s %9s %9s %s", "TABLE", daemon, "UP", "OPEN", "LIMIT", "AT LIMIT",
		 "REFUSED", "COVERAGE", "MODE");
	line(1, A_UNDERLINE, text);
	for (int i = 0; i < table_lines(top); i++) {
		const struct table_view *view = &top->views[i];
		char up[SPAN_TEXT];
		char limit[LIMIT_TEXT];
		char coverage[48] = "-";
		char open[48];
		bool bad = view_degraded(view, DEGRADED_UNCOVERED) || view->failed >= 0;

		view_span(up, view->uptime);
		view_limit(limit, view->settings.per_ip);
		snprintf(open, sizeof(open), "%" PRIu64 "/%" PRIu32, view->open, view->capacity);
		if (view->covered >= 0)
			snprintf(coverage, sizeof(coverage), "%" PRId64 "/%" PRId64, view->covered, view->in_kernel);
		if (COLS >= WITH_PROCESS)
			snprintf(daemon, sizeof(daemon), "%-10.10s %7" PRIu32 " ", view->program, view->maker);
		snprintf(text, sizeof(text), "%-12.12s %s%8s %13s %6s %8" PRIu64 " %9" PRIu64 " %9s %s", view->name, daemon, up,
			 open, limit, view->at_limit, view->refused, coverage, view_mode(view->settings.mode));
		line(2 + i, bad ? colour(BAD) : view->settings.mode != MODE_ENFORCE ? colour(WARN) : A_NORMAL, text);
	}
}

static void draw_warnings(const struct top *top)
{
	char text[WARNINGS_MOST][512];
	int number = warnings_of(top, text, warning_lines(top));

	for (int i = 0; i < number; i++)
		line(2 + table_lines(top) + i, colour(WARN), text[i]);
}

/* ---- the clients ---- */

static void put(int *at, int y, int width, bool left, const char *text, attr_t attributes)
{
	if (*at > 0)
		(*at)++;
	if (*at >= COLS)
		return;
	attron(attributes);
	mvprintw(y, *at, left ? "%-*.*s" : "%*.*s", width, width, text);
	attroff(attributes);
	*at += width;
}

static void draw_titles(const struct top *top, const struct layout *layout, int y)
{
	int at = 0;

	attrset(A_REVERSE);
	mvhline(y, 0, ' ', COLS);
	for (enum column column = 0; column < COLUMNS; column++) {
		bool left = column == COLUMN_TABLE || column == COLUMN_CLIENT;

		if (!layout->shown[column])
			continue;
		put(&at, y, column == COLUMN_CLIENT ? layout->client : columns[column].width, left, columns[column].title,
		    column == top->sort ? A_BOLD | A_UNDERLINE : A_NORMAL);
	}
	attrset(A_NORMAL);
}

/* How much of its limit the client uses, as a bar. */
static void draw_bar(int at, int y, const struct client_facts *facts, int pair)
{
	if (facts->limit == LIMIT_NONE || facts->limit == 0 || at + 1 + BAR > COLS)
		return;
	uint64_t full = (uint64_t)facts->open * BAR / facts->limit;
	int length = full > BAR ? BAR : full == 0 && facts->open > 0 ? 1 : (int)full;

	if (coloured) {
		attrset(colour(pair) | A_REVERSE);
		mvhline(y, at + 1, ' ', length);
	} else {
		mvhline(y, at + 1, '#', length);
	}
	attrset(A_NORMAL);
}

static void format_cell(char *text, size_t size, const struct row *row, enum column column)
{
	const struct client_facts *facts = &row->client->facts;
	char span[SPAN_TEXT];
	char limit[LIMIT_TEXT];

	switch (column) {
	case COLUMN_TABLE: snprintf(text, size, "%s", row->table->name); break;
	case COLUMN_CLIENT: network_format(text, &facts->network); break;
	case COLUMN_OPEN: snprintf(text, size, "%" PRIu32, facts->open); break;
	case COLUMN_LIMIT:
		view_limit(limit, facts->limit);
		snprintf(text, size, "%s", limit);
		break;
	case COLUMN_PEAK: snprintf(text, size, "%" PRIu32, facts->peak); break;
	case COLUMN_REFUSED: snprintf(text, size, "%" PRIu64, facts->refused); break;
	case COLUMN_RATE: snprintf(text, size, row->rate >= 100 ? "%.0f" : "%.1f", row->rate); break;
	case COLUMN_OLDEST:
		view_span(span, row->client->oldest);
		snprintf(text, size, "%s", facts->open > 0 ? span : "-");
		break;
	case COLUMN_REMOTE: snprintf(text, size, "%" PRIu32, row->client->remote); break;
	case COLUMNS: text[0] = '\0'; break;
	}
}

static void draw_row(const struct row *row, const struct layout *layout, int y, bool selected)
{
	const struct client_facts *facts = &row->client->facts;
	bool full = facts->open > 0 && facts->limit != LIMIT_NONE && facts->open >= facts->limit;
	bool near =
	    !full && facts->limit != LIMIT_NONE && facts->limit > 0 && facts->open >= facts->limit / 5 * 4 && facts->limit >= 5;
	int pair = row->rate > 0 || full ? (row->rate > 0 ? BAD : WARN) : near ? WARN : GOOD;
	attr_t attributes = (full || row->rate > 0 ? colour(pair) : A_NORMAL) | (row->rate > 0 ? A_BOLD : A_NORMAL);
	char text[NETWORK_TEXT + TABLE_NAME_MOST];
	int at = 0;

	attrset(selected ? A_REVERSE | attributes : attributes);
	mvhline(y, 0, ' ', COLS);
	for (enum column column = 0; column < COLUMNS; column++) {
		if (!layout->shown[column])
			continue;
		format_cell(text, sizeof(text), row, column);
		put(&at, y, column == COLUMN_CLIENT ? layout->client : columns[column].width,
		    column == COLUMN_TABLE || column == COLUMN_CLIENT, text, A_NORMAL);
	}
	attrset(A_NORMAL);
	if (layout->bar && !selected)
		draw_bar(at, y, facts, pair);
}

static void draw_clients(const struct top *top)
{
	struct layout layout = lay_out(top);
	int first = first_row_line(top);
	size_t room = draw_room(top);

	draw_titles(top, &layout, first - 1);
	for (size_t i = 0; i < room && top->offset + i < top->rows.number; i++)
		draw_row(&top->rows.row[top->offset + i], &layout, first + (int)i, top->offset + i == top->selected);
	if (top->rows.number == 0 && room > 0)
		line(first, colour(DIM),
		     top->number == 0 && top->which != NULL ? "that table is gone; waiting for it"
		     : top->number == 0			    ? "no daemon runs under connlimit; waiting for one"
		     : top->rows.left_out > 0		    ? "no client passes the filter"
							    : "no client is connected");
}

/* ---- one client's connections, and help ---- */

static void draw_connections(const struct top *top)
{
	char network[NETWORK_TEXT];
	char text[256];
	int first = first_row_line(top);

	network_format(network, &top->chosen_network);
	snprintf(text, sizeof(text), "%s in table %s: %zu connections, the oldest first", network, top->chosen_table,
		 top->connections.number);
	line(first - 2, A_BOLD, text);
	attrset(A_REVERSE);
	mvhline(first - 1, 0, ' ', COLS);
	attrset(A_NORMAL);
	snprintf(text, sizeof(text), "%-28s %5s  %-28s %5s %8s %8s", "CLIENT", "PORT", "LOCAL", "PORT", "AGE", "PID");
	line(first - 1, A_REVERSE, text);
	for (size_t i = 0; i < draw_room(top) && top->offset + i < top->connections.number; i++) {
		const struct client_connection *one = &top->connections.connection[top->offset + i];
		char peer[ADDRESS_TEXT];
		char local[ADDRESS_TEXT];
		char age[SPAN_TEXT];

		address_format(peer, &one->connection.peer.address);
		connection_local_text(local, &one->connection);
		view_span(age, one->age);
		snprintf(text, sizeof(text), "%-28s %5u  %-28s %5u %8s %8" PRIu32, peer, one->connection.peer.port, local,
			 one->connection.local.port, age, one->pid);
		line(first + (int)i, A_NORMAL, text);
	}
}

static void draw_help(void)
{
	static const char *const text[] = {
	    "connlimit top: who holds what, live. Counts are compared with the kernel each time.",
	    "",
	    "  o l p r s a   sort by OPEN, LIMIT, PEAK, REFUSED, refusals a Second, Age of the oldest",
	    "  c t m         sort by CLIENT, by TABLE, by what other Machines hold",
	    "  < >           sort by the column to the left, to the right",
	    "  R             the other way round",
	    "  /             show only clients or tables with this text; Enter keeps it, Esc clears it",
	    "  arrows, PgUp, PgDn, Home, End   move",
	    "  Enter         the selected client's connections; Esc goes back",
	    "  k             end the selected client's connections, after a question",
	    "  + -           look more rarely, more often",
	    "  space         stop and go on;  Ctrl-L draws anew",
	    "  h ?           this;  q quits",
	    "",
	    "  Yellow: at its limit, or close. Red: refused since the last look; of a daemon: a failed",
	    "  reload, or connections that are not counted.",
	    "",
	    "  any key goes back",
	};

	for (size_t i = 0; i < sizeof(text) / sizeof(text[0]); i++)
		line((int)i, i == 0 ? A_BOLD : A_NORMAL, text[i]);
}

static void draw_foot(const struct top *top)
{
	char text[256];

	if (LINES < 3)
		return;
	if (top->typing)
		snprintf(text, sizeof(text), "filter: %s_", top->filter);
	else if (top->message[0] != '\0')
		snprintf(text, sizeof(text), "%s", top->message);
	else if (top->pane == PANE_CONNECTIONS)
		snprintf(text, sizeof(text), "Esc back   k end them   q quit");
	else
		snprintf(text, sizeof(text),
			 "q quit   h help   / filter   < > sort   R reverse   Enter connections   k end%s%s",
			 top->filter[0] != '\0' ? "   filter: " : "", top->filter);
	line(LINES - 1, top->typing ? A_BOLD : colour(DIM), text);
}

void draw(const struct top *top)
{
	erase();
	if (top->pane == PANE_HELP) {
		draw_help();
	} else {
		draw_head(top);
		draw_tables(top);
		draw_warnings(top);
		if (top->pane == PANE_CONNECTIONS)
			draw_connections(top);
		else
			draw_clients(top);
		draw_foot(top);
	}
	move(LINES - 1, 0);
	refresh();
}
