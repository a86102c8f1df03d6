/* Finding the tables that an operator means. */
#ifndef CONNLIMIT_COMMAND_TABLES_H
#define CONNLIMIT_COMMAND_TABLES_H

#include "table/table.h"

#include <stdbool.h>
#include <sys/types.h>

/* Where a table lies. Only a segment of our own IPC namespace is found by name; what else processes have mapped is reached
 * through them, which takes privileges. */
enum memory { MEMORY_SEGMENT, MEMORY_ANONYMOUS, MEMORY_ELSEWHERE /* a segment of another IPC namespace */ };

struct found {
	struct table table;
	char name[TABLE_NAME_MOST + 1]; /* printable */
	enum memory memory;
	const pid_t *pid; /* the processes that have it mapped, as far as we may see them */
	size_t pids;
	unsigned long processes; /* how many there are */
};

/* Opens every table, or those called `which`, or the one that process `which` (a number) has mapped, and calls `visit` for each
 * with what it found, which is gone after that. Returns how many. */
unsigned tables_visit(const char *which, void (*visit)(struct found *found, void *with), void *with);

/* For what changes something, and so acts on the table that is named, or the only one, or with `all` on every one: as
 * tables_visit, but nothing is visited unless that can be told. Returns 0, or the exit status, which was said on standard
 * error; `visit` returns its own, of which the highest is returned. */
int tables_change(const char *which, bool all, int (*visit)(struct found *found, void *with), void *with);

/* Says on standard error that there is no table `which`, and why that may be: which there are, and which we may not read.
 * Returns the exit status for it. */
int tables_none(const char *which);

/* How many tables there are that this user may not read, and whose the first of them is. */
unsigned tables_hidden(uid_t *owner);

/* Text from shared memory, fit to be printed: printable ASCII, whatever a process of the daemon wrote there. */
void tables_printable(char *text, const char *from, size_t size);

#endif
