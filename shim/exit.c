/* The ways out of a process. The kernel closes what it held; we let go of the references.
 *
 * They may be dropped only when the connections are closed, or a client could be admitted while its old connection is still open. So
 * a process with one thread closes them itself, as its very last act. With more threads a descriptor that is closed here could be
 * reused and written to by another one: there the references stay, and the kernel is asked when it matters. */
#include "descriptors.h"
#include "limiter.h"
#include "listeners.h"
#include "real.h"
#include "vfork.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/single_threaded.h>

static void close_and_drop(int descriptor, reference held)
{
	if ((uint32_t)held == LISTENER_MARK)
		return;
	table_closing(limiter_table(), held);
	REAL(close)(descriptor);
	if (descriptor_take(descriptor) == held)
		table_drop(limiter_table(), held);
}

/* The table is removed by the process that made it. A worker must not so much as look whether it is the last: it may have confined
 * itself (seccomp(2)) to the calls that it needs, and any other would be its end. */
static bool made_the_table(void)
{
	return atomic_load_explicit(&limiter_table()->header->maker, memory_order_relaxed) == limiter_table()->pid;
}

static void leave(void)
{
	if (!limiter_is_open() || in_vfork_child())
		return;
	if (__libc_single_threaded)
		descriptor_each(0, ~0U, close_and_drop);
	if (made_the_table())
		table_retire(limiter_table());
}

/* After every atexit handler and the program's destructors; only libc's own flush of its streams comes later, and since a stream may
 * lead to a connection, we have it done before. */
__attribute__((destructor)) static void at_exit(void)
{
	if (!limiter_is_open() || in_vfork_child())
		return;
	if (__libc_single_threaded && descriptor_number(1) > 0)
		fflush(NULL);
	leave();
}

static void at_quick_exit_too(void)
{
	leave();
}

__attribute__((constructor)) static void watch_quick_exit(void)
{
	at_quick_exit(at_quick_exit_too);
}

INTERPOSE void _exit(int status)
{
	leave();
	for (;;)
		REAL(_exit)(status);
}

INTERPOSE void _Exit(int status)
{
	leave();
	for (;;)
		REAL(_Exit)(status);
}
