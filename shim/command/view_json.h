/* Tables as JSON. */
#ifndef CONNLIMIT_COMMAND_VIEW_JSON_H
#define CONNLIMIT_COMMAND_VIEW_JSON_H

#include "command/command.h"
#include "command/tables.h"

#include <jansson.h>

/* Writes an object to standard output, and lets go of it. */
void json_print(json_t *object, enum json how);

/* One object {"version": 1, "tables": [...], "not_readable": [...], "not_shown": N} on standard output. Names are stable: new
 * ones may come, none goes or changes its meaning while "version" is the same. */
void view_print_json(const struct tables *tables, enum json how);

#endif
