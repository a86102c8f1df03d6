/* fork(2) without libc, so that no preload sees it. */
#ifndef UNSEEN_FORK_H
#define UNSEEN_FORK_H

#include <signal.h>
#include <sys/syscall.h>
#include <sys/types.h>

static inline pid_t unseen_fork(void)
{
	long result;
#if defined(__x86_64__)
	__asm__ volatile("syscall" : "=a"(result) : "a"(SYS_fork) : "rcx", "r11", "memory");
#else
	register long x0 __asm__("x0") = SIGCHLD;
	register long x1 __asm__("x1") = 0;
	register long x2 __asm__("x2") = 0;
	register long x3 __asm__("x3") = 0;
	register long x4 __asm__("x4") = 0;
	register long x8 __asm__("x8") = SYS_clone;
	__asm__ volatile("svc #0" : "+r"(x0) : "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x8) : "memory");
	result = x0;
#endif
	return (pid_t)result;
}

#endif
