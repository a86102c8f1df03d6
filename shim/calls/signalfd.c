/* signalfd(2): a daemon that reads its signals. The descriptors are marked in the map, and what is read from one is looked at.
 */
#include "process/descriptors.h"
#include "process/limiter.h"
#include "process/near.h"
#include "process/real.h"
#include "calls/signals.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define SIGNALFD_MARK ((reference)(UINT32_MAX - 2))

NEAR static _Atomic bool any;

INTERPOSE int signalfd(int descriptor, const sigset_t *mask, int flags)
{
	int made = REAL(signalfd)(descriptor, mask, flags);

	if (made >= 0 && descriptor_held(made) != SIGNALFD_MARK && sigismember(mask, limiter_settings()->signal) == 1) {
		int kept = errno;
		atomic_store(&any, true);
		descriptor_mark(made, SIGNALFD_MARK);
		errno = kept;
	}
	return made;
}

static void look(const char *read_bytes, size_t length);

/* What read becomes with _FORTIFY_SOURCE, where the compiler knows the buffer and not the size. */
ssize_t __read_chk(int descriptor, void *buffer, size_t size, size_t room); // NOLINT(bugprone-reserved-identifier)

INTERPOSE ssize_t __read_chk(int descriptor, void *buffer, size_t size, size_t room) // NOLINT(bugprone-reserved-identifier)
{
	ssize_t length = REAL(__read_chk)(descriptor, buffer, size, room);

	if (atomic_load_explicit(&any, memory_order_relaxed) && length > 0 && descriptor_held(descriptor) == SIGNALFD_MARK)
		look(buffer, (size_t)length);
	return length;
}

static void look(const char *read_bytes, size_t length)
{
	for (; length >= sizeof(struct signalfd_siginfo); length -= sizeof(struct signalfd_siginfo)) {
		uint32_t signal;

		memcpy(&signal, read_bytes + offsetof(struct signalfd_siginfo, ssi_signo), sizeof(signal));
		signal_passed((int)signal);
		read_bytes += sizeof(struct signalfd_siginfo);
	}
}

static __attribute__((noinline)) ssize_t read_and_look(int descriptor, void *buffer, size_t size)
{
	ssize_t length = REAL(read)(descriptor, buffer, size);

	if (length > 0 && descriptor_held(descriptor) == SIGNALFD_MARK)
		look(buffer, (size_t)length);
	return length;
}

INTERPOSE ssize_t read(int descriptor, void *buffer, size_t size)
{
	if (__builtin_expect(!atomic_load_explicit(&any, memory_order_relaxed), 1))
		return REAL(read)(descriptor, buffer, size);
	return read_and_look(descriptor, buffer, size);
}
