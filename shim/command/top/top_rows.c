#include "command/top/top_rows.h"

#include "values/clock.h"

#include <stdlib.h>
#include <string.h>

static int compare_networks(const struct network *a, const struct network *b)
{
	int order = memcmp(&a->address, &b->address, sizeof(a->address));

	return order != 0 ? order : (int)a->prefix - (int)b->prefix;
}

/* ---- rates ---- */

static int by_identity(const void *left, const void *right)
{
	const struct seen *a = left;
	const struct seen *b = right;
	int order = strcmp(a->table, b->table);

	return order != 0 ? order : compare_networks(&a->network, &b->network);
}

static struct seen seen_of(const struct row *row)
{
	struct seen seen = {.network = row->client->facts.network, .refused = row->client->facts.refused};

	memcpy(seen.table, row->table->name, sizeof(seen.table));
	return seen;
}

static double rate_of(const struct rows *rows, const struct row *row, double seconds)
{
	struct seen now = seen_of(row);

	if (rows->looked == 0 || seconds <= 0)
		return 0;
	const struct seen *before =
	    rows->seens > 0 ? bsearch(&now, rows->seen, rows->seens, sizeof(*rows->seen), by_identity) : NULL;
	/* Nothing is known of a client that is new: it was refused since then, or its entry belonged to another client. */
	uint64_t from = before != NULL ? before->refused : 0;
	return now.refused >= from ? (double)(now.refused - from) / seconds : 0;
}

static void remember(struct rows *rows)
{
	struct seen *seen = calloc(rows->number + 1, sizeof(*seen));

	if (seen == NULL)
		return;
	for (size_t i = 0; i < rows->number; i++)
		seen[i] = seen_of(&rows->row[i]);
	qsort(seen, rows->number, sizeof(*seen), by_identity);
	free(rows->seen);
	rows->seen = seen;
	rows->seens = rows->number;
}

/* ---- rows ---- */

static bool passes(const struct row *row, const char *filter)
{
	char network[NETWORK_TEXT];

	if (filter[0] == '\0')
		return true;
	network_format(network, &row->client->facts.network);
	return strcasestr(network, filter) != NULL || strcasestr(row->table->name, filter) != NULL;
}

/* Rows that do not match the filter are moved to the end, so that their rates are known if they come back. */
static void apply_filter(struct rows *rows, const char *filter)
{
	size_t passing = 0;

	for (size_t i = 0; i < rows->number; i++) {
		struct row row = rows->row[i];

		if (!passes(&row, filter))
			continue;
		rows->row[i] = rows->row[passing];
		rows->row[passing++] = row;
	}
	rows->left_out = rows->number - passing;
	rows->number = passing;
}

bool rows_make(struct rows *rows, const struct table_view *views, int number, bool networks, const char *filter, bool again)
{
	if (again) {
		rows->number += rows->left_out;
		apply_filter(rows, filter);
		return true;
	}
	uint64_t now = clock_us();
	double seconds = (double)(now - rows->looked) / 1e6;
	size_t all = 0;
	size_t clients;

	for (int i = 0; i < number; i++) {
		view_clients(&views[i], networks, &clients);
		all += clients;
	}
	free(rows->row);
	rows->row = calloc(all + 1, sizeof(*rows->row));
	rows->number = 0;
	rows->left_out = 0;
	rows->rate = 0;
	if (rows->row == NULL)
		return false;
	for (int i = 0; i < number; i++) {
		const struct client_view *client = view_clients(&views[i], networks, &clients);

		for (size_t c = 0; c < clients; c++) {
			struct row *row = &rows->row[rows->number++];

			*row = (struct row){.table = &views[i], .client = &client[c]};
			row->rate = rate_of(rows, row, seconds);
			rows->rate += row->rate;
		}
	}
	remember(rows);
	rows->looked = now;
	apply_filter(rows, filter);
	return true;
}

/* ---- order ---- */

static enum column order_by;
static bool order_reversed;

static int compare_numbers(double a, double b)
{
	return a < b ? 1 : a > b ? -1 : 0;
}

/* Numbers in descending order, words in alphabetical order. */
static int compare(const struct row *a, const struct row *b, enum column by)
{
	const struct client_facts *left = &a->client->facts;
	const struct client_facts *right = &b->client->facts;

	switch (by) {
	case COLUMN_TABLE: return strcmp(a->table->name, b->table->name);
	case COLUMN_CLIENT: return compare_networks(&left->network, &right->network);
	case COLUMN_OPEN: return compare_numbers(left->open, right->open);
	case COLUMN_LIMIT: return compare_numbers(left->limit, right->limit);
	case COLUMN_PEAK: return compare_numbers(left->peak, right->peak);
	case COLUMN_REFUSED: return compare_numbers((double)left->refused, (double)right->refused);
	case COLUMN_RATE: return compare_numbers(a->rate, b->rate);
	case COLUMN_OBSERVED: return compare_numbers((double)left->observed, (double)right->observed);
	case COLUMN_OLDEST: return compare_numbers(a->client->oldest, b->client->oldest);
	case COLUMN_REMOTE: return compare_numbers(a->client->remote, b->client->remote);
	case COLUMN_BANNED: return compare_numbers(left->banned, right->banned);
	case COLUMNS: break;
	}
	return 0;
}

/* Equal rows have a fixed order, so that they do not jump. */
static int by_column(const void *left, const void *right)
{
	const struct row *a = left;
	const struct row *b = right;
	int order = compare(a, b, order_by);

	if (order_reversed)
		order = -order;
	if (order == 0 && order_by != COLUMN_OPEN)
		order = compare(a, b, COLUMN_OPEN);
	if (order == 0)
		order = compare(a, b, COLUMN_REFUSED);
	if (order == 0)
		order = compare(a, b, COLUMN_CLIENT);
	return order != 0 ? order : strcmp(a->table->name, b->table->name);
}

void rows_sort(struct rows *rows, enum column by, bool reversed)
{
	order_by = by;
	order_reversed = reversed;
	if (rows->number > 0)
		qsort(rows->row, rows->number, sizeof(*rows->row), by_column);
}

void rows_free(struct rows *rows)
{
	free(rows->row);
	free(rows->seen);
	*rows = (struct rows){0};
}
