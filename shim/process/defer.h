/* TCP_DEFER_ACCEPT: the header that a balancer sends first has come with the connection, for it is never waited for
 * (table/balancer.h). */
#ifndef CONNLIMIT_DEFER_H
#define CONNLIMIT_DEFER_H

/* Has a TCP listener's connections accepted when something has come on them, or after a second. Where the daemon has chosen
 * that itself, its choice stands. Nothing on other sockets. errno is kept. Async-signal-safe. */
void defer_accept(int listener);

#endif
