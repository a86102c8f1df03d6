/* What a listener is: where its connections arrive, so that it need not be asked for, or, at the wildcard address, not for
 * each; and of which kind they are, by which the kernel finds them (kernel/kernel.h).
 *
 * A listener's descriptor has a mark in the map of descriptors, so that whatever closes it or puts something else there takes
 * the mark as well; what listeners are is little, kept once each, and never changes. A mark names no record: to the table it is
 * nothing. */
#ifndef CONNLIMIT_LISTENERS_H
#define CONNLIMIT_LISTENERS_H

#include "process/descriptors.h"

#include "kernel/kernel.h"

struct listener {
	struct endpoint local; /* the one address of its connections; zeros and the port if they have several, and of whose port
				  that is not certain either, all zero */
	struct kind kind;      /* mptcp: its connections may be */
	bool each;	       /* the kind, and whose the peer is, are to be asked of each connection */
};

enum { LISTENERS_MOST = 64 }; /* different ones; of what more there are, everything is asked for with each connection */

#define LISTENER_MARK (UINT32_MAX - 1) /* the low half of a mark; the high half is the listener's number */

extern struct listener listeners[LISTENERS_MOST + 1];

/* Before the descriptor begins to listen: what CONNLIMIT_KEEPALIVE and CONNLIMIT_PROXY need of its connections. errno is kept.
 */
void listener_set_up(int listener);

/* The limits by which this process last set up its listeners, and the connection at hand. */
extern _Atomic uint64_t listeners_version;
void listeners_follow_limits(int connection);

/* To be called with what was accepted. */
static inline void listeners_follow(const struct table *table, int connection)
{
	if (__builtin_expect(atomic_load_explicit(&table->header->current, memory_order_relaxed) !=
				 atomic_load_explicit(&listeners_version, memory_order_relaxed),
			     0))
		listeners_follow_limits(connection);
}

/* To be called when the descriptor has begun to listen, or accepts and has no mark. errno is kept. Async-signal-safe. */
void listener_learn(int listener);

static inline const struct listener *listener_marked(int listener)
{
	reference mark = descriptor_held(listener);

	return __builtin_expect((uint32_t)mark == LISTENER_MARK, 1) ? &listeners[(mark >> 32) % (LISTENERS_MOST + 1)] : NULL;
}

/* What the listener is; NULL if that cannot be kept. */
static inline const struct listener *listener_of(int listener)
{
	const struct listener *marked = listener_marked(listener);

	if (__builtin_expect(marked != NULL, 1))
		return marked;
	listener_learn(listener);
	return listener_marked(listener);
}

#endif
