/* Connections that were answered and are still open until the client has read the answer.
 *
 * A connection that is closed while something of its client's is unread, or still arrives, is reset, and a reset takes from the
 * client what it has not read yet (RFC 9112, 9.6). So after an answer our sending side is closed, what the client sends is
 * thrown away, and the descriptor is closed when the client has closed its side, or after LINGER_MS.
 *
 * There is no thread to do so: it is done whenever the process accepts or closes a connection. At most LINGER_MOST descriptors
 * are held in a process; when one more comes, the oldest is cut off. They count for no limit. The descriptor map holds a mark
 * for each, so that a daemon which closes every descriptor, or uses the number for something else, takes it from us. */
#ifndef CONNLIMIT_LINGER_H
#define CONNLIMIT_LINGER_H

#include <stdatomic.h>
#include <stdbool.h>

enum { LINGER_MOST = 32, LINGER_MS = 3000 };

extern _Atomic int lingering;

/* Takes over a descriptor whose sending side is shut down. */
void linger(int descriptor);

/* socket(7), SO_LINGER with a time of 0: close then sends a reset, and no TIME_WAIT is left for an attacker to pile up. */
void linger_none(int descriptor);

/* Throws away what came in, and closes what is done or overdue. Never blocks, never waits for another thread. */
void linger_sweep(void);

static inline void linger_look(void)
{
	if (__builtin_expect(atomic_load_explicit(&lingering, memory_order_relaxed) != 0, 0))
		linger_sweep();
}

/* Cuts them all off: the process is short of descriptors. False if there was none. */
bool linger_end(void);

/* In a new process after fork: they are the parent's. */
void linger_in_child(void);

#endif
