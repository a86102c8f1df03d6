/* The ways out of a process. The kernel closes what it held; we let go of the references.
 *
 * They may be dropped only when the connections are closed, or a client could be admitted while its old connection is still
 * open. So a process with one thread closes them itself, as its very last act. With more threads a descriptor that is closed
 * here could be reused and written to by another one: there the references stay, and the kernel is asked when it matters. */
#include "process/descriptors.h"
#include "process/limiter.h"
#include "process/listeners.h"
#include "process/real.h"
#include "process/snapshots.h"
#include "calls/vfork.h"

#include "values/confined.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/single_threaded.h>
#include <sys/syscall.h>

static void close_and_drop(int descriptor, reference held)
{
	if (descriptor_is_mark(held))
		return;
	table_closing(limiter_table(), held);
	REAL(close)(descriptor);
	if (descriptor_take(descriptor) == held)
		snapshot_let_go(held);
}

static void leave(void)
{
	if (!limiter_is_open() || in_vfork_child())
		return;
	if (__libc_single_threaded && may_call(SYS_close, 0, 0, 0))
		descriptor_each(0, ~0U, close_and_drop);
	if (may_call(SYS_shmctl, 0, 0, 0) && limiter_may_remove_table())
		table_retire(limiter_table());
}

/* After every atexit handler and every object's destructor, for those may still write to connections; only libc's own flush of
 * its streams comes later, and since a stream may lead to a connection, we have it done before. */
static void at_exit(void *nothing)
{
	(void)nothing;
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

/* The C++ ABI's way to register for the program's exit. With no object named, the handler is not run by our own destructor; and
 * since constructors come before __libc_start_main registers the loader, which runs all destructors, it is run after that. */
extern int __cxa_atexit(void (*function)(void *), void *argument, void *object); // NOLINT(bugprone-reserved-identifier)

__attribute__((constructor)) static void watch_exit(void)
{
	__cxa_atexit(at_exit, NULL, NULL);
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
