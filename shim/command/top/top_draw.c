#include "command/top/top_draw.h"

#include "command/top/top_grid.h"

#include <inttypes.h>
#include <ncurses.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PLAIN, GOOD, WARN, BAD, DIM }; /* colour pairs; 0 is the terminal's default */

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

static const struct grid_column columns[COLUMNS] = {
    [COLUMN_TABLE] = {"TABLE", true, 5},    [COLUMN_CLIENT] = {"CLIENT", true, 0},
    [COLUMN_OPEN] = {"OPEN", false, 0},	    [COLUMN_LIMIT] = {"LIMIT", false, 1},
    [COLUMN_PEAK] = {"PEAK", false, 6},	    [COLUMN_REFUSED] = {"REFUSED", false, 2},
    [COLUMN_RATE] = {"REF/S", false, 3},    [COLUMN_OBSERVED] = {"OBSERVED", false, 4},
    [COLUMN_OLDEST] = {"OLDEST", false, 7}, [COLUMN_REMOTE] = {"REMOTE", false, 8},
    [COLUMN_BANNED] = {"BANNED", false, 9},
};

static const struct grid_column *columns_of(const struct top *top)
{
	static struct grid_column of_networks[COLUMNS];

	if (!top->networks)
		return columns;
	memcpy(of_networks, columns, sizeof(columns));
	of_networks[COLUMN_CLIENT].title = "NETWORK";
	return of_networks;
}

static const int keys[COLUMNS] = {
    [COLUMN_TABLE] = 't',  [COLUMN_CLIENT] = 'c',  [COLUMN_OPEN] = 'o',	  [COLUMN_LIMIT] = 'l',
    [COLUMN_PEAK] = 'p',   [COLUMN_REFUSED] = 'r', [COLUMN_RATE] = 's',	  [COLUMN_OBSERVED] = 'w',
    [COLUMN_OLDEST] = 'a', [COLUMN_REMOTE] = 'm',  [COLUMN_BANNED] = 'b',
};

enum { BAR = 12 };

int column_key(enum column column)
{
	return keys[column];
}

bool column_is_there(const struct top *top, enum column column)
{
	bool there = column != COLUMN_REMOTE && column != COLUMN_OBSERVED && column != COLUMN_BANNED;

	if (column == COLUMN_REMOTE && top->networks)
		return false;
	for (int i = 0; i < top->tables.number; i++)
		there |= column == COLUMN_REMOTE     ? top->tables.view[i].settings.cluster_per_ip != LIMIT_NONE
			 : column == COLUMN_OBSERVED ? top->tables.view[i].observed != 0
			 : column == COLUMN_BANNED   ? top->tables.view[i].banned != 0
						     : true;
	return there;
}

/* ---- the daemons ---- */

/* At most a third of the screen. */
static int table_lines(const struct top *top)
{
	int most = LINES / 3 > 1 ? LINES / 3 : 1;

	return top->tables.number < most ? top->tables.number : most;
}

/* Warnings about what does not work, if there is room for them. */
static int warnings_of(const struct top *top, char text[][512], int most)
{
	int number = 0;

	for (int i = 0; i < top->tables.number; i++)
		for (enum degraded what = 0; what < DEGRADEDS && number < most; what++) {
			char sentence[400];

			if (!view_degraded(&top->tables.view[i], what))
				continue;
			view_degraded_says(sentence, sizeof(sentence), &top->tables.view[i], what);
			snprintf(text[number++], 512, "%s: %s", top->tables.view[i].name, sentence);
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

static void draw_head(const struct top *top)
{
	char text[256];
	char now[16] = "";
	time_t seconds = time(NULL);
	struct tm parts;
	uint64_t open = 0;
	uint64_t clients = 0;
	char others[32] = "";
	unsigned not_shown = (unsigned)top->tables.unreads + (top->which == NULL ? top->tables.hidden : 0);

	if (not_shown > 0)
		snprintf(others, sizeof(others), " (%u not shown)", not_shown);
	for (int i = 0; i < top->tables.number; i++) {
		open += top->tables.view[i].open;
		clients += top->tables.view[i].clients;
	}
	if (localtime_r(&seconds, &parts) != NULL)
		strftime(now, sizeof(now), "%H:%M:%S", &parts);
	snprintf(text, sizeof(text),
		 "connlimit top  %s  %d daemon%s%s, %" PRIu64 " client%s, %" PRIu64 " open, %.1f refused/s  every %ld s%s", now,
		 top->tables.number, top->tables.number == 1 ? "" : "s", others, clients, clients == 1 ? "" : "s", open,
		 top->rows.rate, top->delay, top->paused ? "  PAUSED" : "");
	grid_line(0, A_BOLD, text);
}

enum table_column {
	TABLE_NAME,
	TABLE_DAEMON,
	TABLE_PID,
	TABLE_UP,
	TABLE_OPEN,
	TABLE_LIMIT,
	TABLE_FULL,
	TABLE_REFUSED,
	TABLE_COVERAGE,
	TABLE_MODE,
	TABLE_COLUMNS
};

static const struct grid_column table_columns[TABLE_COLUMNS] = {
    [TABLE_NAME] = {"TABLE", true, 0},	   [TABLE_DAEMON] = {"DAEMON", true, 7},    [TABLE_PID] = {"PID", false, 8},
    [TABLE_UP] = {"UP", false, 5},	   [TABLE_OPEN] = {"OPEN", false, 0},	    [TABLE_LIMIT] = {"LIMIT", false, 1},
    [TABLE_FULL] = {"AT LIMIT", false, 6}, [TABLE_REFUSED] = {"REFUSED", false, 2}, [TABLE_COVERAGE] = {"COVERAGE", false, 4},
    [TABLE_MODE] = {"MODE", true, 3},
};

static void table_cell(char text[GRID_TEXT], const struct table_view *view, enum table_column column)
{
	switch (column) {
	case TABLE_NAME: snprintf(text, GRID_TEXT, "%s", view->name); break;
	case TABLE_DAEMON: snprintf(text, GRID_TEXT, "%.*s", GRID_TEXT - 1, view->program); break;
	case TABLE_PID: snprintf(text, GRID_TEXT, "%" PRIu32, view->maker); break;
	case TABLE_UP: view_span(text, view->uptime); break;
	case TABLE_OPEN: snprintf(text, GRID_TEXT, "%" PRIu64 "/%" PRIu32, view->open, view->capacity); break;
	case TABLE_LIMIT: view_limit(text, view->settings.per_ip); break;
	case TABLE_FULL: snprintf(text, GRID_TEXT, "%" PRIu64, view->at_limit); break;
	case TABLE_REFUSED: snprintf(text, GRID_TEXT, "%" PRIu64, view->refused); break;
	case TABLE_COVERAGE:
		if (view->covered >= 0)
			snprintf(text, GRID_TEXT, "%" PRId64 "/%" PRId64, view->covered, view->in_kernel);
		else
			strcpy(text, "-");
		break;
	case TABLE_MODE: snprintf(text, GRID_TEXT, "%s", view_mode(view->settings.mode)); break;
	case TABLE_COLUMNS: text[0] = '\0'; break;
	}
}

static void draw_tables(const struct top *top)
{
	struct grid grid = grid_begin(table_columns, TABLE_COLUMNS);
	char text[GRID_TEXT];

	for (int i = 0; i < table_lines(top); i++)
		for (enum table_column column = 0; column < TABLE_COLUMNS; column++) {
			table_cell(text, &top->tables.view[i], column);
			grid_widen(&grid, column, text);
		}
	grid_lay_out(&grid, COLS);
	grid_titles(&grid, 1, A_UNDERLINE, -1);
	for (int i = 0; i < table_lines(top); i++) {
		const struct table_view *view = &top->tables.view[i];
		bool bad = view_degraded(view, DEGRADED_UNCOVERED) || view->failed >= 0;

		attrset(bad ? colour(BAD) : view->settings.mode != MODE_ENFORCE ? colour(WARN) : A_NORMAL);
		for (enum table_column column = 0; column < TABLE_COLUMNS; column++) {
			table_cell(text, view, column);
			grid_put(&grid, 2 + i, column, text);
		}
		attrset(A_NORMAL);
	}
}

static void draw_warnings(const struct top *top)
{
	char text[WARNINGS_MOST][512];
	int number = warnings_of(top, text, warning_lines(top));

	for (int i = 0; i < number; i++)
		grid_line(2 + table_lines(top) + i, colour(WARN), text[i]);
}

/* ---- the clients ---- */

/* A bar that shows how much of its limit the client uses. */
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

static void format_cell(char text[GRID_TEXT], const struct row *row, enum column column)
{
	const struct client_facts *facts = &row->client->facts;

	switch (column) {
	case COLUMN_TABLE: snprintf(text, GRID_TEXT, "%s", row->table->name); break;
	case COLUMN_CLIENT: network_format(text, &facts->network); break;
	case COLUMN_OPEN: snprintf(text, GRID_TEXT, "%" PRIu32, facts->open); break;
	case COLUMN_LIMIT: view_limit(text, facts->limit); break;
	case COLUMN_PEAK: snprintf(text, GRID_TEXT, "%" PRIu32, facts->peak); break;
	case COLUMN_REFUSED: snprintf(text, GRID_TEXT, "%" PRIu64, facts->refused); break;
	case COLUMN_RATE: snprintf(text, GRID_TEXT, row->rate >= 100 ? "%.0f" : "%.1f", row->rate); break;
	case COLUMN_OLDEST:
		if (facts->open > 0)
			view_span(text, row->client->oldest);
		else
			strcpy(text, "-");
		break;
	case COLUMN_OBSERVED: snprintf(text, GRID_TEXT, "%" PRIu64, facts->observed); break;
	case COLUMN_REMOTE: snprintf(text, GRID_TEXT, "%" PRIu32, row->client->remote); break;
	case COLUMN_BANNED: view_ban(text, facts->banned); break;
	case COLUMNS: text[0] = '\0'; break;
	}
}

static void draw_row(const struct row *row, const struct grid *grid, int y, bool selected, int bar)
{
	const struct client_facts *facts = &row->client->facts;
	bool full = facts->open > 0 && facts->limit != LIMIT_NONE && facts->open >= facts->limit;
	bool near =
	    !full && facts->limit != LIMIT_NONE && facts->limit > 0 && facts->open >= facts->limit / 5 * 4 && facts->limit >= 5;
	bool bad = row->rate > 0 || facts->banned != 0;
	int pair = bad ? BAD : full || near ? WARN : GOOD;
	attr_t attributes = (full || bad ? colour(pair) : A_NORMAL) | (row->rate > 0 ? A_BOLD : A_NORMAL);
	char text[GRID_TEXT];

	attrset(selected ? A_REVERSE | attributes : attributes);
	mvhline(y, 0, ' ', COLS);
	for (enum column column = 0; column < COLUMNS; column++) {
		format_cell(text, row, column);
		grid_put(grid, y, column, text);
	}
	attrset(A_NORMAL);
	if (bar > 0 && !selected)
		draw_bar(bar, y, facts, pair);
}

/* The rows on the screen determine the widths of the columns. */
static struct grid lay_out(const struct top *top, size_t room)
{
	struct grid grid = grid_begin(columns_of(top), COLUMNS);
	char text[GRID_TEXT];

	for (enum column column = 0; column < COLUMNS; column++)
		if (!column_is_there(top, column))
			grid_leave_out(&grid, column);
	for (size_t i = 0; i < room && top->offset + i < top->rows.number; i++)
		for (enum column column = 0; column < COLUMNS; column++) {
			format_cell(text, &top->rows.row[top->offset + i], column);
			grid_widen(&grid, column, text);
		}
	grid_lay_out(&grid, COLS);
	return grid;
}

static void draw_clients(const struct top *top)
{
	int first = first_row_line(top);
	size_t room = draw_room(top);
	struct grid grid = lay_out(top, room);
	int bar = grid.room > BAR ? COLS - grid.room : 0;

	grid_titles(&grid, first - 1, A_REVERSE, (int)top->sort);
	for (size_t i = 0; i < room && top->offset + i < top->rows.number; i++)
		draw_row(&top->rows.row[top->offset + i], &grid, first + (int)i, top->offset + i == top->selected, bar);
	if (top->rows.number == 0 && room > 0)
		grid_line(first, colour(DIM),
			  top->tables.number == 0 && top->which != NULL ? "that table is gone; waiting for it"
			  : top->tables.number == 0			? "no daemon runs under connlimit; waiting for one"
			  : top->rows.left_out > 0			? "no client matches the filter"
									: "no client is connected");
}

/* ---- one client's connections, and help ---- */

enum connection_column {
	CONNECTION_CLIENT,
	CONNECTION_PORT,
	CONNECTION_LOCAL,
	CONNECTION_LOCAL_PORT,
	CONNECTION_AGE,
	CONNECTION_PID,
	CONNECTION_COLUMNS
};

static const struct grid_column connection_columns[CONNECTION_COLUMNS] = {
    [CONNECTION_CLIENT] = {"CLIENT", true, 0}, [CONNECTION_PORT] = {"PORT", false, 0},
    [CONNECTION_LOCAL] = {"LOCAL", true, 3},   [CONNECTION_LOCAL_PORT] = {"LOCAL-PORT", false, 2},
    [CONNECTION_AGE] = {"AGE", false, 1},      [CONNECTION_PID] = {"PID", false, 4},
};

static void connection_cell(char text[GRID_TEXT], const struct client_connection *one, enum connection_column column)
{
	switch (column) {
	case CONNECTION_CLIENT: address_format(text, &one->client); break;
	case CONNECTION_PORT: snprintf(text, GRID_TEXT, "%u", one->connection.peer.port); break;
	case CONNECTION_LOCAL: connection_local_text(text, &one->connection); break;
	case CONNECTION_LOCAL_PORT: snprintf(text, GRID_TEXT, "%u", one->connection.local.port); break;
	case CONNECTION_AGE: view_span(text, one->age); break;
	case CONNECTION_PID: snprintf(text, GRID_TEXT, "%" PRIu32, one->pid); break;
	case CONNECTION_COLUMNS: text[0] = '\0'; break;
	}
}

static void draw_connections(const struct top *top)
{
	struct grid grid = grid_begin(connection_columns, CONNECTION_COLUMNS);
	size_t room = draw_room(top);
	char network[NETWORK_TEXT];
	char text[256];
	int first = first_row_line(top);

	network_format(network, &top->chosen_network);
	snprintf(text, sizeof(text), "%s in table %s: %zu connections, the oldest first", network, top->chosen_table,
		 top->connections.number);
	grid_line(first - 2, A_BOLD, text);
	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < room && top->offset + i < top->connections.number; i++)
			for (enum connection_column column = 0; column < CONNECTION_COLUMNS; column++) {
				connection_cell(text, &top->connections.connection[top->offset + i], column);
				if (pass == 0)
					grid_widen(&grid, column, text);
				else
					grid_put(&grid, first + (int)i, column, text);
			}
		if (pass == 0) {
			grid_lay_out(&grid, COLS);
			grid_titles(&grid, first - 1, A_REVERSE, -1);
		}
	}
}

static void draw_help(void)
{
	static const char *const text[] = {
	    "connlimit top: who holds what, live. Counts are compared with the kernel each time.",
	    "",
	    "  o l p r s a   sort by OPEN, LIMIT, PEAK, REFUSED, refusals a Second, Age of the oldest",
	    "  c t m w b     sort by CLIENT, TABLE, what other Machines hold, what Would be refused, Bans",
	    "  < >           sort by the column to the left, to the right",
	    "  R             reverse the order",
	    "  /             show only clients or tables with this text; Enter keeps it, Esc clears it",
	    "  arrows, PgUp, PgDn, Home, End   move",
	    "  Enter         the selected client's connections; Esc goes back",
	    "  k             end the selected client's connections, after confirmation",
	    "  n             networks in place of clients, where there is a limit on them, and back",
	    "  + -           update less often, more often",
	    "  space         pause and continue;  Ctrl-L redraws",
	    "  h ?           this help;  q quits",
	    "",
	    "  Yellow: at its limit, or close. Red: refused since the last update; of a daemon: a failed",
	    "  reload, or connections that are not counted. Red as well: banned.",
	    "",
	    "  any key goes back",
	};

	for (size_t i = 0; i < sizeof(text) / sizeof(text[0]); i++)
		grid_line((int)i, i == 0 ? A_BOLD : A_NORMAL, text[i]);
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
	grid_line(LINES - 1, top->typing ? A_BOLD : colour(DIM), text);
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
