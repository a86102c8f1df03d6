/* System calls that this process has forbidden itself (seccomp(2)).
 *
 * A worker that confines itself allows only the calls that it makes itself. A call of ours that is not among them could kill
 * it. So before each call that the daemon did not make itself, we ask here (door.h), and skip the call if it is not allowed.
 * The answer is the filter's own: we run the same filter program on the same input as the kernel would.
 *
 * Filters that were installed before this program started are not known here. Those of systemd and of container engines return
 * an error, or allow what ordinary services do.
 *
 * All functions are thread-safe and async-signal-safe, and make no system call but to keep a filter. */
#ifndef CONNLIMIT_CONFINED_H
#define CONNLIMIT_CONFINED_H

#include <linux/filter.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/syscall.h>

extern _Atomic bool confined;

bool confined_may_call(long number, const long arguments[6]);

/* Whether the call is safe: at worst it fails. door.h asks this for each call that it makes. */
static inline bool may_call_so(long number, long a, long b, long c, long d, long e, long f)
{
	return __builtin_expect(!atomic_load_explicit(&confined, memory_order_relaxed), 1) ||
	       confined_may_call(number, (const long[6]){a, b, c, d, e, f});
}

/* The same for a call that is made elsewhere, through libc. If arguments are left out or given as 0, the answer of a filter
 * that checks them may not fit the real ones. */
static inline bool may_call(long number, long first, long second, long third)
{
	return may_call_so(number, first, second, third, 0, 0, 0);
}

/* The same for several calls, whatever their arguments. */
bool confined_may_call_each(const short *numbers, unsigned length);
#define MAY_CALL_EACH(...)                                                                                                     \
	(__builtin_expect(!atomic_load_explicit(&confined, memory_order_relaxed), 1) ||                                        \
	 confined_may_call_each((const short[]){__VA_ARGS__}, sizeof((const short[]){__VA_ARGS__}) / sizeof(short)))

/* fstat(3) is one or the other call, depending on libc's version. */
#ifdef SYS_newfstatat
#define MAY_CALL_FSTAT MAY_CALL_EACH(SYS_fstat, SYS_newfstatat)
#else
#define MAY_CALL_FSTAT MAY_CALL_EACH(SYS_fstat)
#endif

/* confined_room allocates room for a filter that is about to be installed, since the filter may forbid that; NULL if there is
 * no memory. After the call, confined_by copies the filter if the kernel accepted it, which shows that its pointers are valid;
 * confined_not keeps the room for the next filter if it did not. */
struct sock_filter *confined_room(void);
void confined_by(struct sock_filter *room, const struct sock_fprog *program);
void confined_not(struct sock_filter *room);

/* From now on no call is known to be allowed. */
void confined_wholly(void);

#endif
