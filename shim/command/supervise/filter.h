/* The program's seccomp filter. */
#ifndef CONNLIMIT_SUPERVISE_FILTER_H
#define CONNLIMIT_SUPERVISE_FILTER_H

#include <stdbool.h>

struct filter {
	bool accepts;  /* accept and accept4 go to a supervisor */
	bool listens;  /* and listen */
	bool no_ring;  /* io_uring_setup fails with ENOSYS */
	bool killable; /* once the supervisor has received a call, only fatal signals interrupt it (Linux 5.19) */
};

/* Installs the filter, with no_new_privs if the kernel requires it. Returns the notification descriptor, 0 for a filter without
 * one, or -1 with errno. */
int filter_install(const struct filter *filter);

#endif
