/* A child without privileges, for looking at what a stranger may have prepared: a table, or a daemon's file.
 *
 * This has the shape of OpenSSH's privilege separation. The child opens what it is to look at with our rights, gives up all
 * rights, looks at it, and sends plain facts back through a pipe. Whatever happens to the child, only its answer is lost, and
 * no more than the allowed time. */
#ifndef CONNLIMIT_COMMAND_NOBODY_H
#define CONNLIMIT_COMMAND_NOBODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct child {
	pid_t pid;
	int from;	/* the pipe from the child */
	uint64_t until; /* deadline, us of clock_us */
	bool late;
	uint64_t used; /* us of CPU, once it has ended */
	size_t next;   /* of what was read ahead, which piece comes next, and where it ends */
	size_t end;
	char ahead[1 << 16];
};

/* Forks and runs `run` in the child, which may use cpu_ms of CPU time and has until wall_ms from now. It keeps only `to` of our
 * descriptors, and `kept`, if that is not -1, as CHILD_KEPT. False with errno on failure. End it with child_end. */
enum { CHILD_KEPT = 1 };
bool child_start(struct child *child, unsigned cpu_ms, unsigned wall_ms, int kept, void (*run)(int to, void *with), void *with);

/* Waits for `size` bytes from the child. If there are none, child_end tells why. Can be used with facts_take. */
bool child_get(void *piece, size_t size, void *child);

/* Ends the child. Returns in a few words what it died of, or NULL if it exited by itself. */
const char *child_end(struct child *child);

/* In the child: writes all bytes. */
bool child_put(int to, const void *piece, size_t size);

/* In the child: becomes a user that nobody else is, without groups and capabilities, who may allocate `memory` more bytes and
 * make only the system calls needed for looking at memory. If changing the user is not permitted, the rest is done as the same
 * user. */
bool become_nobody(size_t memory);

/* In the child: becomes that user, with these groups. Does nothing if it is the current one. */
bool become_user(uid_t user, gid_t group, const gid_t *groups, size_t number);

#endif
