/* A table of text on the screen: columns as wide as what is in them, of which the less important go where there is no room.
 * What has to be cut off nevertheless ends in "~". */
#ifndef CONNLIMIT_COMMAND_TOP_GRID_H
#define CONNLIMIT_COMMAND_TOP_GRID_H

#include <ncurses.h>
#include <stdbool.h>

enum { GRID_COLUMNS = 12, GRID_TEXT = 64 };

struct grid_column {
	const char *title; /* NULL: no such column */
	bool left;	   /* words, which may be cut off; numbers are as wide as they are */
	int goes;	   /* the narrower the screen, the more go: the highest first; 0 stays */
};

struct grid {
	const struct grid_column *column;
	int columns;
	int width[GRID_COLUMNS]; /* 0: not shown */
	int at[GRID_COLUMNS];
	int room; /* left at the end of the line */
};

/* Columns as wide as their titles; to be widened to each text, and then laid out for a screen of so many columns. */
struct grid grid_begin(const struct grid_column *column, int columns);
void grid_widen(struct grid *grid, int column, const char *text);
void grid_leave_out(struct grid *grid, int column);
void grid_lay_out(struct grid *grid, int screen);

void grid_titles(const struct grid *grid, int y, attr_t attributes, int marked);
void grid_put(const struct grid *grid, int y, int column, const char *text);

/* A line of text. */
void grid_line(int y, attr_t attributes, const char *text);

#endif
