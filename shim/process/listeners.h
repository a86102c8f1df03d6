/* What a listener is bound to, so that the local address of what it accepts need not be asked for, or, at the wildcard address,
 * not for each.
 *
 * A listener's descriptor has a mark in the map of descriptors, so that whatever closes it or puts something else there takes
 * the mark as well; the addresses themselves are few, kept once each, and never change. A mark names no record: to the table it
 * is nothing. Of a listener on the wildcard address the port is remembered, with an address of zeros. */
#ifndef CONNLIMIT_LISTENERS_H
#define CONNLIMIT_LISTENERS_H

#include "process/descriptors.h"

enum { LISTENERS_MOST = 64 }; /* different addresses; those of more listeners are asked for with each connection */

#define LISTENER_MARK (UINT32_MAX - 1) /* the low half of a mark; the high half is the address's number */

extern struct endpoint listener_endpoints[LISTENERS_MOST];

/* To be called when the descriptor has begun to listen. errno is kept. Async-signal-safe. */
void listener_learn(int listener);

/* Where the listener's connections arrive, at least the port of it; NULL if not known. */
static inline const struct endpoint *listener_endpoint(int listener)
{
	reference mark = descriptor_held(listener);

	return (uint32_t)mark == LISTENER_MARK ? &listener_endpoints[(mark >> 32) % LISTENERS_MOST] : NULL;
}

#endif
