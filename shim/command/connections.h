/* The connections of one client or network, in all tables. */
#ifndef CONNLIMIT_COMMAND_CONNECTIONS_H
#define CONNLIMIT_COMMAND_CONNECTIONS_H

#include "command/tables.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct client_connection {
	struct connection connection;
	struct address client; /* the peer's, or what a balancer named */
	uint32_t age;	       /* s since it was accepted */
	uint32_t pid;	       /* the process known to hold it, 0 if none is */
	bool elsewhere;	       /* in another network namespace, so not compared with the kernel */
	size_t from, to;       /* its daemon's processes, a range of `process` below */
	char table[TABLE_NAME_MOST + 1];
};

struct connections {
	struct client_connection *connection; /* oldest first */
	size_t number;
	pid_t *process; /* processes that have the tables mapped, according to the kernel */
	size_t processes;
	struct tables tables; /* the tables that were read */
};

/* Finds them in the tables that `which` selects (tables.h), except those that the kernel does not have. False without memory,
 * with an error message. Call connections_free in any case. */
bool connections_find(struct connections *connections, const struct network *network, const char *which);
void connections_free(struct connections *connections);

/* The local address, or "*". A table does not know it for every connection to a wildcard listener, and the kernel can only be
 * asked in the daemon's network namespace. `text` has room for ADDRESS_TEXT bytes. */
void connection_local_text(char *text, const struct connection *connection);

#endif
