/* dup and its relatives: a second descriptor refers to the same connection, and dup2 and dup3 close what was at the wanted
 * number. */
#include "calls/vfork.h"
#include "process/descriptors.h"
#include "process/limiter.h"
#include "process/real.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static __attribute__((noinline)) int dup_held(int descriptor)
{
	bool copies = copying_begins(descriptor);
	int copy = REAL(dup)(descriptor);

	copying_ends(copies);
	return copy;
}

INTERPOSE int dup(int descriptor)
{
	if (__builtin_expect(descriptor_held(descriptor) == 0, 1))
		return REAL(dup)(descriptor);
	return dup_held(descriptor);
}

/* Neither descriptor is tracked, or both are the same: nothing changes for us. */
static bool concerns_nothing(int descriptor, int wanted)
{
	return descriptor == wanted || (descriptor_held(descriptor) == 0 && descriptor_held(wanted) == 0);
}

static bool replacing_begins(struct closing *closing, int descriptor, int wanted)
{
	bool copies = copying_begins(descriptor);

	closing->entry = NULL;
	if (!in_vfork_child())
		closing_begins(closing, wanted);
	return copies;
}

static int replacing_ends(const struct closing *closing, bool copies, int result)
{
	int kept = errno;

	copying_ends(copies);
	closing_ends(closing, result >= 0);
	errno = kept;
	return result;
}

INTERPOSE int dup2(int descriptor, int wanted)
{
	struct closing closing;

	if (__builtin_expect(concerns_nothing(descriptor, wanted), 1))
		return REAL(dup2)(descriptor, wanted);
	bool copies = replacing_begins(&closing, descriptor, wanted);
	return replacing_ends(&closing, copies, REAL(dup2)(descriptor, wanted));
}

INTERPOSE int dup3(int descriptor, int wanted, int flags)
{
	struct closing closing;

	if (__builtin_expect(concerns_nothing(descriptor, wanted), 1))
		return REAL(dup3)(descriptor, wanted, flags);
	bool copies = replacing_begins(&closing, descriptor, wanted);
	return replacing_ends(&closing, copies, REAL(dup3)(descriptor, wanted, flags));
}

static __attribute__((noinline)) int duplicate(int (*really)(int descriptor, int command, ...), int descriptor, int command,
					       long argument)
{
	bool copies = copying_begins(descriptor);
	int copy = really(descriptor, command, argument);

	copying_ends(copies);
	return copy;
}

/* fcntl(2): the third argument is an int, a pointer or absent. One register holds any of them, and on our architectures a
 * variadic caller passes it in the same place (as in syscall.c). */
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
