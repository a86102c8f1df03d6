/* Over an exec a process has nothing attached for a moment. If it alone has the table, the table would be gone with that
 * moment, and with it the count of what the process takes along and of what other programs of the daemon hold. So it leaves a
 * copy, which the program finds among the user's segments by who made it: it has no key that another user could take first. It
 * is removed when the program takes it up, when the exec fails, or, should neither come, as any table that nobody has attached
 * (table_remove_abandoned). */
#ifndef CONNLIMIT_BRIDGE_H
#define CONNLIMIT_BRIDGE_H

#include "table/table.h"

/* Whether this process alone has the table. */
bool bridge_is_needed(const struct table *table);

/* Leaves a copy; -1 if it is not available. Async-signal-safe, as is the next; both keep errno. */
int bridge_build(const struct table *table);
void bridge_remove(int bridge);

/* In the program that the process has become: takes it up. False if none was left. */
bool bridge_cross(struct table *table, const char *name);

#endif
