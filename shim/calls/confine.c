/* prctl and seccomp: a process forbids itself system calls. We make sure that we do not make one that is forbidden
 * (confined.h). */
#include "calls/confine.h"

#include "calls/vfork.h"

#include "process/real.h"

#include "values/confined.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

static long settle(long result, struct sock_filter *room, const struct sock_fprog *program)
{
	if (result < 0)
		confined_not(room);
	else
		confined_by(room, program);
	return result;
}

long confine_by_seccomp(unsigned long operation, unsigned long flags, void *arguments)
{
	/* The child confines only itself, until it executes. */
	if (in_vfork_child())
		return REAL(syscall)(SYS_seccomp, operation, flags, arguments);
	if (operation == SECCOMP_SET_MODE_FILTER) {
		struct sock_filter *room = confined_room();

		return settle(REAL(syscall)(SYS_seccomp, operation, flags, arguments), room, arguments);
	}
	long result = REAL(syscall)(SYS_seccomp, operation, flags, arguments);
	if (result == 0 && operation == SECCOMP_SET_MODE_STRICT)
		confined_wholly();
	return result;
}

int confine_by_prctl(unsigned long mode, void *program)
{
	if (in_vfork_child())
		return REAL(prctl)(PR_SET_SECCOMP, mode, program);
	if (mode == SECCOMP_MODE_FILTER) {
		struct sock_filter *room = confined_room();

		return (int)settle(REAL(prctl)(PR_SET_SECCOMP, mode, program), room, program);
	}
	int result = REAL(prctl)(PR_SET_SECCOMP, mode, program);
	if (result == 0)
		confined_wholly();
	return result;
}

/* As in syscall.c: fixed parameters, so that calls that do not concern us are a jump. */
int connlimit_prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d) __asm__("prctl");

INTERPOSE int connlimit_prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)
{
	if (__builtin_expect(option != PR_SET_SECCOMP, 1))
		return REAL(prctl)(option, a, b, c, d);
	return confine_by_prctl(a, (void *)b); // NOLINT(performance-no-int-to-ptr)
}
