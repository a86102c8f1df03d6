/* What the cheapest possible preload costs: the same calls interposed, each a jump to libc's. What connlimit costs is told over
 * this. */
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

#define EXPORTED __attribute__((visibility("default")))

#define PASS(result, name, parameters, arguments)                                                                              \
	static result(*real_##name) parameters;                                                                                \
	result name parameters;                                                                                                \
	EXPORTED result name parameters                                                                                        \
	{                                                                                                                      \
		return real_##name arguments;                                                                                  \
	}

#pragma GCC diagnostic ignored "-Wmissing-prototypes"
PASS(int, accept, (int listener, struct sockaddr *address, socklen_t *length), (listener, address, length))
PASS(int, accept4, (int listener, struct sockaddr *address, socklen_t *length, int flags), (listener, address, length, flags))
PASS(int, close, (int descriptor), (descriptor))
PASS(int, dup, (int descriptor), (descriptor))
PASS(int, dup2, (int descriptor, int wanted), (descriptor, wanted))
PASS(int, sigaction, (int signal, const struct sigaction *action, struct sigaction *old), (signal, action, old))
PASS(ssize_t, sendmsg, (int descriptor, const struct msghdr *message, int flags), (descriptor, message, flags))
PASS(ssize_t, recvmsg, (int descriptor, struct msghdr *message, int flags), (descriptor, message, flags))
PASS(pid_t, fork, (void), ())
PASS(ssize_t, read, (int descriptor, void *buffer, size_t size), (descriptor, buffer, size))

static int (*real_fcntl)(int, int, ...);

EXPORTED int fcntl(int descriptor, int command, ...)
{
	va_list arguments;

	va_start(arguments, command);
	void *argument = va_arg(arguments, void *);
	va_end(arguments);
	return real_fcntl(descriptor, command, argument);
}

static long (*real_syscall)(long, long, long, long, long, long, long);
long pass_syscall(long number, long a, long b, long c, long d, long e, long f) __asm__("syscall");

EXPORTED long pass_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	return real_syscall(number, a, b, c, d, e, f);
}

#define FIND(name) *(void **)(void *)&real_##name = dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void find(void)
{
	FIND(accept);
	FIND(accept4);
	FIND(close);
	FIND(dup);
	FIND(dup2);
	FIND(sigaction);
	FIND(sendmsg);
	FIND(recvmsg);
	FIND(fork);
	FIND(read);
	FIND(fcntl);
	FIND(syscall);
}
