/* The screen of `connlimit top`. */
#ifndef CONNLIMIT_COMMAND_TOP_DRAW_H
#define CONNLIMIT_COMMAND_TOP_DRAW_H

#include "command/connections.h"
#include "command/top/top_rows.h"
#include "command/view.h"

enum pane { PANE_CLIENTS, PANE_CONNECTIONS, PANE_HELP };

enum { FILTER_MOST = 40 };

/* Everything that determines what is on the screen. */
struct top {
	const char *which; /* NULL for all tables */
	struct tables tables;
	struct rows rows;
	enum pane pane;
	enum column sort;
	bool reversed;
	bool paused;
	uint64_t next; /* ms of clock_us: when to look again */
	bool typing;   /* the filter is being typed */
	bool networks; /* are shown, in place of clients */
	char filter[FILTER_MOST + 1];
	long delay;	 /* s */
	size_t selected; /* index of the row */
	size_t offset;	 /* first row on the screen */
	char chosen_table[TABLE_NAME_MOST + 1];
	struct network chosen_network;
	struct connections connections; /* of the chosen client */
	bool asking;			/* whether to end the chosen connections */
	char message[160];		/* about the last key, until the next */
};

/* The key to sort by a column. */
int column_key(enum column column);

/* Whether a column is shown at all: REMOTE only if there is a limit over several machines. */
bool column_is_there(const struct top *top, enum column column);

/* The number of rows that fit on the screen now. */
size_t draw_room(const struct top *top);

void draw_start(void);
void draw(const struct top *top);

#endif
