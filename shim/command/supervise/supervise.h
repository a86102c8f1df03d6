/* Limiting programs that a preload cannot limit: static, Go, another libc. A supervisor process beside the program receives its
 * accept(2) calls by seccomp user notification (seccomp_unotify(2)). It accepts the connection, decides as the preload object
 * would, and passes the descriptor on to the program. It does not see closes: an admitted connection counts until the kernel
 * says that it is gone.
 *
 * There are two such processes: a worker, and a standby that takes over if the worker is killed. They are not children of the
 * program, ignore the signals that end it, and exit when the last task under the filter is gone. */
#ifndef CONNLIMIT_COMMAND_SUPERVISE_H
#define CONNLIMIT_COMMAND_SUPERVISE_H

#include "settings/settings.h"

#include <stdbool.h>
#include <stddef.h>

struct supervision {
	const char *program;		  /* the file to execute */
	const struct settings *start;	  /* from the environment and the options */
	const struct settings *limits;	  /* with those of the file */
	const struct rules_index *listed; /* the networks in their lists */
	bool never_waits_in_accept;	  /* its runtime polls first, as Go's does */
	bool no_ring;			  /* io_uring_setup(2) is to fail with ENOSYS */
	char *title;			  /* this process's arguments, overwritten for ps(1) */
	size_t title_room;
};

/* Installs the filter in this process and starts the supervisor. The caller executes the program next. Returns 0, or the exit
 * status of `connlimit run` with the reason in `why`. */
int supervise(const struct supervision *supervision, char *why, size_t size);

/* Tries this on a child process. False with the reason. */
bool supervise_possible(char *why, size_t size);

/* Makes io_uring_setup(2) fail with ENOSYS in this process and its children. False with errno. */
bool supervise_no_ring(void);

#endif
