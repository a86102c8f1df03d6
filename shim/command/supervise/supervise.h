/* Limiting a program that no library reaches: static, Go, another libc. Its calls of accept(2) go to a process beside it, by
 * seccomp's user notification (seccomp_unotify(2)). That process takes the connection in the program's place, decides as the
 * preload object would, and puts the descriptor into the program. Closes are not seen: what was admitted counts until the
 * kernel says that it is gone.
 *
 * Two processes do it: one works, one waits to take over should that be killed. They are no children of the program, ignore
 * what ends it, and leave when the last task that is under the filter is gone. */
#ifndef CONNLIMIT_COMMAND_SUPERVISE_H
#define CONNLIMIT_COMMAND_SUPERVISE_H

#include "settings/settings.h"

#include <stdbool.h>
#include <stddef.h>

struct supervision {
	const char *program;		  /* the file that is about to be executed */
	const struct settings *start;	  /* as the environment and the options said */
	const struct settings *limits;	  /* with what the file said */
	const struct rules_index *listed; /* what their lists have */
	bool never_waits_in_accept;	  /* its runtime polls, as Go's does */
	bool no_ring;			  /* io_uring_setup(2) is to fail with ENOSYS */
	char *title;			  /* this process's arguments, which name the supervisor in ps(1) */
	size_t title_room;
};

/* Puts this process under the filter and starts the supervisor; the program is to be executed next. Returns 0; or, with
 * the reason, the status with which `connlimit run` ends. */
int supervise(const struct supervision *supervision, char *why, size_t size);

/* Tries it on a child. False with the reason. */
bool supervise_possible(char *why, size_t size);

/* Has io_uring_setup(2) fail with ENOSYS in this process and all that it starts. False with errno. */
bool supervise_no_ring(void);

#endif
