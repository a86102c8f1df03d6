/* syscall(2): the daemon makes by number a call that we interpose by name. The same bookkeeping applies. */
#include "calls/confine.h"
#include "process/descriptors.h"
#include "process/limiter.h"
#include "process/caller.h"
#include "process/real.h"
#include "process/children.h"
#include "process/sole.h"
#include "calls/vfork.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* close(2) by number. Like libc's syscall, it is not a cancellation point, and it sets errno in the same way. */
static long raw_close(long number, int descriptor)
{
	struct closing closing;

	closing_begins(&closing, descriptor);
	long result = REAL(syscall)(number, descriptor);
	int kept = errno;
	closing_ends(&closing, true);
	errno = kept;
	return result;
}

/* A child with its own memory is a fork. If a stack is given, the caller wants the child to continue elsewhere, so our frame
 * must not be in between. */
static bool is_fork(long flags, long stack)
{
	return (flags & CLONE_VM) == 0 && stack == 0;
}

static long raw_fork(long number, long a, long b, long c, long d, long e)
{
	child_begins();
	long pid = REAL(syscall)(number, a, b, c, d, e);
	if (pid == 0)
		child_in_itself();
	else
		child_made((pid_t)pid);
	return pid;
}

/* Checked first, so that other calls need no frame of ours. */
static bool may_concern(long number)
{
	switch (number) {
	case SYS_close:
#ifdef SYS_accept
	case SYS_accept:
#endif
	case SYS_accept4:
	case SYS_listen:
	case SYS_dup:
#ifdef SYS_dup2
	case SYS_dup2:
#endif
	case SYS_dup3:
	case SYS_fcntl:
	case SYS_close_range:
#ifdef SYS_fork
	case SYS_fork:
	case SYS_vfork:
#endif
	case SYS_clone:
	case SYS_clone3:
	case SYS_execve:
	case SYS_execveat:
	case SYS_unshare:
	case SYS_sendmsg:
	case SYS_recvmsg:
	case SYS_sendmmsg:
	case SYS_prctl:
	case SYS_seccomp: return true;
	default: return false;
	}
}

static __attribute__((noinline)) long concerning(long number, long a, long b, long c, long d, long e, long f)
{
	switch (number) {
	case SYS_close:
		if (descriptor_held((int)a) != 0 && !in_vfork_child())
			return raw_close(number, (int)a);
		break;
#ifdef SYS_accept
	case SYS_accept: return accept((int)a, (struct sockaddr *)b, (socklen_t *)c);
#endif
	case SYS_accept4: return accept4((int)a, (struct sockaddr *)b, (socklen_t *)c, (int)d);
	case SYS_listen: return listen((int)a, (int)b);
	case SYS_dup: return dup((int)a);
#ifdef SYS_dup2
	case SYS_dup2: return dup2((int)a, (int)b);
#endif
	case SYS_dup3: return dup3((int)a, (int)b, (int)c);
	case SYS_fcntl:
		if (b == F_DUPFD || b == F_DUPFD_CLOEXEC)
			return fcntl((int)a, (int)b, c);
		break;
	case SYS_close_range: return close_range((unsigned)a, (unsigned)b, (int)c);
#ifdef SYS_fork
	case SYS_fork: return raw_fork(number, a, b, c, d, e);
#endif
	case SYS_clone:
		clone_shares((unsigned long)a);
		if (is_fork(a, b))
			return raw_fork(number, a, b, c, d, e);
		/* A thread, or a child that continues where we have no frame. */
		if ((a & CLONE_THREAD) == 0 && limiter_is_of_daemon())
			sole_ends_for_good();
		break;
	case SYS_clone3: {
		struct clone_args given = {.flags = 0};
		/* A caller may have a shorter form of it. */
		int kept = errno;
		bool read = (size_t)b >= CLONE_ARGS_SIZE_VER0 &&
			    caller_read(&given, (const void *)a, CLONE_ARGS_SIZE_VER0); // NOLINT(performance-no-int-to-ptr)
		errno = kept;
		if (read && (given.flags & CLONE_THREAD) == 0) {
			clone_shares(given.flags);
			if (is_fork((long)given.flags, (long)given.stack))
				return raw_fork(number, a, b, c, d, e);
			if (limiter_is_of_daemon())
				sole_ends_for_good();
		}
		break;
	}
	case SYS_unshare: return unshare((int)a);
	case SYS_execve:
		return execve((const char *)a, (char *const *)b, (char *const *)c); // NOLINT(performance-no-int-to-ptr)
	case SYS_execveat:
		return execveat((int)a, (const char *)b, (char *const *)c, (char *const *)d,
				(int)e);					    // NOLINT(performance-no-int-to-ptr)
	case SYS_sendmsg: return sendmsg((int)a, (const struct msghdr *)b, (int)c); // NOLINT(performance-no-int-to-ptr)
	case SYS_recvmsg: return recvmsg((int)a, (struct msghdr *)b, (int)c);	    // NOLINT(performance-no-int-to-ptr)
	case SYS_prctl:
		if (a == PR_SET_SECCOMP)
			return confine_by_prctl((unsigned long)b, (void *)c); // NOLINT(performance-no-int-to-ptr)
		break;
	case SYS_seccomp:
		return confine_by_seccomp((unsigned long)a, (unsigned long)b, (void *)c); // NOLINT(performance-no-int-to-ptr)
	case SYS_sendmmsg:
		return sendmmsg((int)a, (struct mmsghdr *)b, (unsigned)c, (int)d); // NOLINT(performance-no-int-to-ptr)
	default: break;
	}
	return REAL(syscall)(number, a, b, c, d, e, f);
}

/* Declared with fixed parameters. On our architectures a variadic caller passes them in the same places. So each call that does
 * not concern us is a jump to the real one, with the caller's own stack. */
long connlimit_syscall(long number, long a, long b, long c, long d, long e, long f) __asm__("syscall");

INTERPOSE long connlimit_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	if (__builtin_expect(!may_concern(number), 1))
		return REAL(syscall)(number, a, b, c, d, e, f);
	return concerning(number, a, b, c, d, e, f);
}
