/* Reading one table, by a child that has nothing to lose. */
#ifndef CONNLIMIT_COMMAND_READER_H
#define CONNLIMIT_COMMAND_READER_H

#include "command/tables.h"

enum read_how {
	READ_DONE,	 /* the view has what was wanted */
	READ_NO_TABLE,	 /* it is something else */
	READ_NOT_WANTED, /* it has another name */
	READ_FAILED,	 /* why[] says why */
};

/* Reads the table at view->place into the plain part of the view. The reader may use cpu_ms; *used is what it did, in us. */
enum read_how reader_read(struct table_view *view, const struct wanted *wanted, unsigned cpu_ms, uint64_t *used, char *why,
			  size_t room);

/* Attaches a table's memory. In a child, before it becomes nobody. */
struct segment;
bool reader_attach(const struct place *place, bool to_write, struct segment *segment);

#endif
