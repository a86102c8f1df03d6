/* The screen of `connlimit top`. */
#ifndef CONNLIMIT_COMMAND_TOP_DRAW_H
#define CONNLIMIT_COMMAND_TOP_DRAW_H

#include "command/connections.h"
#include "command/top/top_rows.h"
#include "command/view.h"

enum pane { PANE_CLIENTS, PANE_CONNECTIONS, PANE_HELP };

enum { FILTER_MOST = 40 };

/* All that decides what is on the screen. */
struct top {
	const char *which; /* NULL for every table */
	struct tables tables;
	struct rows rows;
	enum pane pane;
	enum column sort;
	bool reversed;
	bool paused;
	bool typing;   /* the filter */
	bool networks; /* are shown, in place of clients */
	char filter[FILTER_MOST + 1];
	long delay;	 /* s */
	size_t selected; /* row */
	size_t offset;	 /* first row on the screen */
	char chosen_table[TABLE_NAME_MOST + 1];
	struct network chosen_network;
	struct connections connections; /* of the chosen client */
	bool asking;			/* whether to end the chosen connections */
	char message[160];		/* of the last key, until the next */
};

/* The key that sorts by a column. */
int column_key(enum column column);

/* Whether a column is shown at all: that of other machines only where there is a limit over them. */
bool column_is_there(const struct top *top, enum column column);

/* Rows that fit on the screen, as it is now. */
size_t draw_room(const struct top *top);

void draw_start(void);
void draw(const struct top *top);

#endif
