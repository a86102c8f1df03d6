/* Finding the table that an operator means. */
#ifndef CONNLIMIT_COMMAND_TABLES_H
#define CONNLIMIT_COMMAND_TABLES_H

#include "../../lib/table.h"

#include <stdbool.h>

/* Opens the table called `name`, or the only one there is if `name` is NULL. On failure says on standard error what is wrong
 * (no such table, or which there are to choose from) and returns false. To be left with table_look_away. */
bool tables_open(struct table *table, const char *name);

#endif
