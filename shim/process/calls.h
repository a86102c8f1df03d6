/* Every call that we interpose, once. The table of real calls, the list of exported symbols and the test of both are made from
 * this list, so that they cannot drift apart.
 *
 *     CALL(result, name, (parameters))
 *
 * Over each group stands what would go wrong without it. */
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
	/* The table is made, and the listener's address learned: */ \
	CALL(int, listen, (int listener, int backlog)) \
	/* Nobody would be limited: */ \
	CALL(int, accept, (int listener, struct sockaddr *address, socklen_t *length)) \
	CALL(int, accept4, (int listener, struct sockaddr *address, socklen_t *length, int flags)) \
	/* Every connection would stay counted until the kernel is asked: */ \
	CALL(int, close, (int descriptor)) \
	CALL(int, fclose, (FILE *stream)) \
	CALL(FILE *, freopen, (const char *path, const char *mode, FILE *stream)) \
	CALL(FILE *, freopen64, (const char *path, const char *mode, FILE *stream)) \
	/* Those closed so would be taken for held by this process as long as it lives: */ \
	CALL(int, close_range, (unsigned first, unsigned last, int flags)) \
	CALL(void, closefrom, (int first)) \
	/* A close of the one would release what the other still holds; dup2 and dup3 close as well: */ \
	CALL(int, dup, (int descriptor)) \
	CALL(int, dup2, (int descriptor, int wanted)) \
	CALL(int, dup3, (int descriptor, int wanted, int flags)) \
	CALL(int, fcntl, (int descriptor, int command, ...)) \
	CALL(int, fcntl64, (int descriptor, int command, ...)) \
	/* The same for what is passed to another process; and who passes or is given sockets would not know the table: */ \
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
	/* What the new program closed would be taken for held by it as long as it lives: */ \
	CALL(int, execve, (const char *path, char *const arguments[], char *const environment[])) \
	CALL(int, execv, (const char *path, char *const arguments[])) \
	CALL(int, execvp, (const char *file, char *const arguments[])) \
	CALL(int, execvpe, (const char *file, char *const arguments[], char *const environment[])) \
	CALL(int, execl, (const char *path, const char *argument, ...)) \
	CALL(int, execlp, (const char *file, const char *argument, ...)) \
	CALL(int, execle, (const char *path, const char *argument, ...)) \
	CALL(int, fexecve, (int descriptor, char *const arguments[], char *const environment[])) \
	CALL(int, execveat, (int directory, const char *path, char *const arguments[], char *const environment[], int flags)) \
	/* The reload signal would pass unseen, or the daemon would see that it is caught: */ \
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
	/* A filter would be installed that we do not know, and one of our calls beside the daemon's could be its end: */ \
	CALL(int, prctl, (int option, ...)) \
	/* All of the above, where a daemon makes the call by its number: */ \
	CALL(long, syscall, (long number, ...))
/* clang-format on */

#endif
