/* What `connlimit top` shows about clients: rows with rates, sorted and filtered. Nothing here draws. */
#ifndef CONNLIMIT_COMMAND_TOP_ROWS_H
#define CONNLIMIT_COMMAND_TOP_ROWS_H

#include "command/view.h"

#include <stdbool.h>
#include <stddef.h>

enum column {
	COLUMN_TABLE,
	COLUMN_CLIENT,
	COLUMN_OPEN,
	COLUMN_LIMIT,
	COLUMN_PEAK,
	COLUMN_REFUSED,
	COLUMN_RATE,	 /* refusals per second since the last time */
	COLUMN_OBSERVED, /* would have been refused, mode observe */
	COLUMN_OLDEST,
	COLUMN_REMOTE,
	COLUMN_BANNED,
	COLUMNS
};

struct row {
	const struct table_view *table;
	const struct client_view *client;
	double rate;
};

/* The number of refusals the last time, to compute the rate. */
struct seen {
	char table[TABLE_NAME_MOST + 1];
	struct network network;
	uint64_t refused;
};

struct rows {
	struct row *row;
	size_t number;
	size_t left_out; /* by the filter */
	double rate;	 /* of all tables, including clients that are left out */
	struct seen *seen;
	size_t seens;
	uint64_t looked; /* us of clock_us; 0 before the first time */
};

/* Makes the rows anew, of clients or of networks, from views, which must outlive them; `seen` is kept from the last look, and
 * rates are left as they are when `again` (the same views, sorted or filtered otherwise). A filter is a part of the client's
 * text or of the table's name;
 * "" lets all through. False without memory. */
bool rows_make(struct rows *rows, const struct table_view *views, int number, bool networks, const char *filter, bool again);
void rows_sort(struct rows *rows, enum column by, bool reversed);
void rows_free(struct rows *rows);

#endif
