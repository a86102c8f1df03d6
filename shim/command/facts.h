/* What is in a table, as plain facts. The reader, who has no privileges, gathers them from a copy. The command checks them, as
 * it trusts the reader no more than the table, by which the reader may have been taken over. */
#ifndef CONNLIMIT_COMMAND_FACTS_H
#define CONNLIMIT_COMMAND_FACTS_H

#include "command/tables.h"
#include "command/view.h"

#include "table/table.h"

#include <stdbool.h>
#include <stddef.h>

/* A copy of a table's pages, made by and by. Pages that were not present are zero, and should not be looked at: there may be a
 * million. */
struct copy {
	char *base;
	size_t size;
	const unsigned char *present; /* a byte for each page: 1 or 0 */
	char *live;		      /* what is copied: the table itself, mapped */
};

/* Copies the pages that are present from one offset up to another, both at the beginning of a page. */
void copy_pages(const struct copy *copy, size_t from, size_t to);

/* The first page that was present, from this one on; their number if there is none. */
size_t copy_next(const struct copy *copy, size_t page);

/* The bound on what is sent about one table: enough for a million connections of a million clients. */
enum { FACTS_MOST = 192 << 20 };

/* In the reader: gathers what is wanted and passes it to `put` in pieces, until that returns false. Of the table it needs what
 * is before the clients; these and the records it copies itself, a part at a time, so that a large table takes little memory.
 */
bool facts_gather(const struct table *table, const struct copy *copy, const struct wanted *wanted,
		  bool (*put)(const void *piece, size_t size, void *with), void *with);

/* In the command: reads the same pieces with `get`, which fills each completely or returns false. False if a reader of
 * view->place cannot have sent this. Call facts_free in any case. */
bool facts_take(struct table_view *view, const struct wanted *wanted, bool (*get)(void *piece, size_t size, void *with),
		void *with);
void facts_free(struct table_view *view);

/* The same for settings only. */
bool facts_put_settings(const struct settings *settings, bool (*put)(const void *piece, size_t size, void *with), void *with);
bool facts_take_settings(struct settings *settings, bool (*get)(void *piece, size_t size, void *with), void *with);

#endif
