/* Ending connections through the kernel. */
#ifndef CONNLIMIT_COMMAND_DISCONNECT_H
#define CONNLIMIT_COMMAND_DISCONNECT_H

#include "command/connections.h"

/* Ends connections by SOCK_DESTROY (sock_diag(7)), which needs CAP_NET_ADMIN and CONFIG_INET_DIAG_DESTROY. *ended is how many;
 * one that is gone already is no error. Returns 0, or the exit status and in `why` a sentence about the last that could not be
 * ended. */
int disconnect_all(const struct connections *connections, size_t *ended, char *why, size_t size);

#endif
