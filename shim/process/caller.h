/* Reading what a caller's pointer points to before the kernel has taken the call. The kernel answers a bad pointer with EFAULT;
 * we would crash on it. So only what lies on this thread's stack, which is where nearly every daemon has it, is read as it is;
 * anything else is read by a call that fails as the kernel's own would (process_vm_readv(2), on ourselves). */
#ifndef CONNLIMIT_CALLER_H
#define CONNLIMIT_CALLER_H

#include "values/door.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline bool caller_has_on_stack(const void *pointer)
{
	uintptr_t here = (uintptr_t)__builtin_frame_address(0);
	uintptr_t there = (uintptr_t)pointer;

	return there >= here && there - here < (1U << 20);
}

/* False if it cannot be read. errno may change. */
static inline bool caller_read(void *to, const void *from, size_t size)
{
	if (__builtin_expect(!caller_has_on_stack(from), 0))
		return door_read_self(to, from, size) == (ssize_t)size;
	memcpy(to, from, size);
	return true;
}

#endif
