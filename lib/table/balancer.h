/* Balancers (CONNLIMIT_PROXY): a connection from one begins with a header that says for whom it is (values/proxy_header.h). For
 * lib's and the shim's own use. */
#ifndef CONNLIMIT_BALANCER_H
#define CONNLIMIT_BALANCER_H

#include "table/records.h"

/* Finds the client of a connection whose peer is known, and may be a balancer if clients are named at all (records.h): it looks
 * at what has come on the descriptor, without waiting, and leaves it there; `client` is room for the client's address. False if
 * the header is missing, malformed or late; that is counted, and the connection is the balancer's own. One system call if the
 * peer is a balancer, else none. errno is kept. Async-signal-safe. */
bool balancer_ask(struct table *table, struct connection *connection, struct address *client, int descriptor);

#endif
