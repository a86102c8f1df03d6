#include "command/top/top_grid.h"

#include <string.h>

enum { WORDS_MOST = 43, WORDS_LEAST = 6 };

struct grid grid_begin(const struct grid_column *column, int columns)
{
	struct grid grid = {.column = column, .columns = columns};

	for (int i = 0; i < columns; i++)
		grid.width[i] = column[i].title != NULL ? (int)strlen(column[i].title) : 0;
	return grid;
}

void grid_widen(struct grid *grid, int column, const char *text)
{
	int length = (int)strlen(text);

	if (grid->column[column].left && length > WORDS_MOST)
		length = WORDS_MOST;
	if (grid->width[column] > 0 && length > grid->width[column])
		grid->width[column] = length;
}

void grid_leave_out(struct grid *grid, int column)
{
	grid->width[column] = 0;
}

static int excess(const struct grid *grid, int screen)
{
	int width = -1;

	for (int i = 0; i < grid->columns; i++)
		width += grid->width[i] > 0 ? grid->width[i] + 1 : 0;
	return width - screen;
}

static int first_to_go(const struct grid *grid)
{
	int which = -1;

	for (int i = 0; i < grid->columns; i++)
		if (grid->width[i] > 0 && grid->column[i].goes > 0 &&
		    (which < 0 || grid->column[i].goes > grid->column[which].goes))
			which = i;
	return which;
}

static int widest_words(const struct grid *grid)
{
	int which = -1;

	for (int i = 0; i < grid->columns; i++)
		if (grid->column[i].left && grid->width[i] > WORDS_LEAST && (which < 0 || grid->width[i] > grid->width[which]))
			which = i;
	return which;
}

void grid_lay_out(struct grid *grid, int screen)
{
	int which;

	while (excess(grid, screen) > 0 && (which = first_to_go(grid)) >= 0)
		grid->width[which] = 0;
	while (excess(grid, screen) > 0 && (which = widest_words(grid)) >= 0)
		grid->width[which]--;
	grid->room = -excess(grid, screen);
	for (int i = 0, at = 0; i < grid->columns; i++) {
		grid->at[i] = at;
		at += grid->width[i] > 0 ? grid->width[i] + 1 : 0;
	}
}

/* Writes at most so many bytes; truncated text ends with a mark. */
static void put_within(int y, int x, int width, bool left, const char *text)
{
	int length = (int)strlen(text);

	if (width <= 0)
		return;
	if (length > width)
		mvprintw(y, x, "%.*s~", width - 1, text);
	else
		mvprintw(y, left ? x : x + width - length, "%s", text);
}

void grid_put(const struct grid *grid, int y, int column, const char *text)
{
	int width = grid->width[column];
	int room = COLS - grid->at[column];

	put_within(y, grid->at[column], width < room ? width : room, grid->column[column].left || width > room, text);
}

void grid_titles(const struct grid *grid, int y, attr_t attributes, int marked)
{
	attrset(attributes);
	mvhline(y, 0, ' ', COLS);
	for (int i = 0; i < grid->columns; i++) {
		attrset(attributes | (i == marked ? A_BOLD | A_UNDERLINE : 0));
		if (grid->width[i] > 0)
			grid_put(grid, y, i, grid->column[i].title);
	}
	attrset(A_NORMAL);
}

void grid_line(int y, attr_t attributes, const char *text)
{
	if (y >= LINES)
		return;
	attrset(attributes);
	move(y, 0);
	clrtoeol();
	put_within(y, 0, COLS, true, text);
	attrset(A_NORMAL);
}
