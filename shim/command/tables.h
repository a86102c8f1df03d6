/* Finding the tables that an operator means, and reading them.
 *
 * Any process of a daemon may write anything into its table, and any user may make one. So a table is what the kernel says is
 * shared memory of its own (processes.h), it belongs to whom the kernel says made it, and it is read by a child that has
 * nothing to lose (reader.h). One that cannot be read costs its own line. */
#ifndef CONNLIMIT_COMMAND_TABLES_H
#define CONNLIMIT_COMMAND_TABLES_H

#include "command/processes.h"
#include "command/view.h"

#include <stdbool.h>
#include <sys/types.h>

/* What is wanted of the tables. */
struct wanted {
	const char *which; /* NULL for all; a process's number, a name, or NAME@USER */
	bool clients;
	bool records;
	bool events;
	bool start;		       /* what the daemon was started with */
	const struct network *network; /* of the records only those of this network */
};

/* A table that is there and was not read. */
struct unread {
	struct place place;
	char why[160];
};

struct tables {
	struct table_view *view;
	int number;
	struct unread *unread;
	size_t unreads;
	unsigned hidden; /* of other users, which this one may not read */
	uid_t hidden_owner;
	struct processes processes; /* places point to their mappings */
	pid_t *pid;
};

/* Reads the tables. Of several that have the name those of the caller are meant, else those of root, else all: so nobody's
 * table stands in the way of theirs. A number is always a process. False without memory, which was said on standard error. To
 * be freed with tables_free. */
bool tables_read(struct tables *tables, const struct wanted *wanted);
void tables_free(struct tables *tables);

/* Says on standard error which tables were not read, and where all were asked for, that there are others which this user may
 * not read. Returns STATUS_NOT_PERMITTED if there is nothing but these, else STATUS_DONE. */
int tables_say_unread(const struct tables *tables, const char *which);

/* Says on standard error that there is no table `which`, and why that may be: which there are, and which we may not read.
 * Returns the exit status for it. */
int tables_none(const char *which);

/* "root", or the number of a user without a name. */
#define NO_USER ((uid_t)-1)
enum { USER_TEXT = 40 };
void user_text(char text[USER_TEXT], uid_t user);

/* ---- to change something ---- */

/* Reads, for what changes something, what is wanted of the table that is named, or the only one there is (of ours, or else of
 * root's, where there are such), or with `all` of every one. Returns 0, or the exit status if that is none or cannot be told,
 * which was said on standard error. To be freed with tables_free in any case. */
int tables_choose(struct tables *tables, const struct wanted *wanted, bool all);

/* NAME@USER, by which tables_read finds that one again. */
enum { QUALIFIED_TEXT = TABLE_NAME_MOST + 1 + USER_TEXT };
void table_text(char text[QUALIFIED_TEXT], const struct table_view *view);

/* What means it among all of them: its name or, if another user's table of that name goes first, NAME@USER. False if that means
 * an earlier one of the same user as well, as of two containers', so that it is said once. */
bool tables_call(char text[QUALIFIED_TEXT], const struct tables *tables, int which);

#endif
