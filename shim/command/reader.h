/* Reading one table, in a child without privileges. */
#ifndef CONNLIMIT_COMMAND_READER_H
#define CONNLIMIT_COMMAND_READER_H

#include "command/tables.h"

enum read_how {
	READ_DONE,	 /* the view contains what was wanted */
	READ_NO_TABLE,	 /* the memory is something else */
	READ_NOT_WANTED, /* it has another name */
	READ_FAILED,	 /* why[] contains the reason */
};

/* Reads the table at view->place into the plain part of the view. The reader may use cpu_ms; *used is what it used, in us. */
enum read_how reader_read(struct table_view *view, const struct wanted *wanted, unsigned cpu_ms, uint64_t *used, char *why,
			  size_t room);

/* Attaches a table's memory. Called in a child, before it gives up its rights. */
struct segment;
bool reader_attach(const struct place *place, bool to_write, struct segment *segment);

#endif
