/* Keeping the table over an exec. During an exec a process has nothing attached for a moment. If no other process has the table
 * attached, it would be gone then, and with it the counts of connections that the process keeps over the exec, or that other
 * programs of the daemon have open. So the process leaves a copy. The new program finds it among the user's segments by its
 * creator; it has no key that another user could take first. The copy is removed when the new program takes it over, or when
 * the exec fails; otherwise like any table that no process has attached
 * (table_remove_abandoned). */
#ifndef CONNLIMIT_BRIDGE_H
#define CONNLIMIT_BRIDGE_H

#include "table/table.h"

/* Whether this process alone has the table. */
bool bridge_is_needed(const struct table *table);

/* Leaves a copy; -1 if that is not possible. This and the next are async-signal-safe and keep errno. */
int bridge_build(const struct table *table);
void bridge_remove(int bridge);

/* Takes over the copy, in the new program. False if there is none. */
bool bridge_cross(struct table *table, const char *name);

#endif
