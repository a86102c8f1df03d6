/* Handling the program's accept calls. */
#ifndef CONNLIMIT_SUPERVISE_ACCEPT_H
#define CONNLIMIT_SUPERVISE_ACCEPT_H

#include "command/supervise/shared.h"

/* Handles a call: answers it, or has it wait for a connection. */
void handle(struct call *call);

/* Continues a call that a supervisor was handling when it was killed. */
void resume(struct call *call);

#endif
