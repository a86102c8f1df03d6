/* Calls that wait for a connection. */
#ifndef CONNLIMIT_SUPERVISE_LISTENERS_H
#define CONNLIMIT_SUPERVISE_LISTENERS_H

#include "command/supervise/shared.h"

/* Makes the call wait until its listener has a connection; `descriptor` is a copy of the listener. False if it cannot be
 * watched. */
bool listener_await(struct call *call, int descriptor);

/* The call that has waited longest at this listener, which may have a connection now. NULL if there is none. */
struct call *listener_first(unsigned index);

/* Watches the listener again if calls wait there. */
void listener_rearm(unsigned index);

/* Removes calls that were interrupted. */
void calls_sweep(void);

#endif
