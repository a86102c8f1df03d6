/* Reading memory through a caller's pointer before the kernel has accepted the call. For a bad pointer the kernel returns
 * EFAULT, but we would crash. So only memory that is certainly on this thread's stack is read directly; nearly every daemon's
 * arguments are there. Other memory is read by a system call that fails in the same way (process_vm_readv(2), on ourselves). */
#ifndef CONNLIMIT_CALLER_H
#define CONNLIMIT_CALLER_H

#include "process/sole.h"

#include "values/door.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The end of this thread's stack; 0 before it is known. */
extern _Thread_local uintptr_t caller_stack_end __attribute__((tls_model("initial-exec")));

/* Called in the program's first thread. */
void caller_begin(void);

static inline bool caller_has_on_stack(const void *pointer, size_t size)
{
	enum { MOST = 1 << 20 };
	uintptr_t here = (uintptr_t)__builtin_frame_address(0);
	uintptr_t most = caller_stack_end - here - size;

	return __builtin_expect(most < MOST && (uintptr_t)pointer - here <= most, 1);
}

/* The same on a coroutine's stack, and the first time in a thread. */
bool caller_has_near(const void *pointer, size_t size);

/* Returns how much there is of it, wherever it lies. What we cannot read the kernel cannot read either. But if the call is
 * forbidden to us we do not know, and assume the worst: that descriptors are copied by what lies there. errno may change. */
static inline size_t caller_read_asking(void *to, const void *from, size_t size)
{
	ssize_t read = door_read_self(to, from, size);

	if (read < 0 && errno != EFAULT)
		sole_ends_for_good();
	return read > 0 ? (size_t)read : 0;
}

/* False if it cannot be read. errno may change. */
static inline bool caller_read(void *to, const void *from, size_t size)
{
	if (!caller_has_on_stack(from, size) && !caller_has_near(from, size))
		return caller_read_asking(to, from, size) == size;
	memcpy(to, from, size);
	return true;
}

#endif
