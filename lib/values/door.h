/* The one door for system calls that the daemon did not ask for.
 *
 * A process may have forbidden itself system calls (seccomp(2)), and one that it does not make itself could kill it. So all our
 * system calls go through here. If there is a filter, it is evaluated for this very call and its arguments first (confined.h),
 * and if the call would not return, it is not made. It then fails with EPERM, as if the kernel did not permit it, and the
 * caller copes as with any other failure.
 *
 * Apart from that, each function does what its namesake in section 2 of the manual does. They are not cancellation points
 * (pthreads(7)), other preloads do not see them, and they use no stack beyond their own frame: they are for what is between us
 * and the kernel. Where another preload has a say (who the peer is, or a descriptor that was accepted through it), libc's
 * function is called, after may_call. The clock that libc reads without a system call needs no door.
 *
 * All functions are thread-safe and async-signal-safe. */
#ifndef CONNLIMIT_DOOR_H
#define CONNLIMIT_DOOR_H

#include "values/confined.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* The kernel's own result: -errno for an error. */
static inline long door_kernel(long number, long a, long b, long c, long d, long e, long f)
{
#if defined(__x86_64__)
	register long fourth __asm__("r10") = d;
	register long fifth __asm__("r8") = e;
	register long sixth __asm__("r9") = f;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(fourth), "r"(fifth), "r"(sixth)
			 : "rcx", "r11", "memory");
	return result;
#elif defined(__aarch64__)
	register long which __asm__("x8") = number;
	register long first __asm__("x0") = a;
	register long second __asm__("x1") = b;
	register long third __asm__("x2") = c;
	register long fourth __asm__("x3") = d;
	register long fifth __asm__("x4") = e;
	register long sixth __asm__("x5") = f;

	__asm__ volatile("svc #0"
			 : "+r"(first)
			 : "r"(which), "r"(second), "r"(third), "r"(fourth), "r"(fifth), "r"(sixth)
			 : "memory");
	return first;
#else
	long result = syscall(number, a, b, c, d, e, f);

	return result == -1 ? -errno : result;
#endif
}

/* For system calls that have no name below. */
static inline long door(long number, long a, long b, long c, long d, long e, long f)
{
	long result = may_call_so(number, a, b, c, d, e, f) ? door_kernel(number, a, b, c, d, e, f) : -EPERM;

	if (result < 0 && result > -4096) {
		errno = (int)-result;
		return -1;
	}
	return result;
}

/* ---- descriptors: none is opened that could not be closed again ---- */

static inline int door_close(int descriptor)
{
	return (int)door(SYS_close, descriptor, 0, 0, 0, 0, 0);
}

static inline bool door_may_close(void)
{
	enum { SOME_NUMBER = 9 }; /* filters do not distinguish descriptors, except those of standard input, output and error */

	if (may_call(SYS_close, SOME_NUMBER, 0, 0))
		return true;
	errno = EPERM;
	return false;
}

static inline int door_open(const char *path, int flags)
{
	return door_may_close() ? (int)door(SYS_openat, AT_FDCWD, (long)path, flags, 0, 0, 0) : -1;
}

static inline int door_socket(int domain, int type, int protocol)
{
	return door_may_close() ? (int)door(SYS_socket, domain, type, protocol, 0, 0, 0) : -1;
}

static inline int door_socketpair(int domain, int type, int protocol, int *pair)
{
	return door_may_close() ? (int)door(SYS_socketpair, domain, type, protocol, (long)pair, 0, 0) : -1;
}

static inline int door_fcntl(int descriptor, int command, long argument)
{
	return (int)door(SYS_fcntl, descriptor, command, argument, 0, 0, 0);
}

static inline int door_dup3(int descriptor, int wanted, int flags)
{
	return (int)door(SYS_dup3, descriptor, wanted, flags, 0, 0, 0);
}

static inline ssize_t door_read(int descriptor, void *buffer, size_t size)
{
	return door(SYS_read, descriptor, (long)buffer, (long)size, 0, 0, 0);
}

static inline ssize_t door_write(int descriptor, const void *bytes, size_t length)
{
	return door(SYS_write, descriptor, (long)bytes, (long)length, 0, 0, 0);
}

/* poll(2) without waiting. ppoll exists on every architecture. */
static inline int door_poll(struct pollfd *descriptors, size_t number)
{
	struct timespec at_once = {0};

	return (int)door(SYS_ppoll, (long)descriptors, (long)number, (long)&at_once, 0, 0, 0);
}

static inline int door_fstat(int descriptor, struct stat *facts)
{
	/* libc's fstat is one or the other, depending on its version, and a filter may allow only that one. */
	int result = (int)door(SYS_fstat, descriptor, (long)facts, 0, 0, 0, 0);

	return result == 0 || errno != EPERM
		   ? result
		   : (int)door(SYS_newfstatat, descriptor, (long)"", (long)facts, AT_EMPTY_PATH, 0, 0);
}

static inline int door_fstatat(int directory, const char *path, struct stat *facts, int flags)
{
	return (int)door(SYS_newfstatat, directory, (long)path, (long)facts, flags, 0, 0);
}

static inline ssize_t door_readlink(const char *path, char *buffer, size_t size)
{
	return door(SYS_readlinkat, AT_FDCWD, (long)path, (long)buffer, (long)size, 0, 0);
}

/* ---- sockets ---- */

static inline ssize_t door_sendto(int descriptor, const void *bytes, size_t length, int flags, const void *address,
				  socklen_t address_length)
{
	return door(SYS_sendto, descriptor, (long)bytes, (long)length, flags, (long)address, (long)address_length);
}

static inline ssize_t door_recvfrom(int descriptor, void *buffer, size_t size, int flags, void *address,
				    socklen_t *address_length)
{
	return door(SYS_recvfrom, descriptor, (long)buffer, (long)size, flags, (long)address, (long)address_length);
}

static inline int door_getsockopt(int descriptor, int level, int option, void *value, socklen_t *length)
{
	return (int)door(SYS_getsockopt, descriptor, level, option, (long)value, (long)length, 0);
}

/* An option of a fixed size. False if there is none of that size. */
static inline bool door_option(int descriptor, int level, int option, void *value, socklen_t size)
{
	socklen_t length = size;

	return door_getsockopt(descriptor, level, option, value, &length) == 0 && length == size;
}

static inline int door_setsockopt(int descriptor, int level, int option, const void *value, socklen_t length)
{
	return (int)door(SYS_setsockopt, descriptor, level, option, (long)value, (long)length, 0);
}

static inline int door_getsockname(int descriptor, void *address, socklen_t *length)
{
	return (int)door(SYS_getsockname, descriptor, (long)address, (long)length, 0, 0, 0);
}

static inline int door_getpeername(int descriptor, void *address, socklen_t *length)
{
	return (int)door(SYS_getpeername, descriptor, (long)address, (long)length, 0, 0, 0);
}

static inline int door_bind(int descriptor, const void *address, socklen_t length)
{
	return (int)door(SYS_bind, descriptor, (long)address, (long)length, 0, 0, 0);
}

static inline int door_connect(int descriptor, const void *address, socklen_t length)
{
	return (int)door(SYS_connect, descriptor, (long)address, (long)length, 0, 0, 0);
}

static inline int door_shutdown(int descriptor, int how)
{
	return (int)door(SYS_shutdown, descriptor, how, 0, 0, 0, 0);
}

/* ---- memory ---- */

/* Maps a file from its beginning, or anonymous memory (MAP_ANONYMOUS and -1). MAP_FAILED on error. */
static inline void *door_mmap(void *address, size_t size, int protection, int flags, int descriptor)
{
	return (void *)door(SYS_mmap, (long)address, (long)size, protection, flags,
			    descriptor, // NOLINT(performance-no-int-to-ptr)
			    0);
}

static inline int door_munmap(void *address, size_t size)
{
	return (int)door(SYS_munmap, (long)address, (long)size, 0, 0, 0, 0);
}

static inline int door_mincore(const void *address, size_t size, unsigned char *there)
{
	return (int)door(SYS_mincore, (long)address, (long)size, (long)there, 0, 0, 0);
}

static inline int door_madvise(void *address, size_t size, int advice)
{
	return (int)door(SYS_madvise, (long)address, (long)size, advice, 0, 0, 0);
}

static inline int door_shmget(key_t key, size_t size, int flags)
{
	return (int)door(SYS_shmget, key, (long)size, flags, 0, 0, 0);
}

static inline void *door_shmat(int id, const void *address, int flags)
{
	return (void *)door(SYS_shmat, id, (long)address, flags, 0, 0, 0); // NOLINT(performance-no-int-to-ptr)
}

static inline int door_shmdt(const void *address)
{
	return (int)door(SYS_shmdt, (long)address, 0, 0, 0, 0, 0);
}

static inline int door_shmctl(int id, int command, struct shmid_ds *facts)
{
	return (int)door(SYS_shmctl, id, command, (long)facts, 0, 0, 0);
}

/* ---- processes and signals ---- */

/* These do not fail but for the filter, and then are -1. */
/* Not to be called where the daemon would not wait. */
static inline void door_sleep_us(long us)
{
	struct timespec time = {.tv_nsec = us * 1000};

	door(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, (long)&time, 0, 0, 0);
}

static inline pid_t door_getpid(void)
{
	return (pid_t)door(SYS_getpid, 0, 0, 0, 0, 0, 0);
}

/* Reads this process's own memory. Fails with EFAULT where nothing is mapped (process_vm_readv(2)). */
static inline ssize_t door_read_self(void *to, const void *from, size_t size)
{
	struct iovec ours = {.iov_base = to, .iov_len = size};
	struct iovec theirs = {.iov_base = (void *)(uintptr_t)from, .iov_len = size};

	return door(SYS_process_vm_readv, door_getpid(), (long)&ours, 1, (long)&theirs, 1, 0);
}

static inline pid_t door_getppid(void)
{
	return (pid_t)door(SYS_getppid, 0, 0, 0, 0, 0, 0);
}

static inline pid_t door_gettid(void)
{
	return (pid_t)door(SYS_gettid, 0, 0, 0, 0, 0, 0);
}

static inline uid_t door_geteuid(void)
{
	return (uid_t)door(SYS_geteuid, 0, 0, 0, 0, 0, 0);
}

static inline int door_kill(pid_t pid, int signal)
{
	return (int)door(SYS_kill, pid, signal, 0, 0, 0, 0);
}

/* The kernel's set of signals: libc's has sixteen times the size, and these lie on small stacks. */
typedef uint64_t signal_set;

static inline signal_set signal_alone(int signal)
{
	return UINT64_C(1) << (signal - 1);
}

static inline int door_sigprocmask(int how, const signal_set *set, signal_set *before)
{
	return (int)door(SYS_rt_sigprocmask, how, (long)set, (long)before, sizeof(*set), 0, 0);
}

/* Not by libc's sigaction, which takes ten times the stack. */
static inline int door_sigdefault(int signal)
{
	const struct {
		void (*handler)(int signal);
		unsigned long flags;
		void (*restorer)(void);
		signal_set mask;
	} by_default = {.handler = SIG_DFL};

	return (int)door(SYS_rt_sigaction, signal, (long)&by_default, 0, sizeof(signal_set), 0, 0);
}

static inline int door_sigpending(signal_set *set)
{
	return (int)door(SYS_rt_sigpending, (long)set, sizeof(*set), 0, 0, 0, 0);
}

/* sigtimedwait(2) without waiting. */
static inline int door_sigtake(const signal_set *set)
{
	struct timespec at_once = {0};

	return (int)door(SYS_rt_sigtimedwait, (long)set, 0, (long)&at_once, sizeof(*set), 0, 0);
}

#endif
