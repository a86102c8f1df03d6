/* CONNLIMIT_KEEPALIVE: a client whose machine is gone sends no end of its connections, and an idle daemon never notices. So the
 * kernel asks the client now and then (tcp(7), SO_KEEPALIVE), and gives up on one that does not answer in time; then the daemon
 * reads ETIMEDOUT. Set on a listener, all that comes there has it. */
#ifndef CONNLIMIT_KEEPALIVE_H
#define CONNLIMIT_KEEPALIVE_H

#include <stdint.h>

/* Sets it on a TCP socket, 0 for what is the system's own, where that is not done. Of the options involved, one that stands
 * neither at the system's default nor at what was set here is the daemon's own choice, and stays. Nothing on other sockets.
 * What cannot be set is said, once. errno is kept. Async-signal-safe. Three system calls where there is something to do for
 * each option, else one. */
void keepalive_set(int descriptor, uint32_t seconds);

#endif
