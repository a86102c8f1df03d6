/* Makes every interposed call with every kind of bad argument, each in a process of its own, and prints what came of it: result
 * and errno, or the signal that ended it. Preloaded, it is to print what it prints bare. Bad pointers lie right behind the end
 * of the stack, which is a coroutine's or a thread's.
 *
 * usage: arguments coroutine|thread */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

enum { PAGE = 4096, STACK = 1 << 16, MOST = 5, CLOSED = 77, ALL_SIGNALS = 8 /* bytes of the kernel's set */ };

/* sigset and sigignore are deprecated, and interposed all the same. */
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

/* A kind of argument: its values, and what they are called. */
struct domain {
	int number;
	long value[10];
	const char *name[10];
};

static struct domain descriptors = {.name = {"none", "closed", "listener", "accepted", "pair", "largest", "smallest"}};
static struct domain pointers = {.name = {"null", "low", "unmapped", "read-only", "cut off", "good", "kernel's"}};
static struct domain messages; /* as pointers, and messages whose parts lie there */
static struct domain sizes = {5, {0, 1, 8, 100, -1}, {"0", "1", "8", "100", "-1"}};
static struct domain numbers = {
    7, {-1, 0, 5, CLOSED, 1000, 0x7fffffff, -0x7fffffff - 1}, {"-1", "0", "5", "77", "1000", "largest", "smallest"}};
static struct domain signals = {
    9, {-1, 0, SIGHUP, SIGINT, SIGKILL, SIGSYS, 33, 64, 65}, {"-1", "0", "HUP", "INT", "KILL", "SYS", "33", "64", "65"}};
static struct domain accept_flags = {4, {0, SOCK_NONBLOCK, SOCK_CLOEXEC, 0x40000000}, {"0", "nonblock", "cloexec", "wrong"}};
static struct domain open_flags = {4, {0, O_CLOEXEC, O_NONBLOCK, -1}, {"0", "cloexec", "nonblock", "wrong"}};
static struct domain range_flags = {
    5, {0, CLOSE_RANGE_CLOEXEC, CLOSE_RANGE_UNSHARE, 0x80, -1}, {"0", "cloexec", "unshare", "0x80", "-1"}};
static struct domain commands = {
    10,
    {F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_GETOWN, F_SETSIG, 9999, -1},
    {"DUPFD", "DUPFD_CLOEXEC", "GETFD", "SETFD", "GETFL", "SETFL", "GETOWN", "SETSIG", "9999", "-1"}};
static struct domain commands_at = {6,
				    {F_GETLK, F_SETLK, F_OFD_GETLK, F_GETOWN_EX, F_SETOWN_EX, F_SETLEASE},
				    {"GETLK", "SETLK", "OFD_GETLK", "GETOWN_EX", "SETOWN_EX", "SETLEASE"}};
static struct domain options = {
    8,
    {PR_SET_SECCOMP, PR_GET_SECCOMP, PR_SET_NAME, PR_GET_NAME, PR_GET_PDEATHSIG, PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS, -1},
    {"SET_SECCOMP", "GET_SECCOMP", "SET_NAME", "GET_NAME", "GET_PDEATHSIG", "SET_PDEATHSIG", "SET_NO_NEW_PRIVS", "-1"}};
static struct domain shares = {7,
			       {0, CLONE_FILES, CLONE_FS, CLONE_THREAD, CLONE_VM, CLONE_SIGHAND, -1},
			       {"0", "FILES", "FS", "THREAD", "VM", "SIGHAND", "-1"}};
static struct domain clone_sizes = {6, {0, 8, 63, 64, 88, 5000}, {"0", "8", "63", "64", "88", "5000"}};
static struct domain calls_by_number = {3, {-1, 100000, 0x7fffffff}, {"-1", "100000", "largest"}};
static struct domain set_sizes = {3, {ALL_SIGNALS, 4, 0}, {"8", "4", "0"}};

static struct sockaddr_in address = {.sin_family = AF_INET};
static int listener;
static char *stack;
static char *good; /* behind it */

#define INT(n) ((int)argument[n])
#define AT(n) ((void *)argument[n])
#define CALL(name, result)                                                                                                     \
	static long call_##name(const long *argument)                                                                          \
	{                                                                                                                      \
		return (long)(result);                                                                                         \
	}

CALL(listen, listen(INT(0), INT(1)))
CALL(accept, accept(INT(0), AT(1), AT(2)))
CALL(accept4, accept4(INT(0), AT(1), AT(2), INT(3)))
CALL(close, close(INT(0)))
CALL(close_range, close_range((unsigned)INT(0), (unsigned)INT(1), INT(2)))
CALL(dup, dup(INT(0)))
CALL(dup2, dup2(INT(0), INT(1)))
CALL(dup3, dup3(INT(0), INT(1), INT(2)))
CALL(fcntl, fcntl(INT(0), INT(1), INT(2)))
CALL(fcntl_at, fcntl(INT(0), INT(1), AT(2)))
CALL(sendmsg, sendmsg(INT(0), AT(1), MSG_DONTWAIT | MSG_NOSIGNAL))
CALL(recvmsg, recvmsg(INT(0), AT(1), MSG_DONTWAIT))
CALL(sendmmsg, sendmmsg(INT(0), AT(1), (unsigned)INT(2), MSG_DONTWAIT | MSG_NOSIGNAL))
CALL(sigaction, sigaction(INT(0), AT(1), AT(2)))
CALL(signal, signal(INT(0), (void (*)(int))AT(1)) == SIG_ERR ? -1 : 0)
CALL(sigset, sigset(INT(0), (void (*)(int))AT(1)) == SIG_ERR ? -1 : 0)
CALL(sigignore, sigignore(INT(0)))
CALL(signalfd, signalfd(INT(0), AT(1), INT(2)))
CALL(read, read(INT(0), AT(1), (size_t)argument[2]))
CALL(readv, readv(INT(0), AT(1), INT(2)))
CALL(sigwait, sigwait(AT(0), AT(1)))
CALL(sigtimedwait, sigtimedwait(AT(0), AT(1), AT(2)))
CALL(prctl, prctl(INT(0), INT(1), AT(2), 0, 0))
CALL(unshare, unshare(INT(0)))
CALL(execve, execve(AT(0), AT(1), AT(2)))
CALL(execveat, execveat(INT(0), AT(1), AT(2), AT(2), 0))
CALL(fexecve, fexecve(INT(0), AT(1), AT(2)))
CALL(posix_spawn, posix_spawn(AT(0), AT(1), NULL, NULL, AT(2), NULL))
CALL(by_number, syscall(argument[0], argument[1], argument[1], argument[1]))
CALL(accept4_by_number, syscall(SYS_accept4, argument[0], argument[1], argument[2], argument[3]))
CALL(close_by_number, syscall(SYS_close, argument[0]))
CALL(sendmsg_by_number, syscall(SYS_sendmsg, argument[0], argument[1], (long)MSG_DONTWAIT | MSG_NOSIGNAL))
CALL(recvmsg_by_number, syscall(SYS_recvmsg, argument[0], argument[1], (long)MSG_DONTWAIT))
CALL(sigaction_by_number, syscall(SYS_rt_sigaction, argument[0], argument[1], argument[2], argument[3]))
CALL(signalfd_by_number, syscall(SYS_signalfd4, argument[0], argument[1], argument[3], argument[2]))
CALL(read_by_number, syscall(SYS_read, argument[0], argument[1], argument[2]))
CALL(sigtimedwait_by_number, syscall(SYS_rt_sigtimedwait, argument[0], argument[1], argument[2], argument[3]))
CALL(seccomp_by_number, syscall(SYS_seccomp, argument[0], argument[1], argument[2]))
CALL(clone3_by_number, syscall(SYS_clone3, argument[0], argument[1]) > 0 ? 1 : errno == 0 ? 0 : -1)

#define ENTRY(name, ...)                                                                                                       \
	{                                                                                                                      \
#name, call_##name,                                                                                            \
		{                                                                                                              \
			__VA_ARGS__                                                                                            \
		}                                                                                                              \
	}

static const struct call {
	const char *name;
	long (*make)(const long *argument);
	const struct domain *domain[MOST];
} calls[] = {
    ENTRY(listen, &descriptors, &numbers),
    ENTRY(accept, &descriptors, &pointers, &pointers),
    ENTRY(accept4, &descriptors, &pointers, &pointers, &accept_flags),
    ENTRY(close, &descriptors),
    ENTRY(close_range, &numbers, &numbers, &range_flags),
    ENTRY(dup, &descriptors),
    ENTRY(dup2, &descriptors, &numbers),
    ENTRY(dup3, &descriptors, &numbers, &open_flags),
    ENTRY(fcntl, &descriptors, &commands, &numbers),
    ENTRY(fcntl_at, &descriptors, &commands_at, &pointers),
    ENTRY(sendmsg, &descriptors, &messages),
    ENTRY(recvmsg, &descriptors, &messages),
    ENTRY(sendmmsg, &descriptors, &messages, &sizes),
    ENTRY(sigaction, &signals, &pointers, &pointers),
    ENTRY(signal, &signals, &pointers),
    ENTRY(sigset, &signals, &pointers),
    ENTRY(sigignore, &signals),
    ENTRY(signalfd, &descriptors, &pointers, &open_flags),
    ENTRY(read, &descriptors, &pointers, &sizes),
    ENTRY(readv, &descriptors, &pointers, &sizes),
    ENTRY(sigwait, &pointers, &pointers),
    ENTRY(sigtimedwait, &pointers, &pointers, &pointers),
    ENTRY(prctl, &options, &numbers, &pointers),
    ENTRY(unshare, &shares),
    ENTRY(execve, &pointers, &pointers, &pointers),
    ENTRY(execveat, &descriptors, &pointers, &pointers),
    ENTRY(fexecve, &descriptors, &pointers, &pointers),
    ENTRY(posix_spawn, &pointers, &pointers, &pointers),
    ENTRY(by_number, &calls_by_number, &pointers),
    ENTRY(accept4_by_number, &descriptors, &pointers, &pointers, &accept_flags),
    ENTRY(close_by_number, &descriptors),
    ENTRY(sendmsg_by_number, &descriptors, &messages),
    ENTRY(recvmsg_by_number, &descriptors, &messages),
    ENTRY(sigaction_by_number, &signals, &pointers, &pointers, &set_sizes),
    ENTRY(signalfd_by_number, &descriptors, &pointers, &open_flags, &set_sizes),
    ENTRY(read_by_number, &descriptors, &pointers, &sizes),
    ENTRY(sigtimedwait_by_number, &pointers, &pointers, &pointers, &set_sizes),
    ENTRY(seccomp_by_number, &numbers, &numbers, &pointers),
    ENTRY(clone3_by_number, &pointers, &clone_sizes),
};

/* Somebody is waiting at the listener whenever a call is made. */
static void make(const struct call *call, const long *argument, int report)
{
	static const struct rlimit no_core;
	int client = (int)syscall(SYS_socket, AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	setrlimit(RLIMIT_CORE, &no_core);
	syscall(SYS_connect, client, &address, sizeof(address));
	/* Nothing that is right waits: the set of signals that lies where an address is long enough has one that is pending. */
	syscall(SYS_rt_sigprocmask, SIG_BLOCK, good, NULL, ALL_SIGNALS);
	syscall(SYS_tkill, syscall(SYS_gettid), SIGTRAP);
	/* And no case finds what the one before did to a file that they share. */
	for (int i = 0; i < descriptors.number; i++)
		syscall(SYS_fcntl, descriptors.value[i], F_SETFL, (long)O_NONBLOCK);
	alarm(10);
	errno = 0;
	long came[2] = {call->make(argument)};
	came[1] = came[0] == -1 || call->make == call_sigwait || call->make == call_posix_spawn ? errno : 0;
	syscall(SYS_write, report, came, sizeof(came));
	syscall(SYS_exit_group, 0);
}

static void print_case(const struct call *call, const int *chosen, const long *argument)
{
	long came[2] = {0};
	int report[2];
	int status;

	if (pipe(report) != 0)
		abort();
	/* None of our calls, so that one case does not concern the next. */
	pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (child == 0)
		make(call, argument, report[1]);
	syscall(SYS_close, report[1]);
	bool returned = syscall(SYS_read, report[0], came, sizeof(came)) == sizeof(came);
	syscall(SYS_close, report[0]);
	waitpid(child, &status, 0);
	printf("%s", call->name);
	for (int i = 0; i < MOST && call->domain[i] != NULL; i++)
		printf(" %s", call->domain[i]->name[chosen[i]]);
	if (returned)
		printf(": %ld, errno %ld\n", came[0], came[1]);
	else
		printf(": ended with %d\n", status);
	/* What was not accepted; fcntl may have had the listener block. */
	for (struct pollfd left = {.fd = listener, .events = POLLIN}; poll(&left, 1, 0) == 1;)
		syscall(SYS_close, syscall(SYS_accept4, listener, NULL, NULL, 0));
}

static void print_all(const struct call *call)
{
	int chosen[MOST] = {0};
	long argument[MOST] = {0};
	int i;

	do {
		for (i = 0; i < MOST && call->domain[i] != NULL; i++)
			argument[i] = call->domain[i]->value[chosen[i]];
		memset(good, 0, 64);
		*(int *)good = sizeof(struct sockaddr_in);
		print_case(call, chosen, argument);
		for (i--; i >= 0 && ++chosen[i] == call->domain[i]->number; i--)
			chosen[i] = 0;
	} while (i >= 0);
}

/* Pages beside each other: good, none, and one that is read only. */
static void choose_pointers(void)
{
	stack = mmap(NULL, STACK + 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	good = stack + STACK;
	*(int *)(good + 2 * PAGE) = sizeof(struct sockaddr_in);
	mprotect(good + PAGE, PAGE, PROT_NONE);
	mprotect(good + 2 * PAGE, PAGE, PROT_READ);
	*(int *)(good + PAGE - 4) = sizeof(struct sockaddr_in);
	long values[] = {0,
			 1,
			 (long)(good + PAGE + 16),
			 (long)(good + 2 * PAGE),
			 (long)(good + PAGE - 4),
			 (long)good,
			 (long)0xffff800000000000};
	pointers.number = sizeof(values) / sizeof(*values);
	memcpy(pointers.value, values, sizeof(values));
}

static void choose_messages(void)
{
	static struct iovec part;
	static struct msghdr wrong[3];

	part = (struct iovec){good + PAGE + 16, 5};
	wrong[0] = (struct msghdr){.msg_iov = &part, .msg_iovlen = 1};
	wrong[1] = (struct msghdr){.msg_control = good + PAGE - 4, .msg_controllen = 64};
	wrong[2] = (struct msghdr){.msg_control = good, .msg_controllen = (size_t)-1};
	messages = pointers;
	for (int i = 0; i < 3; i++) {
		static const char *const name[] = {"part unmapped", "control cut off", "control endless"};
		messages.value[messages.number] = (long)&wrong[i];
		messages.name[messages.number++] = name[i];
	}
}

static void choose_descriptors(void)
{
	socklen_t length = sizeof(address);
	int pair[2];

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (bind(listener, (struct sockaddr *)&address, length) != 0 || listen(listener, 9) != 0 ||
	    getsockname(listener, (struct sockaddr *)&address, &length) != 0)
		abort();
	int client = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(client, (struct sockaddr *)&address, length) != 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) != 0)
		abort();
	int accepted = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	long values[] = {-1, CLOSED, listener, accepted, pair[0], 0x7fffffff, -0x7fffffffL - 1};
	descriptors.number = sizeof(values) / sizeof(*values);
	memcpy(descriptors.value, values, sizeof(values));
}

static void run(void)
{
	/* Before each fork below the buffer is empty, or children would print it as well: they end by exit_group. */
	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++)
		print_all(&calls[i]);
}

static void *run_in_thread(void *nothing)
{
	run();
	return nothing;
}

int main(int argc, char **argv)
{
	static ucontext_t outside;
	static ucontext_t inside;
	pthread_attr_t attributes;
	pthread_t thread;

	if (argc != 2)
		return 2;
	choose_descriptors();
	choose_pointers();
	choose_messages();
	if (strcmp(argv[1], "thread") == 0) {
		pthread_attr_init(&attributes);
		pthread_attr_setstack(&attributes, stack, STACK);
		return pthread_create(&thread, &attributes, run_in_thread, NULL) != 0 || pthread_join(thread, NULL) != 0;
	}
	getcontext(&inside);
	inside.uc_stack = (stack_t){.ss_sp = stack, .ss_size = STACK};
	inside.uc_link = &outside;
	makecontext(&inside, run, 0);
	return swapcontext(&outside, &inside) != 0;
}
