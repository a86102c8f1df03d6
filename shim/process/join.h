/* A start that finds a table of its name in use.
 *
 * A start is what began with settings of its own: a daemon, or a program that executed it, as a shell that is preloaded too. It
 * has an id, which is handed on with the table's name to whatever it executes, and the table has the id of the start whose
 * limits are in effect. A start that finds another one's id is a new start of the daemon, or a second daemon. */
#ifndef CONNLIMIT_JOIN_H
#define CONNLIMIT_JOIN_H

#include "table/table.h"

/* An id for a new start. Never 0, which is none. */
uint64_t join_start_id(void);

/* The variable with the id, in hexadecimal, for programs that are handed on the table's name; and the id that this program got
 * with it. 0: none, as from an older version, or through an environment that somebody cleaned. */
#define START_VARIABLE "_CONNLIMIT_START"
uint64_t join_start_id_handed_on(void);

/* Whether the table's limits are this start's: it made the table or took it over, or did so before the last one that did. */
bool join_is_same_start(const struct table *table, const struct settings *start);

/* Whether the table's start has said the same, or this one goes under whatever limits there are (CONNLIMIT_JOIN). `theirs` is
 * room for what it said. */
bool join_is_alike(const struct table *table, const struct settings *start, struct settings *theirs);

/* Goes under the limits of the table, or replaces them if no process is left that put them there. `start` is what this start
 * said, and `opening` the same with its file; that is lost.
 *
 * False if another daemon has the table and was started with other settings, or it is not known with which: `why` says so, and
 * nothing was changed. If this start has CONNLIMIT_JOIN=yes, or the table is its own, the result is true all the same. Without
 * a difference `why` is empty. May wait up to 1 s for a start that is under way. */
enum { JOIN_WHY = 512 };
#define JOIN_WAYS "give this daemon its own table or the same settings, or CONNLIMIT_JOIN=yes to accept that daemon's limits"
bool join_table(struct table *table, const struct settings *start, struct settings *opening, const struct rules_index *listed,
		char why[JOIN_WHY]);

/* What a start executes goes under the limits of that start, whatever it was given itself: a preloaded shell can begin two
 * daemons. If it was given others, `why` says which. `theirs` is room. */
void join_compare(const struct table *table, const struct settings *start, struct settings *theirs, char why[JOIN_WHY]);

#endif
