/* dup and its kin: one more descriptor holds the same connection; and for dup2 and dup3, what was at the wanted number is
 * closed. */
#include "process/descriptors.h"
#include "calls/fork.h"
#include "process/limiter.h"
#include "process/real.h"
#include "process/snapshots.h"
#include "calls/vfork.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* Held before the call, so that another thread's close of the original cannot free the record in between. */
static reference hold_for_copy(int descriptor)
{
	reference held = descriptor_held(descriptor);

	if (__builtin_expect(held == 0, 1) || descriptor_is_mark(held))
		return 0;
	if (in_vfork_child()) {
		vfork_copied(held);
		return 0;
	}
	fork_look();
	return table_hold(limiter_table(), held) ? held : 0;
}

static int settle_copy(int copy, reference held)
{
	if (__builtin_expect(held == 0, 1))
		return copy;
	int kept = errno;
	if (copy >= 0)
		descriptor_put(copy, held);
	else
		table_drop(limiter_table(), held);
	errno = kept;
	return copy;
}

static __attribute__((noinline)) int dup_held(int descriptor)
{
	reference held = hold_for_copy(descriptor);

	return settle_copy(REAL(dup)(descriptor), held);
}

INTERPOSE int dup(int descriptor)
{
	if (__builtin_expect(descriptor_held(descriptor) == 0, 1))
		return REAL(dup)(descriptor);
	return dup_held(descriptor);
}

/* What the wanted number held is let go when the call has closed it. */
static int settle_replacement(int result, int wanted, reference held, reference replaced)
{
	int kept = errno;

	if (result < 0) {
		descriptor_put(wanted, replaced);
	} else if (replaced != 0) {
		snapshot_let_go(replaced);
	}
	errno = kept;
	return settle_copy(result, held);
}

/* Neither of the two is ours, or both are the same: nothing changes for us. */
static bool concerns_nothing(int descriptor, int wanted)
{
	return descriptor == wanted || (descriptor_held(descriptor) == 0 && descriptor_held(wanted) == 0);
}

static reference take_replaced(int wanted)
{
	if (in_vfork_child())
		return 0;
	reference replaced = descriptor_take(wanted);
	if (replaced != 0)
		table_closing(limiter_table(), replaced);
	return replaced;
}

INTERPOSE int dup2(int descriptor, int wanted)
{
	if (__builtin_expect(concerns_nothing(descriptor, wanted), 1))
		return REAL(dup2)(descriptor, wanted);
	reference held = hold_for_copy(descriptor);
	reference replaced = take_replaced(wanted);
	return settle_replacement(REAL(dup2)(descriptor, wanted), wanted, held, replaced);
}

INTERPOSE int dup3(int descriptor, int wanted, int flags)
{
	if (__builtin_expect(concerns_nothing(descriptor, wanted), 1))
		return REAL(dup3)(descriptor, wanted, flags);
	reference held = hold_for_copy(descriptor);
	reference replaced = take_replaced(wanted);
	return settle_replacement(REAL(dup3)(descriptor, wanted, flags), wanted, held, replaced);
}

static __attribute__((noinline)) int duplicate(int (*really)(int descriptor, int command, ...), int descriptor, int command,
					       long argument)
{
	reference held = hold_for_copy(descriptor);

	return settle_copy(really(descriptor, command, argument), held);
}

/* fcntl(2): the third argument is an int, a pointer, or absent; one word carries each of them, and arrives on our architectures
 * exactly where a variadic caller puts it (as in syscall.c). */
#define FCNTL(name)                                                                                                            \
	int connlimit_##name(int descriptor, int command, long argument) __asm__(#name);                                       \
	INTERPOSE int connlimit_##name(int descriptor, int command, long argument)                                             \
	{                                                                                                                      \
		if (__builtin_expect(command != F_DUPFD && command != F_DUPFD_CLOEXEC, 1))                                     \
			return REAL(name)(descriptor, command, argument);                                                      \
		return duplicate(REAL(name), descriptor, command, argument);                                                   \
	}

FCNTL(fcntl)
FCNTL(fcntl64)
