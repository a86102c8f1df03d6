/* The program's seccomp filter. */
#ifndef CONNLIMIT_SUPERVISE_FILTER_H
#define CONNLIMIT_SUPERVISE_FILTER_H

#include <stdbool.h>

struct filter {
	bool accepts;  /* accept and accept4 are put to a supervisor */
	bool no_ring;  /* io_uring_setup fails with ENOSYS */
	bool killable; /* a call that the supervisor has taken up is ended by fatal signals only (Linux 5.19) */
};

/* Installs it, with no_new_privs where the kernel asks for that. Returns the notification descriptor, 0 for a filter without
 * one, or -1 with errno. */
int filter_install(const struct filter *filter);

#endif
