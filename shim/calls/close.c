/* close: what the descriptor held is taken before the real call, because its number may be somebody else's right after, and
 * dropped behind it, because until then the connection is open. */
#include "process/descriptors.h"
#include "process/limiter.h"
#include "process/linger.h"
#include "process/real.h"
#include "process/snapshots.h"
#include "calls/vfork.h"

#include <errno.h>
#include <linux/close_range.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

static HOT __attribute__((noinline)) int close_held(int descriptor)
{
	if (in_vfork_child())
		return REAL(close)(descriptor);
	reference held = descriptor_take(descriptor);
	table_closing(limiter_table(), held);
	int result = REAL(close)(descriptor);
	int kept = errno;
	snapshot_let_go(held);
	linger_look();
	errno = kept;
	return result;
}

/* Most descriptors are not ours: for them there is no frame, only a look and a jump. */
INTERPOSE HOT int close(int descriptor)
{
	if (__builtin_expect(descriptor_held(descriptor) == 0, 1))
		return REAL(close)(descriptor);
	return close_held(descriptor);
}

/* A null stream ends the program here as in libc, whose header says that there is none. */
INTERPOSE int fclose(FILE *stream)
{
	int kept = errno;
	int descriptor = fileno(stream);

	errno = kept;
	if (descriptor_held(descriptor) == 0 || in_vfork_child())
		return REAL(fclose)(stream);
	reference held = descriptor_take(descriptor);
	table_closing(limiter_table(), held);
	int result = REAL(fclose)(stream);
	kept = errno;
	snapshot_let_go(held);
	errno = kept;
	return result;
}

/* freopen(3) closes the stream's descriptor first, whatever comes of opening the other file. */
static reference take_of_stream(FILE *stream)
{
	int kept = errno;
	int descriptor = fileno(stream);

	errno = kept;
	if (descriptor_held(descriptor) == 0 || in_vfork_child())
		return 0;
	reference held = descriptor_take(descriptor);
	table_closing(limiter_table(), held);
	return held;
}

#define FREOPEN(name)                                                                                                          \
	INTERPOSE FILE *name(const char *path, const char *mode, FILE *stream)                                                 \
	{                                                                                                                      \
		reference held = take_of_stream(stream);                                                                       \
		FILE *result = REAL(name)(path, mode, stream);                                                                 \
		int kept = errno;                                                                                              \
		if (held != 0)                                                                                                 \
			snapshot_let_go(held);                                                                                 \
		errno = kept;                                                                                                  \
		return result;                                                                                                 \
	}

FREOPEN(freopen)
FREOPEN(freopen64)

static void drop_closed(int descriptor, reference held)
{
	(void)held;
	snapshot_let_go(descriptor_take(descriptor));
}

INTERPOSE int close_range(unsigned first, unsigned last, int flags)
{
	int result = REAL(close_range) != NULL ? REAL(close_range)(first, last, flags)
					       : (int)syscall(SYS_close_range, first, last, flags);
	int kept = errno;

	if (result == 0 && (flags & (int)CLOSE_RANGE_CLOEXEC) == 0 && limiter_is_open() && !in_vfork_child())
		descriptor_each(first, last, drop_closed);
	errno = kept;
	return result;
}

INTERPOSE void closefrom(int first)
{
	int kept = errno;

	REAL(closefrom)(first);
	if (limiter_is_open() && !in_vfork_child())
		descriptor_each(first > 0 ? (unsigned)first : 0, ~0U, drop_closed);
	errno = kept;
}
