/* What Redis does for a fleet in one step: Lua scripts, each of them atomic. Which keys there are is told in fleet.h.
 *
 * Each script's first write is one that Redis refuses when its memory is full (maxmemory): so none is carried out by half. */
#ifndef CONNLIMIT_COMMAND_FLEET_SCRIPTS_H
#define CONNLIMIT_COMMAND_FLEET_SCRIPTS_H

/* KEYS of all: node:ID totals near changes leases incarnations thresholds
 *
 * tell    ARGV: node incarnation lease_ms (client count)...
 *         {0}: the node is not known (any more); {2}: another one goes by its name now;
 *         {1, ms until the next lease ends, number of the last news}
 * join    ARGV: node incarnation lease_ms threshold former: with `former` not "" the node comes back, and only if its name has
 *         no other owner whose lease goes on.
 *         {2}, or {1, whether the lowest threshold fell, number of the last news}
 * forget  ARGV: node most cursor only_if_ended: takes up to about `most` of a node's clients back from the totals.
 *         {clients left, next cursor}
 * fill    ARGV: cursor most: adds to `near` what belongs there after the lowest threshold fell. {next cursor}
 * ended   the nodes whose lease ended, at most 16 */
extern const char fleet_tell_script[];
extern const char fleet_join_script[];
extern const char fleet_forget_script[];
extern const char fleet_fill_script[];
extern const char fleet_ended_script[];

#endif
