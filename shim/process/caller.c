#include "process/caller.h"

#include "values/hot.h"

#include <sys/auxv.h>

_Thread_local uintptr_t caller_stack_end __attribute__((tls_model("initial-exec")));

/* What the kernel has put behind the first thread's stack begins with this, and goes on with the environment, which may be
 * long. */
START void caller_begin(void)
{
	caller_stack_end = getauxval(AT_RANDOM);
}

/* The variables of any other thread lie at the end of its stack. A coroutine's stack is somewhere else: of that nothing is
 * certain but the page. */
COLD bool caller_has_near(const void *pointer, size_t size)
{
	enum { PAGE = 4096 };
	uintptr_t here = (uintptr_t)__builtin_frame_address(0);
	uintptr_t there = (uintptr_t)pointer;
	uintptr_t end = (here | (PAGE - 1)) + 1;

	if (caller_stack_end == 0)
		caller_stack_end = (uintptr_t)&caller_stack_end;
	return there >= here && there < end && size <= end - there;
}
