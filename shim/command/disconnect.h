/* Ending connections through the kernel. */
#ifndef CONNLIMIT_COMMAND_DISCONNECT_H
#define CONNLIMIT_COMMAND_DISCONNECT_H

#include "command/connections.h"

/* Which connections to end; all zero means all of them. */
struct selection {
	uint32_t older_than; /* s since they were accepted */
	uint32_t idle;	     /* s without data in either direction, according to the kernel (tcp(7), TCP_INFO) */
	bool dry_run;	     /* only print them */
};

struct disconnected {
	size_t chosen; /* not counting those that were already gone */
	size_t ended;  /* or would have been ended */
};

/* Ends connections with SOCK_DESTROY (sock_diag(7)), which needs CAP_NET_ADMIN and CONFIG_INET_DIAG_DESTROY. It is no error if
 * a connection is already gone. Returns 0, or the exit status and in `why` a message about the last one that could not be
 * ended. */
int disconnect_all(const struct connections *connections, const struct selection *selection, struct disconnected *result,
		   char *why, size_t size);

#endif
