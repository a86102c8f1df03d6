/* What a table says, as plain facts: gathered from a copy of it by the reader, who is nobody, and checked by the command, which
 * believes the reader no more than the table (it may have been taken over by what it read). */
#ifndef CONNLIMIT_COMMAND_FACTS_H
#define CONNLIMIT_COMMAND_FACTS_H

#include "command/tables.h"
#include "command/view.h"

#include "table/table.h"

#include <stdbool.h>
#include <stddef.h>

/* A copy of a table's pages. Those that were not there are zero, and are better not looked at: there may be a million. */
struct copy {
	char *base;
	size_t size;
	const unsigned char *present; /* a byte for each page, as mincore(2) fills them */
};

/* More than that is not handed over about one table: a million connections of as many clients fit. */
enum { FACTS_MOST = 192 << 20 };

/* In the reader: gathers what is wanted, and gives it to `put` in pieces, until that returns false. */
bool facts_gather(const struct table *table, const struct copy *copy, const struct wanted *wanted,
		  bool (*put)(const void *piece, size_t size, void *with), void *with);

/* In the command: takes the same pieces from `get`, which fills them whole or returns false. False if they are not what a
 * reader of view->place can have found. Whatever was had is to be freed with facts_free. */
bool facts_take(struct table_view *view, const struct wanted *wanted, bool (*get)(void *piece, size_t size, void *with),
		void *with);
void facts_free(struct table_view *view);

/* The same for settings alone. */
bool facts_put_settings(const struct settings *settings, bool (*put)(const void *piece, size_t size, void *with), void *with);
bool facts_take_settings(struct settings *settings, bool (*get)(void *piece, size_t size, void *with), void *with);

#endif
