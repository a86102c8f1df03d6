/* The list of the calls that we interpose. The table of real calls, the list of exported symbols and the test of both are made
 * from it, so that they cannot drift apart.
 *
 *     CALL(result, name, (parameters))
 *
 * The comment above each group says what would go wrong without it. */
#ifndef CONNLIMIT_CALLS_H
#define CONNLIMIT_CALLS_H

#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <wordexp.h>

/* clang-format off */
#define INTERPOSED_CALLS(CALL) \
	/* The table would not exist before the first accept, and the listener's address would not be known: */ \
	CALL(int, listen, (int listener, int backlog)) \
	/* There would be no limit: */ \
	CALL(int, accept, (int listener, struct sockaddr *address, socklen_t *length)) \
	CALL(int, accept4, (int listener, struct sockaddr *address, socklen_t *length, int flags)) \
	/* Closed connections would count until the kernel is asked: */ \
	CALL(int, close, (int descriptor)) \
	CALL(int, fclose, (FILE *stream)) \
	CALL(FILE *, freopen, (const char *path, const char *mode, FILE *stream)) \
	CALL(FILE *, freopen64, (const char *path, const char *mode, FILE *stream)) \
	/* Connections closed this way would count until this process exits: */ \
	CALL(int, close_range, (unsigned first, unsigned last, int flags)) \
	CALL(void, closefrom, (int first)) \
	/* Closing one descriptor would release what the copy still holds; dup2 and dup3 also close: */ \
	CALL(int, dup, (int descriptor)) \
	CALL(int, dup2, (int descriptor, int wanted)) \
	CALL(int, dup3, (int descriptor, int wanted, int flags)) \
	CALL(int, fcntl, (int descriptor, int command, ...)) \
	CALL(int, fcntl64, (int descriptor, int command, ...)) \
	/* The same for descriptors passed to another process; and one that only passes sockets would not open the table: */ \
	CALL(ssize_t, sendmsg, (int descriptor, const struct msghdr *message, int flags)) \
	CALL(int, sendmmsg, (int descriptor, struct mmsghdr *messages, unsigned number, int flags)) \
	CALL(ssize_t, recvmsg, (int descriptor, struct msghdr *message, int flags)) \
	/* A close by the parent would release what its child still holds: */ \
	CALL(pid_t, fork, (void)) \
	CALL(pid_t, _Fork, (void)) \
	CALL(pid_t, vfork, (void)) \
	CALL(int, clone, (int (*function)(void *), void *stack, int flags, void *argument, ...)) \
	CALL(int, unshare, (int flags)) \
	CALL(int, system, (const char *command)) \
	CALL(FILE *, popen, (const char *command, const char *mode)) \
	CALL(int, wordexp, (const char *words, wordexp_t *expanded, int flags)) \
	CALL(int, posix_spawn, (pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions, \
				const posix_spawnattr_t *attributes, char *const arguments[], char *const environment[])) \
	CALL(int, posix_spawnp, (pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions, \
				 const posix_spawnattr_t *attributes, char *const arguments[], char *const environment[])) \
	/* Connections that the new program closes would count until it exits: */ \
	CALL(int, execve, (const char *path, char *const arguments[], char *const environment[])) \
	CALL(int, execv, (const char *path, char *const arguments[])) \
	CALL(int, execvp, (const char *file, char *const arguments[])) \
	CALL(int, execvpe, (const char *file, char *const arguments[], char *const environment[])) \
	CALL(int, execl, (const char *path, const char *argument, ...)) \
	CALL(int, execlp, (const char *file, const char *argument, ...)) \
	CALL(int, execle, (const char *path, const char *argument, ...)) \
	CALL(int, fexecve, (int descriptor, char *const arguments[], char *const environment[])) \
	CALL(int, execveat, (int directory, const char *path, char *const arguments[], char *const environment[], int flags)) \
	/* We would miss the reload signal, or the daemon would see our handler: */ \
	CALL(int, sigaction, (int signal, const struct sigaction *action, struct sigaction *old)) \
	CALL(sighandler_t, signal, (int signal, sighandler_t handler)) \
	CALL(sighandler_t, ssignal, (int signal, sighandler_t handler)) \
	CALL(sighandler_t, bsd_signal, (int signal, sighandler_t handler)) \
	CALL(sighandler_t, sysv_signal, (int signal, sighandler_t handler)) \
	CALL(sighandler_t, __sysv_signal, (int signal, sighandler_t handler)) \
	CALL(sighandler_t, sigset, (int signal, sighandler_t handler)) \
	CALL(int, sigignore, (int signal)) \
	CALL(int, signalfd, (int descriptor, const sigset_t *mask, int flags)) \
	CALL(ssize_t, read, (int descriptor, void *buffer, size_t size)) \
	CALL(ssize_t, readv, (int descriptor, const struct iovec *parts, int number)) \
	CALL(size_t, fread, (void *buffer, size_t size, size_t number, FILE *stream)) \
	CALL(ssize_t, __read_chk, (int descriptor, void *buffer, size_t size, size_t room)) \
	CALL(int, sigwait, (const sigset_t *set, int *signal)) \
	CALL(int, sigwaitinfo, (const sigset_t *set, siginfo_t *info)) \
	CALL(int, sigtimedwait, (const sigset_t *set, siginfo_t *info, const struct timespec *timeout)) \
	/* A filter that we do not know could kill the daemon for one of our system calls: */ \
	CALL(int, prctl, (int option, ...)) \
	/* All of the above, for a daemon that makes the call by its number: */ \
	CALL(long, syscall, (long number, ...))
/* clang-format on */

#endif
