/* The addresses of a host's name, within a deadline: getaddrinfo(3) waits for name servers as long as it likes, so a child
 * does. */
#ifndef CONNLIMIT_COMMAND_RESOLVE_H
#define CONNLIMIT_COMMAND_RESOLVE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum { ADDRESSES_MOST = 16 };

struct resolved_address {
	struct sockaddr_storage address;
	socklen_t length;
};

/* How many were found, at most ADDRESSES_MOST; 0 with the reason in error (WIRE_ERROR bytes). */
int resolve(struct resolved_address *found, const char *host, const char *port, uint64_t deadline, char *error);

#endif
