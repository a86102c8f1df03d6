/* Tables as JSON. */
#ifndef CONNLIMIT_COMMAND_VIEW_JSON_H
#define CONNLIMIT_COMMAND_VIEW_JSON_H

#include "command/command.h"
#include "command/tables.h"

#include <jansson.h>

/* Prints an object to standard output, and releases it. */
void json_print(json_t *object, enum json how);

/* Prints {"version": 1, "tables": [...], "not_readable": [...], "not_shown": N} to standard output. Names are stable: while
 * "version" is the same, new ones may be added, but none is removed or changes its meaning. */
void view_print_json(const struct tables *tables, enum json how);

#endif
