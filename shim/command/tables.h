/* Finding the tables that an operator means, and reading them.
 *
 * Any process of a daemon may write anything into its table, and any user may make one. So a table must be in the kernel's own
 * shared memory (processes.h), it belongs to the user who made it according to the kernel, and it is read by a child without
 * privileges (reader.h). If one cannot be read, only that one is affected. */
#ifndef CONNLIMIT_COMMAND_TABLES_H
#define CONNLIMIT_COMMAND_TABLES_H

#include "command/processes.h"
#include "command/view.h"

#include <stdbool.h>
#include <sys/types.h>

/* What is wanted from the tables. */
struct wanted {
	const char *which; /* a pid, a name, or NAME@USER; NULL for all */
	bool clients;
	bool records;
	bool events;
	bool start;		       /* also what the daemon was started with */
	const struct network *network; /* only records of this network */
};

/* A table that exists but was not read. */
struct unread {
	struct place place;
	char why[320];
};

struct tables {
	struct table_view *view;
	int number;
	struct unread *unread;
	size_t unreads;
	unsigned hidden; /* tables of other users that this one may not read */
	uid_t hidden_owner;
	struct processes processes; /* places point to their mappings */
	pid_t *pid;
};

/* Reads the tables. If several have the name, the caller's are meant, otherwise root's, otherwise all of them; so a stranger's
 * table cannot hide these. A number is always a pid. False without memory, with an error message. Call tables_free afterwards.
 */
bool tables_read(struct tables *tables, const struct wanted *wanted);
void tables_free(struct tables *tables);

/* Reports on standard error which tables were not read and, if all were asked for, that there are others which this user may
 * not read. Returns STATUS_NOT_PERMITTED if there are no others, else STATUS_DONE. */
int tables_say_unread(const struct tables *tables, const char *which);

/* Reports on standard error that there is no table `which`, and possible reasons: which tables exist, and which we may not
 * read. Returns the exit status. */
int tables_none(const char *which);

/* "root", or the number of a user without a name. */
#define NO_USER ((uid_t)-1)
enum { USER_TEXT = 40 };
void user_text(char text[USER_TEXT], uid_t user);

/* ---- for changing something ---- */

/* Reads, for what changes something, what is wanted of the table that is named, or the only one there is (of ours, or else of
 * root's, where there are such), or with `all` of every one. Returns 0, or the exit status if that is none or cannot be told,
 * which was said on standard error. To be freed with tables_free in any case. */
int tables_choose(struct tables *tables, const struct wanted *wanted, bool all);

/* NAME@USER, by which tables_read finds a table again. */
enum { QUALIFIED_TEXT = TABLE_NAME_MOST + 1 + USER_TEXT };
void table_text(char text[QUALIFIED_TEXT], const struct table_view *view);

/* What means it among all of them: its name or, if another user's table of that name goes first, NAME@USER. False if that means
 * an earlier one of the same user as well, as of two containers', so that it is said once. */
bool tables_call(char text[QUALIFIED_TEXT], const struct tables *tables, int which);

#endif
