/* Calls that wait until a connection comes. */
#ifndef CONNLIMIT_SUPERVISE_LISTENERS_H
#define CONNLIMIT_SUPERVISE_LISTENERS_H

#include "command/supervise/shared.h"

/* Has the call wait until its listener, of which `descriptor` is a copy, has a connection. False if that cannot be watched. */
bool listener_await(struct call *call, int descriptor);

/* The listener of this number may have a connection: the call that has waited there longest, NULL if there is none. */
struct call *listener_first(unsigned index);

/* Watches on, if calls wait there. */
void listener_rearm(unsigned index);

/* Forgets calls that were interrupted. */
void calls_sweep(void);

#endif
