/* The header by which a balancer says for whom it has connected: haproxy's PROXY protocol (proxy-protocol.txt, 2.1 and 2.2). It
 * comes first on the connection. */
#ifndef CONNLIMIT_PROXY_HEADER_H
#define CONNLIMIT_PROXY_HEADER_H

#include "values/address.h"

enum proxy_header {
	PROXY_CLIENT, /* it names the client */
	PROXY_OWN,    /* the balancer has connected for itself, or for a client that has no internet address: LOCAL, UNKNOWN */
	PROXY_UNDECIDED, /* it begins like a header, and more has to come */
	PROXY_NONE,	 /* it is no header, or not as the protocol wants it */
};

/* As much of a connection's beginning as is ever needed. */
enum { PROXY_HEADER_MOST = 107 };

/* Reads a header from the first `length` bytes of a connection, which may be anything; what follows it is not looked at.
 * *client is changed for PROXY_CLIENT alone. */
enum proxy_header proxy_header_read(const unsigned char *bytes, size_t length, struct address *client);

#endif
