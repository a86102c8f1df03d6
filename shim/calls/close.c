/* close: what a close means is decided only after the real call has returned, because until then the connection is open and
 * another thread may copy it. After the call the number may already belong to somebody else, so everything is noted before. */
#include "calls/vfork.h"
#include "process/descriptors.h"
#include "process/limiter.h"
#include "process/linger.h"
#include "process/real.h"
#include "process/sole.h"

#include <errno.h>
#include <linux/close_range.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

static HOT __attribute__((noinline)) int close_held(int descriptor)
{
	struct closing closing;

	if (in_vfork_child())
		return REAL(close)(descriptor);
	closing_begins(&closing, descriptor);
	/* Even if it fails, the descriptor is closed (close(2)). */
	int result = REAL(close)(descriptor);
	int kept = errno;
	closing_ends(&closing, true);
	linger_look();
	errno = kept;
	return result;
}

/* Most descriptors are not tracked. For those there is only a check and a jump, without a stack frame. */
INTERPOSE HOT int close(int descriptor)
{
	if (__builtin_expect(descriptor_held(descriptor) == 0, 1))
		return REAL(close)(descriptor);
	return close_held(descriptor);
}

/* As in libc, a null stream crashes here; its header declares that there is none. */
INTERPOSE int fclose(FILE *stream)
{
	struct closing closing;
	int kept = errno;
	int descriptor = fileno(stream);

	errno = kept;
	if (descriptor_held(descriptor) == 0 || in_vfork_child())
		return REAL(fclose)(stream);
	closing_begins(&closing, descriptor);
	int result = REAL(fclose)(stream);
	kept = errno;
	closing_ends(&closing, true);
	errno = kept;
	return result;
}

/* freopen(3) closes the stream's descriptor first, even if it then fails to open the other file. */
#define FREOPEN(name)                                                                                                          \
	INTERPOSE FILE *name(const char *path, const char *mode, FILE *stream)                                                 \
	{                                                                                                                      \
		struct closing closing = {.entry = NULL};                                                                      \
		int kept = errno;                                                                                              \
		int descriptor = fileno(stream);                                                                               \
		errno = kept;                                                                                                  \
		if (descriptor_held(descriptor) != 0 && !in_vfork_child())                                                     \
			closing_begins(&closing, descriptor);                                                                  \
		FILE *result = REAL(name)(path, mode, stream);                                                                 \
		kept = errno;                                                                                                  \
		closing_ends(&closing, true);                                                                                  \
		errno = kept;                                                                                                  \
		return result;                                                                                                 \
	}

FREOPEN(freopen)
FREOPEN(freopen64)

/* ---- many at once ---- */

static bool range_begins(unsigned first, unsigned last)
{
	if (!limiter_is_open() || in_vfork_child())
		return false;
	range_closing_begins(first, last);
	return true;
}

INTERPOSE int close_range(unsigned first, unsigned last, int flags)
{
	bool keeps = (flags & (int)CLOSE_RANGE_CLOEXEC) != 0;
	int kept = errno;

	if ((flags & (int)CLOSE_RANGE_UNSHARE) != 0 && limiter_is_open() && !in_vfork_child())
		sole_ends_for_good();
	bool ours = !keeps && range_begins(first, last);
	errno = kept;
	int result = REAL(close_range) != NULL ? REAL(close_range)(first, last, flags)
					       : (int)REAL(syscall)(SYS_close_range, first, last, flags);
	if (ours)
		range_closing_ends(first, last);
	return result;
}

INTERPOSE void closefrom(int first)
{
	unsigned from = first > 0 ? (unsigned)first : 0;
	int kept = errno;
	bool ours = range_begins(from, ~0U);

	errno = kept;
	REAL(closefrom)(first);
	if (ours)
		range_closing_ends(from, ~0U);
}
