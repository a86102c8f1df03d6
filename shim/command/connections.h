/* The connections of one client, or of a network's, in every table. */
#ifndef CONNLIMIT_COMMAND_CONNECTIONS_H
#define CONNLIMIT_COMMAND_CONNECTIONS_H

#include "command/tables.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct client_connection {
	struct connection connection;
	uint32_t age;	 /* s since it was accepted */
	uint32_t pid;	 /* of the process that is known to hold it, 0 if none is */
	bool elsewhere;	 /* in another network namespace than ours: not compared with the kernel */
	size_t from, to; /* its daemon's processes: those of `process` below */
	char table[TABLE_NAME_MOST + 1];
};

struct connections {
	struct client_connection *connection; /* the oldest first */
	size_t number;
	pid_t *process; /* that have the tables mapped, by the kernel's word */
	size_t processes;
	struct tables tables; /* that were looked at */
};

/* Finds them in the tables that `which` means (tables.h), but those that the kernel has not. False without memory, which was
 * said on standard error. To be freed with connections_free in any case. */
bool connections_find(struct connections *connections, const struct network *network, const char *which);
void connections_free(struct connections *connections);

/* Our address, or "*": a table does not know it of each connection to a wildcard listener, and the kernel can be asked only in
 * the daemon's network namespace. `text` holds at least ADDRESS_TEXT bytes. */
void connection_local_text(char *text, const struct connection *connection);

#endif
