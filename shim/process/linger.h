/* Connections that were answered and stay open until the client has read the answer.
 *
 * A connection that is closed while something of its client's is unread, or still arrives, is reset, and a reset takes from the
 * client what it has not read yet (RFC 9112, 9.6). So after an answer our sending side is closed, and the connection is kept
 * for LINGER_MS.
 *
 * It is kept by a mapping and not by a descriptor (tcp(7), TCP_ZEROCOPY_RECEIVE: a TCP socket can be mapped, and a mapping
 * holds what it maps). So it takes no descriptor from the daemon, is in nobody's way when descriptors are closed, copied or
 * passed on, and is not there in a child or a program that the daemon executes. Where a socket cannot be mapped (Unix, MPTCP,
 * before Linux 4.18) it is closed at once: over a Unix socket the answer is in the client's hands by then.
 *
 * There is no thread that ends them: it is done when the process accepts or closes a connection. At most LINGER_MOST are kept
 * in a process; when one more comes, the oldest is cut off. They count for no limit. */
#ifndef CONNLIMIT_LINGER_H
#define CONNLIMIT_LINGER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LINGER_MOST = 255, LINGER_MS = 3000 };
enum { PLACE_WIPED, PLACE_FREE };

/* One page, which a fork wipes: what it names is mapped in this process alone. */
struct lingering {
	_Atomic uint32_t kept;
	_Atomic uint32_t next;
	_Atomic uint64_t look_after;
	struct {
		_Atomic uintptr_t mapping; /* or PLACE_FREE, or as it was wiped */
		_Atomic uint64_t until;
	} place[LINGER_MOST];
};

extern struct lingering *_Atomic lingering;

/* Keeps the connection of a descriptor, which its caller then closes. False if it cannot be kept. */
bool linger(int descriptor);

/* Ends what is overdue. Never blocks, never waits for another thread. errno is kept. */
void linger_sweep(struct lingering *kept);

static inline void linger_look(void)
{
	struct lingering *kept = atomic_load_explicit(&lingering, memory_order_acquire);

	if (__builtin_expect(kept != NULL && atomic_load_explicit(&kept->kept, memory_order_relaxed) != 0, 0))
		linger_sweep(kept);
}

#endif
