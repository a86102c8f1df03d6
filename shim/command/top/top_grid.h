/* A table of text on the screen: columns are as wide as their contents, and less important ones are left out if there is not
 * enough room. Text that still has to be truncated ends with "~". */
#ifndef CONNLIMIT_COMMAND_TOP_GRID_H
#define CONNLIMIT_COMMAND_TOP_GRID_H

#include <ncurses.h>
#include <stdbool.h>

enum { GRID_COLUMNS = 12, GRID_TEXT = 64 };

struct grid_column {
	const char *title; /* NULL: no such column */
	bool left;	   /* text, which may be truncated; numbers may not */
	int goes;	   /* on narrow screens the columns with the highest numbers are left out first; 0 always stays */
};

struct grid {
	const struct grid_column *column;
	int columns;
	int width[GRID_COLUMNS]; /* 0: not shown */
	int at[GRID_COLUMNS];
	int room; /* columns left at the end of the line */
};

/* Starts with columns as wide as their titles, for a screen of so many columns. Then widen them for each text, and lay them
 * out. */
struct grid grid_begin(const struct grid_column *column, int columns);
void grid_widen(struct grid *grid, int column, const char *text);
void grid_leave_out(struct grid *grid, int column);
void grid_lay_out(struct grid *grid, int screen);

void grid_titles(const struct grid *grid, int y, attr_t attributes, int marked);
void grid_put(const struct grid *grid, int y, int column, const char *text);

/* A line of text. */
void grid_line(int y, attr_t attributes, const char *text);

#endif
