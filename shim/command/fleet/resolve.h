/* Resolves a host name within a deadline. getaddrinfo(3) may wait for name servers for any time, so a child calls it. */
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

/* Returns the number of addresses found, at most ADDRESSES_MOST, or 0 with the reason in error (WIRE_ERROR bytes). */
int resolve(struct resolved_address *found, const char *host, const char *port, uint64_t deadline, char *error);

#endif
