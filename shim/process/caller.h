/* Reading memory through a caller's pointer before the kernel has accepted the call. For a bad pointer the kernel returns
 * EFAULT, but we would crash. So only memory on this thread's stack is read directly; nearly every daemon's arguments are
 * there. Other memory is read by a system call that fails in the same way (process_vm_readv(2), on ourselves). */
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
