/* A daemon and its clients in one process, which does to its connections what daemons do: traps NAME. Exits 0 if the table then
 * says what is true. It looks into the table itself, since `connlimit status` asks the kernel before it shows anything. To be
 * run preloaded, with CONNLIMIT_TABLE set. */
#include "decisions/check.h"
#include "table/table.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unseen_fork.h"

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

extern char **environ;

static int listener = -1;
static struct sockaddr_in where;
static int last_client;
static int failures;

#define EXPECT(condition, ...)                                                                                                 \
	do {                                                                                                                   \
		if (!(condition)) {                                                                                            \
			printf("line %d: ", __LINE__);                                                                         \
			printf(__VA_ARGS__);                                                                                   \
			printf("\n");                                                                                          \
			fflush(stdout);                                                                                        \
			failures++;                                                                                            \
		}                                                                                                              \
	} while (0)

static void listen_with(int protocol, int flags)
{
	socklen_t length = sizeof(where);

	listener = socket(AF_INET, SOCK_STREAM | flags, protocol);
	where = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	if (listener < 0 || bind(listener, (struct sockaddr *)&where, sizeof(where)) != 0 || listen(listener, 4096) != 0) {
		perror("listen");
		exit(2);
	}
	getsockname(listener, (struct sockaddr *)&where, &length);
}

static struct table *table(void)
{
	static struct table found;

	if (found.header == NULL && !table_open(&found, strrchr(getenv("CONNLIMIT_TABLE"), '=') + 1, NULL, NULL)) {
		perror("table");
		exit(2);
	}
	return &found;
}

static unsigned count_of(const char *text)
{
	struct address address = {.bytes = {[10] = 0xff, [11] = 0xff}};

	inet_pton(AF_INET, text, address.bytes + 12);
	/* What is in doubt is the kernel's to say. */
	check_all(table());
	return table_count(table(), &address);
}

/* As the table has it, whether it is in doubt or not. */
static unsigned counted(void)
{
	struct address address = {.bytes = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}};

	return table_count(table(), &address);
}

static unsigned count(void)
{
	return count_of("127.0.0.1");
}

static int connect_from(const char *text)
{
	struct sockaddr_in from = {.sin_family = AF_INET};
	int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	inet_pton(AF_INET, text, &from.sin_addr);
	if (bind(s, (struct sockaddr *)&from, sizeof(from)) != 0 || connect(s, (struct sockaddr *)&where, sizeof(where)) != 0) {
		perror("connect");
		exit(2);
	}
	return s;
}

static int is_reset(int client)
{
	char byte;

	return recv(client, &byte, 1, MSG_DONTWAIT) < 0 && errno == ECONNRESET;
}

/* A client connects and is accepted: the descriptor, or -1 if it was refused. */
static int serve_from(const char *address)
{
	last_client = connect_from(address);
	int s = accept(listener, NULL, NULL);
	if (s >= 0 && is_reset(last_client)) {
		close(s);
		close(last_client);
		s = -1;
	}
	return s;
}

static int serve(void)
{
	return serve_from("127.0.0.1");
}

/* For what may be refused while a check that found nothing moments ago is not yet repeated. */
static int serve_soon(void)
{
	int s = serve();

	for (int tries = 0; s < 0 && tries < 1000; tries++) {
		usleep(10000);
		s = serve();
	}
	return s;
}

/* ---- children ---- */

static int go[2];

static void wait_for_go(void)
{
	char byte;

	close(go[1]);
	while (read(go[0], &byte, 1) < 0 && errno == EINTR)
		;
}

static int child_by_clone(void *nothing)
{
	(void)nothing;
	wait_for_go();
	_exit(0);
}

enum kind { FORK, UNDERSCORE_FORK, RAW_CLONE, RAW_CLONE3, RAW_NAMESPACES, LIBC_CLONE, LIBC_NAMESPACES, KINDS };

static pid_t child_of_kind(enum kind kind)
{
	static char stack[65536] __attribute__((aligned(16)));

	switch (kind) {
	case FORK: return fork();
	case UNDERSCORE_FORK: return _Fork();
	case RAW_CLONE: return (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	case RAW_CLONE3: {
		struct clone_args arguments = {.exit_signal = SIGCHLD};
		return (pid_t)syscall(SYS_clone3, &arguments, sizeof(arguments));
	}
	case RAW_NAMESPACES: return (pid_t)syscall(SYS_clone, CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | SIGCHLD, 0, 0, 0, 0);
	case LIBC_CLONE: return clone(child_by_clone, stack + sizeof(stack), SIGCHLD, NULL);
	case LIBC_NAMESPACES: return clone(child_by_clone, stack + sizeof(stack), CLONE_NEWPID | CLONE_NEWNET | SIGCHLD, NULL);
	default: return -1;
	}
}

static void test_forks(void)
{
	for (int kind = 0; kind < KINDS; kind++) {
		if (pipe2(go, O_CLOEXEC) != 0)
			exit(2);
		int s = serve();
		pid_t pid = child_of_kind((enum kind)kind);
		if (pid == 0)
			child_by_clone(NULL);
		EXPECT(pid > 0, "kind %d: %s", kind, strerror(errno));
		close(s);
		EXPECT(count() == 1, "kind %d: the child holds it, count %u", kind, count());
		close(go[1]);
		waitpid(pid, NULL, __WALL);
		EXPECT(count() == 0, "kind %d: the child is gone, count %u", kind, count());
		close(go[0]);
		close(last_client);
	}
}

static void test_unseen_fork(void)
{
	int one = serve();
	int client_of_one = last_client;
	int two = serve();

	/* Ends by _exit, by closing, and by accepting first: none of it may take what is the parent's. */
	for (int how = 0; how < 3; how++) {
		pid_t pid = unseen_fork();
		if (pid == 0) {
			if (how == 1) {
				close(one);
				close(two);
			}
			if (how == 2)
				close(serve_from("127.0.0.2"));
			_exit(0);
		}
		waitpid(pid, NULL, 0);
		EXPECT(count() == 2, "how %d: count %u while the parent holds two", how, count());
	}
	close(one);
	close(two);
	EXPECT(count() == 0, "count %u at the end", count());
	close(client_of_one);
}

static void test_vfork(void)
{
	int one = serve();
	int two = serve();

	pid_t pid = vfork();
	if (pid == 0) {
		close(one);
		dup2(0, two);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	EXPECT(count() == 2, "the child closed its own: count %u", count());
	char *arguments[] = {"true", NULL};
	pid = vfork();
	if (pid == 0) {
		close(one);
		execv("/bin/true", arguments);
		_exit(127);
	}
	waitpid(pid, NULL, 0);
	EXPECT(count() == 2, "and executed: count %u", count());
	close(one);
	close(two);
}

/* Programs that inherit the connection: while they live it counts, and when they are gone nobody is refused for it. Limit 1. */
static void test_programs(void)
{
	char *arguments[] = {"sleep", "1000", NULL};
	pid_t pid;

	int s = serve();
	if (posix_spawn(&pid, "/bin/sleep", NULL, NULL, arguments, environ) != 0)
		exit(2);
	close(s);
	/* However often it was refused before (within reason), its first attempt after the kernel has let go is admitted. */
	for (int i = 0; i < 10; i++)
		EXPECT(serve() == -1, "posix_spawn: admitted while the program holds one");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	s = serve();
	EXPECT(s >= 0, "posix_spawn: refused for one that is gone");
	FILE *stream = popen("read line", "w");
	close(s);
	EXPECT(serve() == -1, "popen: admitted while the program holds one");
	pclose(stream);
	s = serve();
	EXPECT(s >= 0, "popen: refused for one that is gone");
	EXPECT(system("true") == 0, "system");
	EXPECT(count() == 1, "system: count %u", count());
	close(s);
	s = serve();
	EXPECT(s >= 0, "after all");
	fcntl(s, F_SETFD, FD_CLOEXEC);
	if (posix_spawn(&pid, "/bin/sleep", NULL, NULL, arguments, environ) != 0)
		exit(2);
	close(s);
	/* posix_spawn returns when the program has memory of its own, and the kernel closes these a moment later. */
	for (int i = 0; i < 100 && count() != 0; i++)
		usleep(10000);
	EXPECT(count() == 0, "FD_CLOEXEC: count %u", count());
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* A connection marked FD_CLOEXEC that becomes the standard input of a program. Limit 1. */
static char *long_sleep[] = {"sleep", "1000", NULL};
static char *no_environment[] = {NULL};

static void become_sleeper(int s)
{
	dup2(s, 0);
	close(s);
	execve("/bin/none", long_sleep, no_environment);
	execve("/bin/sleep", long_sleep, no_environment);
	_exit(127);
}

static pid_t spawned_sleeper(int s)
{
	posix_spawn_file_actions_t actions;
	pid_t pid = -1;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, s, 0);
	EXPECT(posix_spawn(&pid, "/bin/none", &actions, NULL, long_sleep, no_environment) != 0, "no program");
	EXPECT(posix_spawn(&pid, "/bin/sleep", &actions, NULL, long_sleep, no_environment) == 0, "posix_spawn");
	posix_spawn_file_actions_destroy(&actions);
	return pid;
}

static pid_t vforked_sleeper(int s)
{
	pid_t pid = vfork();

	if (pid == 0)
		become_sleeper(s);
	return pid;
}

static pid_t forked_sleeper(int s)
{
	pid_t pid = fork();

	if (pid == 0)
		become_sleeper(s);
	return pid;
}

static void test_standard_input(void)
{
	static const struct {
		const char *name;
		pid_t (*start)(int s);
	} ways[] = {{"posix_spawn", spawned_sleeper}, {"vfork", vforked_sleeper}, {"fork", forked_sleeper}};

	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		int s = serve();
		EXPECT(s >= 0, "%s: refused at first", ways[i].name);
		fcntl(s, F_SETFD, FD_CLOEXEC);
		pid_t pid = ways[i].start(s);
		close(s);
		EXPECT(serve() == -1, "%s: admitted while the program holds one", ways[i].name);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		s = serve();
		EXPECT(s >= 0, "%s: refused for one that is gone", ways[i].name);
		/* Nothing is left of it, nor of the program that was not there. */
		close(s);
		EXPECT(count() == 0, "%s: count %u", ways[i].name, count());
	}
}

static void test_streams(void)
{
	int s = serve();
	FILE *stream = fdopen(dup(s), "r+");

	fclose(stream);
	EXPECT(count() == 1, "one of two: count %u", count());
	stream = fdopen(s, "r+");
	stream = freopen("/dev/null", "r+", stream);
	EXPECT(count() == 0, "freopen: count %u", count());
	fclose(stream);
}

static void test_dup(void)
{
	int one = serve();
	int two = serve();

	dup2(one, two);
	EXPECT(count() == 1, "dup2 over a connection by another: count %u", count());
	close(one);
	EXPECT(count() == 1, "the copy is left: count %u", count());
	dup2(listener, two);
	EXPECT(count() == 0, "dup2 over it by something else: count %u", count());
	one = serve();
	EXPECT(dup2(one, one) == one && count() == 1, "onto itself");
	EXPECT(dup3(1000000, one, 0) < 0 && count() == 1, "by one that is not open: count %u", count());
	close(one);
	close(two);
}

/* ---- passing ---- */

static union {
	char bytes[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
} control;
static char one_byte[1];
static struct iovec part = {.iov_base = one_byte, .iov_len = 1};

static struct msghdr message_with(int s)
{
	struct msghdr message = {
	    .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)};
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);

	memset(&control, 0, sizeof(control));
	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(head), &s, sizeof(s));
	return message;
}

static int passed_on(void)
{
	int s = -1;

	memcpy(&s, CMSG_DATA(&control.align), sizeof(s));
	return s;
}

static void test_passing(void)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) != 0)
		exit(2);
	for (int many = 0; many < 2; many++) {
		int s = serve();
		struct mmsghdr messages[1] = {{.msg_hdr = message_with(s)}};
		long done = many ? sendmmsg(pair[0], messages, 1, 0) : sendmsg(pair[0], &messages[0].msg_hdr, 0);
		EXPECT(done == 1, "sent %ld", done);
		close(s);
		EXPECT(count() == 1, "many %d: on its way: count %u", many, count());
		messages[0].msg_hdr = message_with(-1);
		done = many ? recvmmsg(pair[1], messages, 1, MSG_PEEK, NULL) : recvmsg(pair[1], &messages[0].msg_hdr, MSG_PEEK);
		close(passed_on());
		EXPECT(done == 1 && count() == 1, "many %d: looked at, still on its way: count %u", many, count());
		messages[0].msg_hdr = message_with(-1);
		done = many ? recvmmsg(pair[1], messages, 1, 0, NULL) : recvmsg(pair[1], &messages[0].msg_hdr, 0);
		EXPECT(done == 1 && count() == 1, "many %d: received: count %u", many, count());
		close(passed_on());
		EXPECT(count() == 0, "many %d: closed by the receiver: count %u", many, count());
	}
}

/* A program without us gets one, and sends it back or closes it. Limit 1. */
static void test_stranger(void)
{
	static char code[] =
	    "import os, socket\n"
	    "s = socket.socket(fileno=3)\n"
	    "while True:\n"
	    "    _, got, _, _ = socket.recv_fds(s, 1, 1)\n"
	    "    s.send(b'g')\n"
	    "    if s.recv(1) == b'b':\n"
	    "        socket.send_fds(s, [b'f'], got)\n"
	    "    os.close(got[0])\n"
	    "    s.send(b'c')\n";
	char *arguments[] = {"python3", "-c", code, NULL};
	static char *nothing[] = {NULL};
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		exit(2);
	pid_t pid = fork();
	if (pid == 0) {
		fcntl(listener, F_SETFD, FD_CLOEXEC);
		dup2(pair[1], 3);
		execve("/usr/bin/python3", arguments, nothing);
		_exit(127);
	}
	for (int back = 0; back < 2; back++) {
		char byte;
		int s = serve();
		EXPECT(s >= 0, "back %d: refused at first", back);
		struct msghdr message = message_with(s);
		EXPECT(sendmsg(pair[0], &message, 0) == 1, "sent");
		close(s);
		EXPECT(read(pair[0], &byte, 1) == 1 && byte == 'g', "back %d: it was not got", back);
		EXPECT(count() == 1 && serve() == -1, "back %d: it counts no more: %u", back, count());
		EXPECT(write(pair[0], back ? "b" : "c", 1) == 1, "told");
		message = message_with(-1);
		s = -1;
		if (back && recvmsg(pair[0], &message, 0) == 1)
			s = passed_on();
		EXPECT(read(pair[0], &byte, 1) == 1 && byte == 'c', "back %d: it was not closed", back);
		if (back) {
			EXPECT(s >= 0 && count() == 1 && serve() == -1, "received, it does not count: %u", count());
			close(s);
			EXPECT(count() == 0, "closed when it came back: count %u", count());
		}
		s = serve();
		EXPECT(s >= 0, "back %d: refused for one that is gone", back);
		close(s);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* ---- ends ---- */

static void *sleep_on(void *nothing)
{
	for (;;)
		pause();
	return nothing;
}

static void test_ends(void)
{
	for (int how = 0; how < 6; how++) {
		pid_t pid = fork();
		if (pid == 0) {
			pthread_t thread;
			if (serve() < 0)
				_exit(1);
			if (how == 0)
				exit(0);
			if (how == 1)
				_exit(0);
			if (how == 2)
				quick_exit(0);
			if (how == 3)
				abort();
			if (how == 4)
				kill(getpid(), SIGKILL);
			pthread_create(&thread, NULL, sleep_on, NULL);
			exit(0);
		}
		waitpid(pid, NULL, 0);
		if (how < 3)
			EXPECT(count() == 0, "end %d: count %u", how, count());
		/* Limit 1: refused if what is gone counts. */
		int s = serve_soon();
		EXPECT(s >= 0, "end %d: refused for one that is gone", how);
		close(s);
	}
}

static int closed_by_handler;

static void close_it(int signal)
{
	(void)signal;
	close(closed_by_handler);
}

static void test_handler(void)
{
	closed_by_handler = serve();
	signal(SIGUSR1, close_it);
	raise(SIGUSR1);
	EXPECT(count() == 0, "count %u", count());
}

/* ---- the reload signal ---- */

static volatile sig_atomic_t handled;

static void handler(int signal)
{
	(void)signal;
	handled++;
}

static void limit_is(int limit)
{
	FILE *file = fopen(getenv("CONNLIMIT_FILE"), "w");

	fprintf(file, "CONNLIMIT_PER_IP=%d\n", limit);
	fclose(file);
}

static unsigned limit_in_force(void)
{
	struct limits limits;

	limits_read(table(), &limits);
	return limits.per_ip;
}

sighandler_t bsd_signal(int number, sighandler_t with);

#pragma GCC diagnostic ignored "-Wdeprecated-declarations" /* sigset: old daemons call it */

ssize_t __read_chk(int descriptor, void *buffer, size_t size, size_t room); // NOLINT(bugprone-reserved-identifier)

static void test_signals(void)
{
	sigset_t hang_up;
	sigset_t none;
	struct sigaction action = {.sa_handler = handler, .sa_flags = (int)SA_RESETHAND};
	struct timespec some_time = {.tv_sec = 10};
	struct signalfd_siginfo got;
	int number = 0;
	int wanted;

	sigemptyset(&none);
	sigemptyset(&hang_up);
	sigaddset(&hang_up, SIGHUP);
	for (int how = 0; how < 10; how++) {
		handled = 0;
		wanted = 0;
		limit_is(100 + how);
		sigprocmask(SIG_SETMASK, &none, NULL);
		switch (how) {
		case 0: wanted = sigaction(SIGHUP, &action, NULL) == 0; break;
		case 1: wanted = signal(SIGHUP, handler) != SIG_ERR; break;
		case 2: wanted = sigset(SIGHUP, handler) != SIG_ERR; break;
		case 3: wanted = bsd_signal(SIGHUP, handler) != SIG_ERR; break;
		case 4: wanted = sysv_signal(SIGHUP, handler) != SIG_ERR; break;
		default: sigprocmask(SIG_BLOCK, &hang_up, NULL); break;
		}
		int descriptor = how >= 8 ? signalfd(-1, &hang_up, SFD_CLOEXEC) : -1;
		kill(getpid(), SIGHUP);
		if (how == 5)
			EXPECT(sigwait(&hang_up, &number) == 0 && number == SIGHUP, "sigwait");
		if (how == 6)
			EXPECT(sigwaitinfo(&hang_up, NULL) == SIGHUP, "sigwaitinfo");
		if (how == 7)
			EXPECT(sigtimedwait(&hang_up, NULL, &some_time) == SIGHUP, "sigtimedwait");
		if (how == 8)
			EXPECT(read(descriptor, &got, sizeof(got)) == sizeof(got) && got.ssi_signo == SIGHUP, "signalfd");
		if (how == 9)
			EXPECT(__read_chk(descriptor, &got, sizeof(got), sizeof(got)) == sizeof(got), "__read_chk");
		EXPECT(handled == wanted, "how %d: the handler ran %d times", how, (int)handled);
		EXPECT(limit_in_force() == 100U + (unsigned)how, "how %d: the limit is %u", how, limit_in_force());
	}
	/* SIG_HOLD blocks, and is told afterwards. */
	sigprocmask(SIG_SETMASK, &none, NULL);
	sigset(SIGHUP, handler);
	EXPECT(sigset(SIGHUP, SIG_HOLD) == handler, "SIG_HOLD tells the handler");
	EXPECT(sigset(SIGHUP, handler) == SIG_HOLD, "held before");
}

/* ---- many descriptors ---- */

static void test_snapshot(void)
{
	enum { MANY = 600, EARLY = 100 };
	struct rlimit room = {.rlim_cur = 4096, .rlim_max = 4096};
	static int held[MANY];

	setrlimit(RLIMIT_NOFILE, &room);
	for (int i = 0; i < MANY; i++)
		held[i] = serve();
	EXPECT(count() == MANY, "count %u", count());
	pid_t pid = fork();
	if (pid == 0)
		sleep_on(NULL);
	for (int i = 0; i < EARLY; i++)
		close(held[i]);
	EXPECT(count() == MANY, "the child holds them all: count %u", count());
	kill(pid, SIGKILL);
	/* Ended, and not yet asked about by the daemon. */
	siginfo_t ended;
	waitid(P_PID, (id_t)pid, &ended, WEXITED | WNOWAIT);
	for (int i = EARLY; i < MANY / 2; i++)
		close(held[i]);
	EXPECT(count() == MANY / 2, "the child has ended: count %u", count());
	EXPECT(waitpid(pid, NULL, 0) == pid, "its status is the daemon's");
	for (int i = MANY / 2; i < MANY; i++)
		close(held[i]);
	EXPECT(count() == 0, "count %u", count());
	/* A child that makes a child and ends: the grandchild holds them, and is nobody's whom we could ask. */
	for (int i = 0; i < MANY; i++)
		held[i] = serve();
	int pipes[2];
	if (pipe2(pipes, 0) != 0)
		exit(2);
	unsigned before = count();
	pid = fork();
	if (pid == 0) {
		pid_t grandchild = fork();
		if (grandchild == 0)
			sleep_on(NULL);
		if (write(pipes[1], &grandchild, sizeof(grandchild)) < 0)
			_exit(1);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	for (int i = 0; i < EARLY; i++)
		close(held[i]);
	EXPECT(count() == before, "the grandchild holds them: count %u of %u", count(), before);
	if (read(pipes[0], &pid, sizeof(pid)) == sizeof(pid))
		kill(pid, SIGKILL);
}

/* With a table of 128: a killed child leaves it full, and new connections are counted all the same. */
static void test_full(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		for (int i = 0; i < 200; i++)
			serve_from("127.0.0.9");
		kill(getpid(), SIGKILL);
	}
	waitpid(pid, NULL, 0);
	uint64_t before = atomic_load(&table()->header->uncounted);
	EXPECT(before > 0, "the table was not full");
	int held[20];
	for (int tries = 0; count() == 0 && tries < 1000; tries++) {
		usleep(10000);
		close(serve_from("127.0.0.8"));
		held[0] = serve();
		if (count() == 0)
			close(held[0]);
	}
	for (int i = 1; i < 20; i++)
		held[i] = serve();
	EXPECT(count() == 20, "count %u of 20", count());
	for (int i = 0; i < 20; i++)
		close(held[i]);
	EXPECT(count() == 0, "count %u at the end", count());
}

/* ---- execution ---- */

static char own_path[4096];

static void test_own_program(void)
{
	char text[32];
	char variable[32];

	int s = serve();
	snprintf(text, sizeof(text), "%d", listener);
	char *arguments[] = {"traps", "again", text, NULL};
	snprintf(variable, sizeof(variable), "%d", last_client);
	setenv("SEEN", variable, 1);
	fcntl(last_client, F_SETFD, 0);
	(void)s;
	execv(own_path, arguments);
	EXPECT(0, "execve");
}

static void test_again(const char *text)
{
	socklen_t length = sizeof(where);

	EXPECT(getenv("SEEN") != NULL, "our own environment");
	EXPECT(getenv("LD_PRELOAD") != NULL && getenv("CONNLIMIT_TABLE") != NULL, "the preload was not carried on");
	if (failures > 0)
		return;
	listener = atoi(text);
	getsockname(listener, (struct sockaddr *)&where, &length);
	EXPECT(count() == 1, "count %u after execution", count());
	EXPECT(serve() == -1, "admitted beside the inherited one");
}

static void test_other_program(void)
{
	char *arguments[] = {"env", NULL};
	char *environment[] = {"A=B", NULL};

	serve();
	fcntl(listener, F_SETFD, FD_CLOEXEC);
	execve("/usr/bin/env", arguments, environment);
}

static bool runs(pid_t pid, const char *wanted)
{
	char path[64];
	char name[64] = "";

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	FILE *file = fopen(path, "r");
	if (file == NULL)
		return false;
	bool read = fgets(name, sizeof(name), file) != NULL;
	fclose(file);
	name[strcspn(name, "\n")] = '\0';
	return read && strcmp(name, wanted) == 0;
}

/* A program of another name that neither listens nor accepts: signals do to it what they did, and no variable keeps it from
 * starting. */
static void test_executed(void)
{
	char *sleeper[] = {"sleep", "60", NULL};
	char *nothing[] = {"true", NULL};
	int status;

	serve();
	fcntl(listener, F_SETFD, FD_CLOEXEC);
	pid_t pid = fork();
	if (pid == 0) {
		execvp(sleeper[0], sleeper);
		_exit(99);
	}
	for (int i = 0; i < 1000 && !runs(pid, "sleep"); i++)
		usleep(10000);
	usleep(100000); /* its constructors */
	kill(pid, SIGHUP);
	EXPECT(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGHUP, "status %x of sleep",
	       status);
	pid = fork();
	if (pid == 0) {
		setenv("CONNLIMIT_STRANGE", "1", 1);
		execvp(nothing[0], nothing);
		_exit(99);
	}
	EXPECT(waitpid(pid, &status, 0) == pid && status == 0, "status %x of true", status);
}

/* Programs under another user, who may not read the file of limits: they run; what one of them serves is reported. */
static void test_other_user(void)
{
	int status;

	for (int serves = 0; serves < 2; serves++) {
		pid_t pid = fork();
		if (pid == 0) {
			if (setgid(65534) != 0 || setuid(65534) != 0)
				_exit(2);
			execl("/proc/self/exe", "traps", serves ? "dup" : "nothing", (char *)NULL);
			_exit(2);
		}
		waitpid(pid, &status, 0);
		EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", (unsigned)status);
	}
}

static void test_nothing(void)
{
}

/* ---- what is forbidden ---- */

static void forbid(const int *calls, const int *first_arguments, size_t number)
{
	struct sock_filter filter[64];
	unsigned short n = 0;

	filter[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < number; i++) {
		if (first_arguments[i] < 0) {
			filter[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)calls[i], 0, 1);
			filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
			continue;
		}
		filter[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)calls[i], 0, 4);
		filter[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0]));
		filter[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)first_arguments[i], 0, 1);
		filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
		filter[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	}
	filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog program = {.len = n, .filter = filter};
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
		perror("seccomp");
		exit(2);
	}
}

static void forbid_netlink(void)
{
	forbid((int[]){SYS_socket}, (int[]){AF_NETLINK}, 1);
}

/* Whether a descriptor is passed, or copied by a fork, lies where we may not look: in memory that is not the stack's. */
static void test_unreadable(void)
{
	static struct mmsghdr message;
	static struct clone_args arguments = {.exit_signal = SIGCHLD};
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) != 0 || pipe2(go, O_CLOEXEC) != 0)
		exit(2);
	forbid((int[]){SYS_process_vm_readv}, (int[]){-1}, 1);
	for (int how = 0; how < 3; how++) {
		int s = serve();
		pid_t pid = -1;
		message.msg_hdr = message_with(s);
		if (how == 0)
			EXPECT(sendmsg(pair[0], &message.msg_hdr, 0) == 1, "sendmsg");
		else if (how == 1)
			EXPECT(sendmmsg(pair[0], &message, 1, 0) == 1, "sendmmsg");
		else if ((pid = (pid_t)syscall(SYS_clone3, &arguments, sizeof(arguments))) == 0)
			child_by_clone(NULL);
		close(s);
		EXPECT(count() == 1, "how %d: somebody has it: count %u", how, count());
		if (pid > 0)
			kill(pid, SIGKILL);
		else if (recvmsg(pair[1], &message.msg_hdr, 0) == 1)
			close(passed_on());
		if (pid > 0)
			waitpid(pid, NULL, 0);
		EXPECT(count() == 0, "how %d: nobody has it: count %u", how, count());
	}
}

/* Limit 1. Leaves one that is gone and counted. */
static void leave_a_dead_one(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		serve();
		kill(getpid(), SIGKILL);
	}
	waitpid(pid, NULL, 0);
	EXPECT(counted() == 1, "count %u", counted());
}

/* Limit 1. What a vfork child forbids itself is forbidden to it alone. */
static void test_vfork_confined(void)
{
	static struct sock_filter steps[] = {
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 1, 0),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 1),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	static const struct sock_fprog program = {sizeof(steps) / sizeof(steps[0]), steps};

	leave_a_dead_one();
	pid_t pid = vfork();
	if (pid == 0) {
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		_exit(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0);
	}
	waitpid(pid, NULL, 0);
	EXPECT(serve_soon() >= 0, "refused for one that is gone");
	EXPECT(serve() == -1, "admitted past the limit");
	EXPECT(atomic_load(&table()->header->unverified) == 0, "the parent asks the kernel no more");
}

static void test_no_netlink(void)
{
	leave_a_dead_one();
	forbid_netlink();
	int s = serve_soon();
	EXPECT(s >= 0, "refused for one that is gone");
	EXPECT(serve() == -1, "admitted past the limit");
}

static void test_blind(void)
{
	int s = serve();

	if (s < 0 || chroot("/var/empty") != 0)
		if (chroot("/sys/kernel") != 0)
			exit(2);
	table();
	forbid_netlink();
	EXPECT(serve() == -1, "admitted past the limit");
	EXPECT(atomic_load(&table()->header->unverified) > 0, "not counted as unverified");
}

/* Allows what a careful worker needs, and is killed for anything else. */
static void confine(bool by_prctl)
{
	static const int allowed[] = {SYS_read, SYS_write, SYS_accept, SYS_close, SYS_exit_group, SYS_rt_sigreturn};
	enum { ALLOWED = sizeof(allowed) / sizeof(allowed[0]) };
	struct sock_filter filter[ALLOWED * 2 + 2];
	unsigned short n = 0;

	filter[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < ALLOWED; i++) {
		filter[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)allowed[i], 0, 1);
		filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	}
	filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL);
	struct sock_fprog program = {.len = n, .filter = filter};
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (by_prctl ? prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0
		     : syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0)
		_exit(3);
}

/* Serves as many as come, whom it says something, until one is served that it was told to end with. */
static void serve_confined(bool by_prctl)
{
	char byte = 0;

	signal(SIGHUP, handler);
	confine(by_prctl);
	while (byte != 'e') {
		int s = accept(listener, NULL, NULL);
		if (s < 0 && errno != ECONNABORTED)
			_exit(4);
		if (s >= 0 && (write(s, "x", 1) != 1 || read(s, &byte, 1) != 1))
			_exit(5);
	}
	_exit(0);
}

static bool greeted(int client)
{
	struct timeval patience = {.tv_sec = 10};
	char byte;

	setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return recv(client, &byte, 1, 0) == 1;
}

static void test_confined(void)
{
	for (int by_prctl = 0; by_prctl < 2; by_prctl++) {
		pid_t pid = fork();
		int status;

		if (pid == 0)
			serve_confined(by_prctl != 0);
		int one = connect_from("127.0.0.1");
		EXPECT(greeted(one), "the first refused");
		EXPECT(send(one, "1", 1, 0) == 1, "sent");
		int two = connect_from("127.0.0.1");
		EXPECT(!greeted(two), "admitted past the limit");
		kill(pid, SIGHUP);
		int other = connect_from("127.0.0.2");
		EXPECT(greeted(other), "another client refused");
		EXPECT(send(other, "e", 1, 0) == 1, "sent");
		waitpid(pid, &status, 0);
		EXPECT(status == 0, "ended with status %x", (unsigned)status);
		close(one);
		close(two);
		close(other);
		EXPECT(count() == 0, "count %u", count());
	}
}

static void test_no_segment(void)
{
	close(listener);
	forbid((int[]){SYS_shmget}, (int[]){-1}, 1);
	listen_with(0, 0);
	int s = serve();
	EXPECT(s >= 0, "refused the first");
	pid_t pid = fork();
	if (pid == 0)
		_exit(serve() == -1 ? 0 : 1);
	int status;
	waitpid(pid, &status, 0);
	EXPECT(status == 0, "a child admitted past the limit");
	close(s);
	EXPECT(serve() >= 0, "refused after it was closed");
}

/* In a network namespace of its own the kernel shows nothing of the connections that came before; nobody who has none is
 * refused. */
static void test_namespace(void)
{
	int one = serve();

	if (unshare(CLONE_NEWNET) != 0)
		exit(2);
	int client = last_client;
	char byte = 'x';
	EXPECT(write(client, &byte, 1) == 1 && read(one, &byte, 1) == 1, "the connection lives on");
	EXPECT(count() == 1, "count %u", count());
	close(one);
	EXPECT(count() == 0, "count %u", count());
}

/* A worker in namespaces of its own, that knows nothing of its clients' sockets, and whose pid means nothing outside. Limit 1.
 */
static void test_confined_worker(void)
{
	int told[2];
	char byte;

	if (pipe2(told, O_CLOEXEC) != 0)
		exit(2);
	pid_t pid = (pid_t)syscall(SYS_clone, CLONE_NEWPID | CLONE_NEWNET | SIGCHLD, 0, 0, 0, 0);
	if (pid == 0) {
		for (;;) {
			int s = accept(listener, NULL, NULL);
			if (s < 0 || write(told[1], "a", 1) != 1)
				_exit(1);
		}
	}
	int first = connect_from("127.0.0.1");
	EXPECT(read(told[0], &byte, 1) == 1 && !is_reset(first), "the first was refused");
	for (int i = 0; i < 3; i++) {
		int next = connect_from("127.0.0.1");
		EXPECT(read(told[0], &byte, 1) == 1 && is_reset(next), "admitted past the limit");
		close(next);
	}
	EXPECT(!is_reset(first) && count() == 1, "count %u", count());
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	/* We see what it could not. */
	int s = serve_soon();
	EXPECT(s >= 0, "refused for one that is gone");
	close(s);
}

/* netlink needs no file. Limit 1. */
static void test_chroot(void)
{
	leave_a_dead_one();
	if (chroot("/sys/kernel") != 0)
		exit(2);
	int s = serve();
	EXPECT(s >= 0, "refused for one that is gone");
	EXPECT(serve() == -1, "admitted past the limit");
	close(s);
	EXPECT(count() == 0, "count %u", count());
}

/* Limit 1. Whoever polls finds somebody there, whose address is told: the last one that was refused, where nobody may stay. */
/* All that a daemon can see of a connection that is at its end. */
static void see(int s, char *seen, size_t size)
{
	struct pollfd ready = {.fd = s, .events = POLLIN | POLLOUT | POLLPRI | POLLRDHUP};
	struct sockaddr_storage peer;
	socklen_t length = sizeof(peer);
	char byte;

	int found = poll(&ready, 1, 1000);
	int first = recv(s, &byte, 1, MSG_DONTWAIT) < 0 ? errno : 0;
	int second = recv(s, &byte, 1, MSG_DONTWAIT) < 0 ? errno : 0;
	int sent = send(s, "+", 1, MSG_NOSIGNAL) < 0 ? errno : 0;
	int named = getpeername(s, (struct sockaddr *)&peer, &length) < 0 ? errno : 0;
	int ended = shutdown(s, SHUT_RDWR) < 0 ? errno : 0;
	snprintf(seen, size, "poll %d %x, recv %d and %d, send %d, getpeername %d, shutdown %d", found, (unsigned)ready.revents,
		 first, second, sent, named, ended);
}

/* A poll for POLLIN alone must end: some daemons look at nothing else, and would turn for ever. */
static void test_refused_seen(void)
{
	struct linger at_once = {.l_onoff = 1};
	char of_reset[200];
	char of_refused[200];

	int client = connect_from("127.0.0.2");
	int s = accept(listener, NULL, NULL);
	setsockopt(client, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(client);
	see(s, of_reset, sizeof(of_reset));
	EXPECT(serve() >= 0, "not served");
	fcntl(listener, F_SETFL, O_NONBLOCK);
	connect_from("127.0.0.1");
	s = accept(listener, NULL, NULL);
	EXPECT(s >= 0, "nobody there: %s", strerror(errno));
	see(s, of_refused, sizeof(of_refused));
	EXPECT(strcmp(of_reset, of_refused) == 0, "%s where the client reset: %s", of_refused, of_reset);
}

static void test_refused_polled(void)
{
	struct sockaddr_in peer;
	struct sockaddr_in client;
	socklen_t length = sizeof(client);
	socklen_t room = 100;
	int last = -1;

	EXPECT(serve() >= 0, "not served");
	fcntl(listener, F_SETFL, O_NONBLOCK);
	for (int i = 0; i < 3; i++)
		last = connect_from("127.0.0.1");
	getsockname(last, (struct sockaddr *)&client, &length);
	int s = accept(listener, (struct sockaddr *)&peer, &room);
	EXPECT(s >= 0, "nobody there: %s", strerror(errno));
	EXPECT(room == sizeof(peer) && peer.sin_port == client.sin_port, "of length %u, at port %u", room,
	       ntohs(peer.sin_port));
	char byte;
	EXPECT(recv(s, &byte, 1, 0) == -1 && errno == ECONNRESET, "it was not reset");
	EXPECT(send(s, "+", 1, MSG_NOSIGNAL) == -1, "it can be written to");
	EXPECT(accept(listener, NULL, NULL) == -1 && errno == EAGAIN, "somebody is there still");
	connect_from("127.0.0.1");
	connect_from("127.0.0.2");
	room = sizeof(peer);
	s = accept(listener, (struct sockaddr *)&peer, &room);
	EXPECT(s >= 0 && peer.sin_addr.s_addr == htonl(INADDR_LOOPBACK + 1) && send(s, "+", 1, MSG_NOSIGNAL) == 1,
	       "another one is not served first");
}

/* ---- resources ---- */

static void test_few_descriptors(void)
{
	for (int i = 3; i < 20; i++)
		if (i != listener)
			close(i);
	dup2(listener, 0);
	close(listener);
	listener = 0;
	int client = connect_from("127.0.0.1");
	struct rlimit few = {.rlim_cur = 5, .rlim_max = 5};
	setrlimit(RLIMIT_NOFILE, &few);
	int s = accept(listener, NULL, NULL);
	EXPECT(s == 4 || s == 3, "accept %d", s);
	close(s);
	close(client);
	client = connect_from("127.0.0.1");
	s = accept(listener, NULL, NULL);
	EXPECT(s >= 0 && !is_reset(client), "refused after it was closed");
}

static void test_endless_descriptors(void)
{
	struct rlimit many = {.rlim_cur = 1 << 20, .rlim_max = 1 << 20};

	if (setrlimit(RLIMIT_NOFILE, &many) != 0)
		return;
	int s = serve();
	int high = fcntl(s, F_DUPFD, 1000000);
	EXPECT(high >= 1000000, "%s", strerror(errno));
	close(s);
	EXPECT(count() == 1, "count %u", count());
	close(high);
	EXPECT(count() == 0, "count %u", count());
}

static void test_locked(void)
{
	struct rlimit little = {.rlim_cur = 1 << 16, .rlim_max = 1 << 16};

	/* As root: nothing is in the way. */
	EXPECT(mlockall(MCL_CURRENT | MCL_FUTURE) == 0, "mlockall: %s", strerror(errno));
	munlockall();
	setrlimit(RLIMIT_MEMLOCK, &little);
	EXPECT(mlockall(MCL_FUTURE) == 0, "mlockall: %s", strerror(errno));
	int s = serve();
	EXPECT(s >= 0 && count() == 1, "count %u", count());
	close(s);
}

/* ---- accepting ---- */

static void *accept_on(void *nothing)
{
	for (;;)
		accept(listener, NULL, NULL);
	return nothing;
}

static int descriptors_open(void)
{
	int number = 0;

	for (int i = 0; i < 1024; i++)
		if (fcntl(i, F_GETFD) >= 0)
			number++;
	return number;
}

static _Atomic int stage;

/* A thread that is to be cancelled, but not where it is now. */
static void *signalled(void *nothing)
{
	while (atomic_load(&stage) == 0)
		;
	raise(SIGHUP);
	atomic_store(&stage, 2);
	pthread_testcancel();
	return nothing;
}

static void test_cancelled_reload(void)
{
	pthread_t thread;
	void *result;

	signal(SIGHUP, handler);
	pthread_create(&thread, NULL, signalled, NULL);
	limit_is(5);
	pthread_cancel(thread);
	atomic_store(&stage, 1);
	pthread_join(thread, &result);
	EXPECT(atomic_load(&stage) == 2, "cancelled in the handler");
	EXPECT(result == PTHREAD_CANCELED, "not cancelled");
	EXPECT(limit_in_force() == 5, "limit %u", limit_in_force());
	limit_is(6);
	raise(SIGHUP);
	EXPECT(limit_in_force() == 6, "limit %u", limit_in_force());
}

static void *accept_three(void *nothing)
{
	for (int i = 0; i < 3; i++)
		accept(listener, NULL, NULL);
	return nothing;
}

/* With limit 1: two are refused, after the kernel was asked, and it is logged. */
static void test_small_stack(void)
{
	pthread_attr_t attributes;
	pthread_t thread;

	connect_from("127.0.0.1");
	connect_from("127.0.0.1");
	connect_from("127.0.0.1");
	pthread_attr_init(&attributes);
	EXPECT(pthread_attr_setstacksize(&attributes, (size_t)sysconf(_SC_THREAD_STACK_MIN)) == 0, "no such stack");
	EXPECT(pthread_create(&thread, &attributes, accept_three, NULL) == 0, "no thread");
	pthread_join(thread, NULL);
	EXPECT(count() == 1, "count %u", count());
	EXPECT(atomic_load(&table()->header->checks) > 0, "the kernel was not asked");
}

static void test_cancelled(void)
{
	int before = descriptors_open();

	for (int i = 0; i < 200; i++) {
		pthread_t thread;
		pthread_create(&thread, NULL, accept_on, NULL);
		if (i % 3 == 0)
			sched_yield();
		pthread_cancel(thread);
		pthread_join(thread, NULL);
	}
	EXPECT(descriptors_open() == before, "%d descriptors more", descriptors_open() - before);
}

static void test_edge(void)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLET};
	int clients[200];

	fcntl(listener, F_SETFL, O_NONBLOCK);
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
	for (int i = 0; i < 200; i++)
		clients[i] = connect_from("127.0.0.1");
	int good = connect_from("127.0.0.2");
	EXPECT(epoll_wait(epoll, &event, 1, 10000) == 1, "no event");
	/* One event, then until EAGAIN. */
	while (accept4(listener, NULL, NULL, SOCK_NONBLOCK) >= 0)
		;
	EXPECT(errno == EAGAIN, "%s", strerror(errno));
	EXPECT(count() == 1 && count_of("127.0.0.2") == 1, "count %u and %u", count(), count_of("127.0.0.2"));
	EXPECT(!is_reset(good) && is_reset(clients[199]), "the wrong one");
	EXPECT(epoll_wait(epoll, &event, 1, 0) == 0, "something is left");
}

/* Polls, then accepts on a blocking listener: the one refused must not leave it waiting there. */
static void test_polled(void)
{
	struct pollfd ready = {.fd = listener, .events = POLLIN};

	serve();
	int client = connect_from("127.0.0.1");
	EXPECT(poll(&ready, 1, 10000) == 1, "poll");
	alarm(20);
	int s = accept(listener, NULL, NULL);
	EXPECT(s >= 0 && is_reset(client), "accept %d", s);
	char byte;
	EXPECT(read(s, &byte, 1) <= 0, "the daemon's end is dead too");
}

static void test_mptcp(void)
{
	close(listener);
	listener = socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP);
	if (listener < 0)
		return; /* not in this kernel */
	close(listener);
	listen_with(IPPROTO_MPTCP, 0);
	int s = serve();
	EXPECT(s >= 0 && count() == 1, "count %u", count());
	EXPECT(serve() == -1, "admitted past the limit");
	/* A check that finds the living one gone would let a third in. */
	EXPECT(serve() == -1, "and again");
	close(s);
	EXPECT(count() == 0, "count %u", count());
	leave_a_dead_one();
	s = serve_soon();
	EXPECT(s >= 0, "refused for one that is gone");
}

/* What another preloaded object's constructor accepted before ours ran, see early_late.c. */
static void test_early(void)
{
	EXPECT(count() == 1, "count %u of the constructor's", count());
}

/* Its destructor speaks to a client after ours ran. */
static void test_late(void)
{
	char text[32];

	if (pipe2(go, 0) != 0)
		exit(2);
	int s = serve();
	int client = last_client;
	pid_t pid = fork();
	if (pid == 0) {
		snprintf(text, sizeof(text), "%d", s);
		setenv("SAY_GOODBYE", text, 1);
		close(client);
		exit(0);
	}
	waitpid(pid, NULL, 0);
	char said[8] = "";
	EXPECT(recv(client, said, sizeof(said), MSG_DONTWAIT) == 3 && memcmp(said, "bye", 3) == 0, "the client got '%s'", said);
	EXPECT(count() == 1, "the parent's: count %u", count());
	close(s);
	EXPECT(count() == 0, "count %u", count());
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} tests[] = {
	    {"forks", test_forks},
	    {"unseen_fork", test_unseen_fork},
	    {"vfork", test_vfork},
	    {"programs", test_programs},
	    {"standard_input", test_standard_input},
	    {"streams", test_streams},
	    {"dup", test_dup},
	    {"passing", test_passing},
	    {"stranger", test_stranger},
	    {"ends", test_ends},
	    {"handler", test_handler},
	    {"signals", test_signals},
	    {"snapshot", test_snapshot},
	    {"full", test_full},
	    {"own_program", test_own_program},
	    {"other_program", test_other_program},
	    {"other_user", test_other_user},
	    {"nothing", test_nothing},
	    {"executed", test_executed},
	    {"no_netlink", test_no_netlink},
	    {"unreadable", test_unreadable},
	    {"vfork_confined", test_vfork_confined},
	    {"blind", test_blind},
	    {"confined", test_confined},
	    {"no_segment", test_no_segment},
	    {"namespace", test_namespace},
	    {"confined_worker", test_confined_worker},
	    {"chroot", test_chroot},
	    {"refused_polled", test_refused_polled},
	    {"refused_seen", test_refused_seen},
	    {"few_descriptors", test_few_descriptors},
	    {"endless_descriptors", test_endless_descriptors},
	    {"locked", test_locked},
	    {"cancelled", test_cancelled},
	    {"cancelled_reload", test_cancelled_reload},
	    {"small_stack", test_small_stack},
	    {"edge", test_edge},
	    {"polled", test_polled},
	    {"mptcp", test_mptcp},
	    {"early", test_early},
	    {"late", test_late},
	};

	setvbuf(stdout, NULL, _IONBF, 0);
	if (argc == 3 && strcmp(argv[1], "again") == 0) {
		test_again(argv[2]);
		return failures > 0;
	}
	ssize_t length = readlink("/proc/self/exe", own_path, sizeof(own_path) - 1);
	own_path[length > 0 ? length : 0] = '\0';
	for (size_t i = 0; argc == 2 && i < sizeof(tests) / sizeof(tests[0]); i++) {
		if (strcmp(argv[1], tests[i].name) != 0)
			continue;
		listen_with(0, 0);
		tests[i].run();
		return failures > 0;
	}
	fprintf(stderr, "usage: traps NAME\n");
	return 2;
}
