/* signalfd(2): a daemon that reads its signals. We look at what is read from a signalfd, whatever its number and whichever call
 * reads it. */
#include "process/handlers.h"
#include "process/real.h"

#include "values/door.h"
#include "values/near.h"

#include <stddef.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/uio.h>

NEAR static _Atomic bool any;
static dev_t device; /* all signalfds share one inode (anon_inodefs), which no file or socket has */
static ino_t inode;

INTERPOSE int signalfd(int descriptor, const sigset_t *mask, int flags)
{
	int made = REAL(signalfd)(descriptor, mask, flags);
	int kept = errno;
	struct stat facts;

	if (made >= 0 && !atomic_load(&any) && door_fstat(made, &facts) == 0) {
		device = facts.st_dev;
		inode = facts.st_ino;
		atomic_store(&any, true);
	}
	errno = kept;
	return made;
}

static bool is_signalfd(int descriptor)
{
	struct stat facts;

	return door_fstat(descriptor, &facts) == 0 && facts.st_dev == device && facts.st_ino == inode;
}

/* Clients control what is read from their connections, so only data from a signalfd counts as a signal. */
static __attribute__((noinline)) void look(int descriptor, const struct iovec *parts, int number, size_t length)
{
	size_t at = 0; /* offset in the first of the parts */
	int kept = errno;

	for (; length >= sizeof(struct signalfd_siginfo); length -= sizeof(struct signalfd_siginfo)) {
		struct signalfd_siginfo one;

		for (size_t had = 0; had < sizeof(one);) {
			size_t some = sizeof(one) - had;

			if (number == 0)
				return;
			if (at == parts->iov_len) {
				parts++, number--;
				at = 0;
				continue;
			}
			if (some > parts->iov_len - at)
				some = parts->iov_len - at;
			memcpy((char *)&one + had, (const char *)parts->iov_base + at, some);
			had += some;
			at += some;
		}
		if (handlers_watch_over((int)one.ssi_signo) && is_signalfd(descriptor))
			handlers_passed((int)one.ssi_signo);
	}
	errno = kept;
}

static inline bool may_be_signals(ssize_t length)
{
	return length >= (ssize_t)sizeof(struct signalfd_siginfo) && length % (ssize_t)sizeof(struct signalfd_siginfo) == 0;
}

static void look_at(int descriptor, void *buffer, ssize_t length)
{
	const struct iovec part = {.iov_base = buffer, .iov_len = (size_t)length};

	if (may_be_signals(length))
		look(descriptor, &part, 1, (size_t)length);
}

static __attribute__((noinline)) ssize_t read_and_look(int descriptor, void *buffer, size_t size)
{
	ssize_t length = REAL(read)(descriptor, buffer, size);

	look_at(descriptor, buffer, length);
	return length;
}

static inline bool none(void)
{
	return __builtin_expect(!atomic_load_explicit(&any, memory_order_relaxed), 1);
}

INTERPOSE ssize_t read(int descriptor, void *buffer, size_t size)
{
	return none() ? REAL(read)(descriptor, buffer, size) : read_and_look(descriptor, buffer, size);
}

/* The form of read that _FORTIFY_SOURCE uses if the compiler knows the size of the buffer but not of the read. */
ssize_t __read_chk(int descriptor, void *buffer, size_t size, size_t room); // NOLINT(bugprone-reserved-identifier)

INTERPOSE ssize_t __read_chk(int descriptor, void *buffer, size_t size, size_t room) // NOLINT(bugprone-reserved-identifier)
{
	ssize_t length = REAL(__read_chk)(descriptor, buffer, size, room);

	if (!none())
		look_at(descriptor, buffer, length);
	return length;
}

INTERPOSE ssize_t readv(int descriptor, const struct iovec *parts, int number)
{
	ssize_t length = REAL(readv)(descriptor, parts, number);

	if (!none() && may_be_signals(length))
		look(descriptor, parts, number, (size_t)length);
	return length;
}

INTERPOSE size_t fread(void *buffer, size_t size, size_t number, FILE *stream)
{
	size_t whole = REAL(fread)(buffer, size, number, stream);

	if (!none() && whole != 0) {
		int kept = errno;
		int descriptor = fileno(stream); /* fails where there is none (fmemopen(3)) */
		errno = kept;
		look_at(descriptor, buffer, (ssize_t)(whole * size));
	}
	return whole;
}
