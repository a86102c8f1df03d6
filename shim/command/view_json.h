/* Tables as JSON and as metrics. */
#ifndef CONNLIMIT_COMMAND_VIEW_JSON_H
#define CONNLIMIT_COMMAND_VIEW_JSON_H

#include "command/view.h"

#include <stdio.h>

/* One object {"version": 1, "tables": [...]} on standard output. Names are stable: new ones may come, none goes or changes its
 * meaning while "version" is the same. */
void view_print_json(const struct table_view *views, int number);

#endif
