/* Writing to a table, by a child that has become nobody: whatever lies in the table steers no more than the writing of that
 * table. What is written is what the caller said. */
#ifndef CONNLIMIT_COMMAND_WRITER_H
#define CONNLIMIT_COMMAND_WRITER_H

#include "command/view.h"

/* Has `write` change the table that was read into `view`, and returns what it returned, which is 0 or more. NOT_WRITTEN if the
 * table cannot be had, or the child died. */
enum { NOT_WRITTEN = -1 };
int writer_write(const struct table_view *view, int (*write)(struct table *table, const void *with), const void *with);

/* Says that a table could not be written. Returns the exit status. */
int writer_failed(const struct table_view *view);

#endif
