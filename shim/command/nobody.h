/* A child that has nothing to lose, for what a stranger may have prepared: a table, or a daemon's file.
 *
 * The shape is that of OpenSSH's privilege separation. The child takes hold of what it is to look at with our rights, then
 * gives up all of them, looks, and hands plain facts back through a pipe. Whatever becomes of it, that costs what it was to
 * find out, and no more than the time that was set. */
#ifndef CONNLIMIT_COMMAND_NOBODY_H
#define CONNLIMIT_COMMAND_NOBODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct child {
	pid_t pid;
	int from;	/* what it says */
	uint64_t until; /* us of clock_us when it is given up */
	bool late;
	uint64_t used; /* us of CPU, once it has ended */
};

/* Forks, and runs `run` in the child, which may use cpu_ms of CPU and has until wall_ms from now. Of our descriptors it has
 * `to` alone, and `kept`, if that is not -1, as CHILD_KEPT. False, with errno, if there is none to be had. To be ended with
 * child_end.
 */
enum { CHILD_KEPT = 1 };
bool child_start(struct child *child, unsigned cpu_ms, unsigned wall_ms, int kept, void (*run)(int to, void *with), void *with);

/* Waits for `size` bytes from the child (child_end tells why there are none). Of the form that facts_take wants. */
bool child_get(void *piece, size_t size, void *child);

/* Ends the child and says, in a few words, what it died of; NULL if it ended by itself. */
const char *child_end(struct child *child);

/* In the child: writes all of it. */
bool child_put(int to, const void *piece, size_t size);

/* In the child: becomes a user that nobody else is, without groups and capabilities, who may use `memory` bytes more, and of
 * system calls only those that looking at memory takes. A user who may not become another stays who he is, without the rest. */
bool become_nobody(size_t memory);

/* In the child: becomes that user, with these groups. Nothing is changed if it is us. */
bool become_user(uid_t user, gid_t group, const gid_t *groups, size_t number);

#endif
