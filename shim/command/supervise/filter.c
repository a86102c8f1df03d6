#include "command/supervise/filter.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#define ARCHITECTURE 0
#endif

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

enum { INSTRUCTIONS_MOST = 16 };

static struct sock_filter load(size_t offset)
{
	return (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)offset);
}

static struct sock_filter skip_unless(unsigned value)
{
	return (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1);
}

static struct sock_filter answer(unsigned action)
{
	return (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, action);
}

/* System calls of another architecture, as of a 32-bit program, have other numbers. They are allowed. */
static unsigned short compose(struct sock_filter *code, const struct filter *filter)
{
	static const unsigned calls[] = {
#ifdef SYS_accept
	    SYS_accept,
#endif
	    SYS_accept4,
	    SYS_listen,
	};
	unsigned short length = 0;

	code[length++] = load(offsetof(struct seccomp_data, arch));
	code[length++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0);
	code[length++] = answer(SECCOMP_RET_ALLOW);
	code[length++] = load(offsetof(struct seccomp_data, nr));
	for (unsigned i = 0; filter->accepts && i < sizeof(calls) / sizeof(calls[0]); i++) {
		if (calls[i] == SYS_listen && !filter->listens)
			continue;
		code[length++] = skip_unless(calls[i]);
		code[length++] = answer(SECCOMP_RET_USER_NOTIF);
	}
	if (filter->no_ring) {
		code[length++] = skip_unless(SYS_io_uring_setup);
		code[length++] = answer(SECCOMP_RET_ERRNO | ENOSYS);
	}
	code[length++] = answer(SECCOMP_RET_ALLOW);
	return length;
}

static int install(struct sock_fprog *code, unsigned long flags)
{
	int descriptor = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, code);

	/* Without CAP_SYS_ADMIN the kernel requires no_new_privs (seccomp(2)). */
	if (descriptor >= 0 || errno != EACCES || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return descriptor;
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, code);
}

int filter_install(const struct filter *filter)
{
	struct sock_filter instruction[INSTRUCTIONS_MOST];
	struct sock_fprog code = {.len = compose(instruction, filter), .filter = instruction};
	unsigned long flags = filter->accepts ? SECCOMP_FILTER_FLAG_NEW_LISTENER : 0;

	if (ARCHITECTURE == 0) {
		errno = ENOSYS;
		return -1;
	}
	if (filter->accepts && filter->killable)
		flags |= SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
	return install(&code, flags);
}
