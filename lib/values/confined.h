/* System calls that this process has forbidden itself (seccomp(2)).
 *
 * A worker that confines itself allows the calls that it makes itself. One of ours beside them could be its end, so whoever
 * makes a call that the daemon did not ask for asks here first (door.h), and steps aside. The answer is the filter's own: the
 * program that the process gave to the kernel is run here on what the kernel would run it on.
 *
 * Filters that were there before this program started are not known here; systemd's and the container engines' answer
 * with an error, or allow what ordinary services do.
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

/* Whether the call would do no worse than fail. door.h asks so for each call that it makes. */
static inline bool may_call_so(long number, long a, long b, long c, long d, long e, long f)
{
	return __builtin_expect(!atomic_load_explicit(&confined, memory_order_relaxed), 1) ||
	       confined_may_call(number, (const long[6]){a, b, c, d, e, f});
}

/* The same for one that is made elsewhere, through libc. Where the arguments are not given, or given as 0, a filter that looks
 * at them may answer for other ones. */
static inline bool may_call(long number, long first, long second, long third)
{
	return may_call_so(number, first, second, third, 0, 0, 0);
}

/* The same for several calls, whatever their arguments. */
bool confined_may_call_each(const short *numbers, unsigned length);
#define MAY_CALL_EACH(...)                                                                                                     \
	(__builtin_expect(!atomic_load_explicit(&confined, memory_order_relaxed), 1) ||                                        \
	 confined_may_call_each((const short[]){__VA_ARGS__}, sizeof((const short[]){__VA_ARGS__}) / sizeof(short)))

/* fstat(3) is one or the other call, by libc's version. */
#ifdef SYS_newfstatat
#define MAY_CALL_FSTAT MAY_CALL_EACH(SYS_fstat, SYS_newfstatat)
#else
#define MAY_CALL_FSTAT MAY_CALL_EACH(SYS_fstat)
#endif

/* Room for a filter that is about to be installed, as afterwards there may be none; NULL without. Then either the
 * kernel took the filter, which is copied now that its pointers are known to be good, or it did not. */
struct sock_filter *confined_room(void);
void confined_by(struct sock_filter *room, const struct sock_fprog *program);
void confined_not(struct sock_filter *room);

/* No call is known to be allowed any more. */
void confined_wholly(void);

#endif
