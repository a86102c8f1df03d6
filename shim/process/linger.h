/* Refused connections that got an answer and stay open until the client has read it.
 *
 * If a connection is closed while data from its client is unread, or still arrives, it is reset, and a reset discards what the
 * client has not read yet (RFC 9112, 9.6). So after an answer only our sending side is closed, and the connection is kept for
 * LINGER_MS.
 *
 * It is kept by a mapping, not by a descriptor (tcp(7), TCP_ZEROCOPY_RECEIVE: a TCP socket can be mapped, and the mapping keeps
 * the socket open). So it uses none of the daemon's descriptors, is not affected when descriptors are closed, copied or passed
 * on, and does not exist in a child or an executed program. A socket that cannot be mapped (Unix, MPTCP, before Linux 4.18) is
 * closed at once; over a Unix socket the answer is already in the client's queue by then.
 *
 * No thread ends these connections: overdue ones are closed when the process accepts or closes a connection. A process keeps at
 * most LINGER_MOST; if there is one more, the oldest is closed. They do not count for any limit. */
#ifndef CONNLIMIT_LINGER_H
#define CONNLIMIT_LINGER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LINGER_MOST = 255, LINGER_MS = 3000 };
enum { PLACE_WIPED, PLACE_FREE };

/* One page, which a fork wipes, since the mappings exist in this process alone. */
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

/* Keeps the connection of a descriptor; the caller then closes the descriptor. False if it cannot be kept. */
bool linger(int descriptor);

/* Closes overdue connections. Never blocks or waits for another thread. errno is kept. */
void linger_sweep(struct lingering *kept);

static inline void linger_look(void)
{
	struct lingering *kept = atomic_load_explicit(&lingering, memory_order_acquire);

	if (__builtin_expect(kept != NULL && atomic_load_explicit(&kept->kept, memory_order_relaxed) != 0, 0))
		linger_sweep(kept);
}

#endif
