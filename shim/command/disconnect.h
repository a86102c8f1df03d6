/* Ending connections through the kernel. */
#ifndef CONNLIMIT_COMMAND_DISCONNECT_H
#define CONNLIMIT_COMMAND_DISCONNECT_H

#include "command/connections.h"

/* Which of them: all, where it is all zero. */
struct selection {
	uint32_t older_than; /* s since they were accepted */
	uint32_t idle;	     /* s in which the kernel has moved no data in either direction (tcp(7), TCP_INFO) */
	bool dry_run;	     /* they are not ended, but said on standard output */
};

struct disconnected {
	size_t chosen; /* that were not gone already */
	size_t ended;  /* or would have been */
};

/* Ends connections by SOCK_DESTROY (sock_diag(7)), which needs CAP_NET_ADMIN and CONFIG_INET_DIAG_DESTROY. One that is gone
 * already is no error. Returns 0, or the exit status and in `why` a sentence about the last that could not be ended. */
int disconnect_all(const struct connections *connections, const struct selection *selection, struct disconnected *result,
		   char *why, size_t size);

#endif
