/* The calls of the program that are put to us. */
#ifndef CONNLIMIT_SUPERVISE_ACCEPT_H
#define CONNLIMIT_SUPERVISE_ACCEPT_H

#include "command/supervise/shared.h"

/* Handles a call as far as it goes: it is answered and forgotten, or waits. */
void handle(struct call *call);

/* Goes on with one that a supervisor was at when it was killed. */
void resume(struct call *call);

#endif
