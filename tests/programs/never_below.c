/* never_below CASE SECONDS: is a client ever counted lower than what it has open? Threads accept and close while others do what
 * copies, shares or passes descriptors. Every connection comes from an address of its own, so that its count is 1 or 0 and no
 * other's hides it. Whoever has descriptors, be it a thread, a child or a program that was started, looks at each of them that
 * is an accepted connection: while it is open its client counts one. And in the end, once the kernel was asked, nothing counts.
 *
 * never_below check: the program that is started; it looks at what it has, once. Without a case, lists them. */
#include "decisions/check.h"
#include "table/table.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <netinet/in.h>
#include <pthread.h>
#include <pty.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <wordexp.h>

enum {
	CONNECTIONS = 1 << 18,
	LISTENER = 200, /* its number, and that of what all share: above what is accepted */
	SHARED = 201,
	CLIENTS_FROM = 220, /* the clients' own descriptors */
	LOOKED_AT = 200,
	STACK = 64 * 1024,
};

static struct shared {
	_Atomic uint32_t connections;
	_Atomic uint32_t looks;
	_Atomic uint32_t below;
	uint16_t port;
	_Atomic bool stop;
	_Atomic uint8_t returned[CONNECTIONS]; /* the connection's accept has returned */
} * shared;

static struct table table;
static const char *self;
static char *const check_itself[] = {"never_below", "check", NULL};
static char check_command[4096];

/* ---- connections ---- */

static struct sockaddr_in address_of(uint32_t connection)
{
	return (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f100000U + connection)};
}

static int64_t connection_of(int descriptor)
{
	struct sockaddr_in name;
	socklen_t length = sizeof(name);

	if (getsockname(descriptor, (struct sockaddr *)&name, &length) != 0 || name.sin_family != AF_INET ||
	    ntohs(name.sin_port) != shared->port)
		return -1;
	length = sizeof(name);
	if (getpeername(descriptor, (struct sockaddr *)&name, &length) != 0)
		return -1;
	return (int64_t)ntohl(name.sin_addr.s_addr) - 0x7f100000;
}

static uint32_t count_of(int64_t connection)
{
	struct sockaddr_in name = address_of((uint32_t)connection);
	struct address address = {.bytes = {[10] = 0xff, [11] = 0xff}};

	memcpy(address.bytes + 12, &name.sin_addr, 4);
	return table_count(&table, &address);
}

/* A connection that is there before its count is read and after it was there meanwhile. */
static void look_at(int descriptor)
{
	int kept = errno;
	int64_t connection = connection_of(descriptor);

	if (connection >= 0 && connection < CONNECTIONS && atomic_load(&shared->returned[connection]) != 0) {
		uint32_t count = count_of(connection);
		if (connection_of(descriptor) == connection) {
			atomic_fetch_add(&shared->looks, 1);
			if (count == 0)
				atomic_fetch_add(&shared->below, 1);
		}
	}
	errno = kept;
}

static void look(void)
{
	for (int i = 3; i < LOOKED_AT; i++)
		look_at(i);
}

static void look_for_ms(int ms)
{
	for (int i = 0; i < ms; i++) {
		look();
		usleep(1000);
	}
}

/* One more connection; what is accepted may be another thread's. The client has gone, but its end is not gone from the kernel.
 */
static int take(void)
{
	uint32_t mine = atomic_fetch_add(&shared->connections, 1);
	struct sockaddr_in from = address_of(mine);
	struct sockaddr_in to = {
	    .sin_family = AF_INET, .sin_port = htons(shared->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int made = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int client = fcntl(made, F_DUPFD_CLOEXEC, CLIENTS_FROM);

	close(made);
	if (mine >= CONNECTIONS || bind(client, (struct sockaddr *)&from, sizeof(from)) != 0 ||
	    connect(client, (struct sockaddr *)&to, sizeof(to)) != 0) {
		close(client);
		return -1;
	}
	int descriptor = accept(LISTENER, NULL, NULL);
	int64_t connection = descriptor >= 0 ? connection_of(descriptor) : -1;
	if (connection >= 0 && connection < CONNECTIONS)
		atomic_store(&shared->returned[connection], 1);
	close(client);
	return descriptor;
}

/* ---- threads ---- */

static bool goes_on(void)
{
	return !atomic_load(&shared->stop);
}

static void *accept_and_close(void *unused)
{
	while (goes_on()) {
		int a = take();
		int b = take();

		look_at(a);
		close(a);
		look_at(b);
		close(b);
	}
	return unused;
}

static void *look_on(void *unused)
{
	while (goes_on())
		look();
	return unused;
}

static void reap(pid_t pid)
{
	if (pid > 0)
		while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
			;
}

static void end_looking(void)
{
	look_for_ms(3);
	_exit(0);
}

/* ---- what others do meanwhile; each is called over and over ---- */

static void do_fork(void)
{
	pid_t pid = fork();

	if (pid == 0)
		end_looking();
	reap(pid);
}

static void do_vfork(void)
{
	pid_t pid = vfork();

	if (pid == 0) {
		execv(self, check_itself);
		_exit(1);
	}
	reap(pid);
}

static void do_vfork_that_fails(void)
{
	pid_t pid = vfork();

	if (pid == 0) {
		execv("/nonexistent", check_itself);
		_exit(1);
	}
	reap(pid);
}

static void do_spawn(void)
{
	pid_t pid;

	if (posix_spawn(&pid, self, NULL, NULL, check_itself, environ) == 0)
		reap(pid);
	if (posix_spawn(&pid, "/nonexistent", NULL, NULL, check_itself, environ) == 0)
		reap(pid);
}

static void do_system(void)
{
	if (system(check_command) != 0) // NOLINT(cert-env33-c)
		atomic_store(&shared->stop, true);
}

static void do_popen(void)
{
	FILE *stream = popen(check_command, "r"); // NOLINT(cert-env33-c)

	if (stream != NULL)
		pclose(stream);
}

static void do_wordexp(void)
{
	char words[sizeof(check_command) + 8];
	wordexp_t expanded;

	snprintf(words, sizeof(words), "$(%s)", check_command);
	if (wordexp(words, &expanded, 0) == 0)
		wordfree(&expanded);
}

static void do_failed_exec(void)
{
	execv("/nonexistent", check_itself);
}

static void do_forkpty(void)
{
	int master;
	pid_t pid = forkpty(&master, NULL, NULL, NULL);

	if (pid == 0)
		end_looking();
	reap(pid);
	if (pid > 0)
		close(master);
}

static void do_daemon(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		int own = take();
		if (daemon(1, 1) == 0)
			look_at(own);
		end_looking();
	}
	reap(pid);
}

static void do_exec(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		take();
		take();
		execv(self, check_itself);
		_exit(1);
	}
	reap(pid);
}

static void forks_itself(void)
{
	pid_t pid = fork();

	if (pid == 0)
		end_looking();
	reap(pid);
}

static int in_clone(void *unused)
{
	(void)unused;
	forks_itself();
	look();
	_exit(0);
}

static void cloned(int flags)
{
	static char stack[STACK] __attribute__((aligned(16)));

	reap(clone(in_clone, stack + sizeof(stack), flags | SIGCHLD, NULL));
}

static void do_clone_files(void)
{
	cloned(CLONE_FILES);
}

/* It has this thread's variables as well, and so does nothing of libc's that would keep any. */
static int in_shared_memory(void *unused)
{
	(void)unused;
	look();
	_exit(0);
}

static void do_clone_vm(void)
{
	static char stack[STACK] __attribute__((aligned(16)));

	reap(clone(in_shared_memory, stack + sizeof(stack), CLONE_VM | SIGCHLD, NULL));
}

static void do_raw_fork(void)
{
	pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

	if (pid == 0)
		end_looking();
	reap(pid);
}

static void *with_own_descriptors(void *how)
{
	if (how != NULL ? close_range(LOOKED_AT - 1, LOOKED_AT - 1, CLOSE_RANGE_UNSHARE) : unshare(CLONE_FILES))
		return NULL;
	for (int i = 0; i < 10; i++) {
		int own = take();

		look();
		close(own);
		look();
	}
	return NULL;
}

static void in_thread(void *(*function)(void *), void *argument)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, function, argument) == 0)
		pthread_join(thread, NULL);
}

static void do_unshare(void)
{
	in_thread(with_own_descriptors, NULL);
}

static void do_range_unshare(void)
{
	in_thread(with_own_descriptors, &table);
}

static void do_close_range(void)
{
	for (int i = 0; i < 6; i++)
		take();
	close_range(4, LOOKED_AT - 6, 0);
	look();
}

/* A thread closes what this one copies. */
static _Atomic int offered = -1;

static void *offer(void *unused)
{
	while (goes_on()) {
		int own = take();

		atomic_store(&offered, own);
		while (goes_on() && atomic_load(&offered) == own)
			;
		close(own);
	}
	return unused;
}

static void do_dup(void)
{
	int number = atomic_exchange(&offered, -1);

	if (number < 0)
		return;
	int copy = dup(number);
	usleep(100);
	look_at(copy);
	close(copy);
}

static void do_dup2(void)
{
	int own = take();

	if (own < 0)
		return;
	dup2(own, LOOKED_AT - 2);
	close(own);
	look_at(LOOKED_AT - 2);
	int other = take();
	dup2(other, LOOKED_AT - 2);
	dup3(LOOKED_AT - 2, LOOKED_AT - 3, O_CLOEXEC);
	close(LOOKED_AT - 2);
	look_at(other);
	close(other);
	look_at(LOOKED_AT - 3);
	close(LOOKED_AT - 3);
}

static int send_over(int way, int number)
{
	char byte = 0;
	char room[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = {0};
	struct iovec data = {.iov_base = &byte, .iov_len = 1};
	struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof(room)};
	struct cmsghdr *part = CMSG_FIRSTHDR(&message);

	part->cmsg_level = SOL_SOCKET;
	part->cmsg_type = SCM_RIGHTS;
	part->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(part), &number, sizeof(int));
	return sendmsg(way, &message, 0) == 1 ? 0 : -1;
}

static int receive_from(int way)
{
	char byte;
	char room[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8)));
	struct iovec data = {.iov_base = &byte, .iov_len = 1};
	struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof(room)};
	int number = -1;

	if (recvmsg(way, &message, 0) == 1 && CMSG_FIRSTHDR(&message) != NULL)
		memcpy(&number, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int));
	return number;
}

static void do_sendmsg(void)
{
	int number = atomic_exchange(&offered, -1);
	int way[2];

	if (number < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, way) != 0)
		return;
	if (send_over(way[0], number) == 0) {
		usleep(100);
		int received = receive_from(way[1]);
		look_at(received);
		close(received);
	}
	close(way[0]);
	close(way[1]);
}

/* A connection is sent and closed here; who receives it forks, and lets go of it first. */
static void do_pass(void)
{
	int way[2];
	int own = take();

	if (own < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, way) != 0)
		return;
	pid_t pid = fork();
	if (pid == 0) {
		close_range(4, LOOKED_AT - 1, CLOSE_RANGE_CLOEXEC);
		int received = receive_from(way[1]);
		look_at(received);
		forks_itself();
		close(received);
		_exit(0);
	}
	send_over(way[0], own);
	close(own);
	reap(pid);
	close(way[0]);
	close(way[1]);
}

/* By _Fork: where there are threads, fork may not be called from a handler that interrupted it (fork(3p)). */
static void fork_in_handler(int signal)
{
	int kept = errno;
	pid_t pid = _Fork();

	(void)signal;
	if (pid == 0) {
		look();
		_exit(0);
	}
	reap(pid);
	errno = kept;
}

static void every_ms(void (*handler)(int))
{
	struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
	struct itimerval often = {{0, handler == fork_in_handler ? 50000 : 1100}, {0, 300}};

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, handler == SIG_IGN ? &(struct itimerval){0} : &often, NULL);
}

static void do_fork_in_handler(void)
{
	every_ms(fork_in_handler);
	do_fork();
	usleep(5000);
	every_ms(SIG_IGN);
}

static void *close_until_cancelled(void *unused)
{
	for (;;) {
		int own = take();
		close(own);
	}
	return unused;
}

static void do_cancel(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, close_until_cancelled, NULL) != 0)
		return;
	usleep(700);
	pthread_cancel(thread);
	pthread_join(thread, NULL);
	look();
}

static _Thread_local sigjmp_buf out;
static _Thread_local volatile sig_atomic_t jumps;

static void jump_out(int signal)
{
	(void)signal;
	if (jumps != 0)
		siglongjmp(out, 1);
}

static void do_jump(void)
{
	every_ms(jump_out);
	for (volatile int i = 0; i < 20; i++) {
		volatile int own = take();

		if (sigsetjmp(out, 1) == 0) {
			jumps = 1;
			for (volatile int j = 0; j < 3000 && goes_on(); j++)
				look_at(own);
			close(own);
		}
		jumps = 0;
		look_at(own);
	}
	every_ms(SIG_IGN);
	close_range(4, LOOKED_AT - 6, 0);
}

static const struct one_case {
	const char *name;
	void (*act)(void);
	void *(*beside)(void *);
} cases[] = {
    {"fork", do_fork, accept_and_close},
    {"vfork", do_vfork, accept_and_close},
    {"vfork, and an exec that fails", do_vfork_that_fails, accept_and_close},
    {"posix_spawn", do_spawn, accept_and_close},
    {"system", do_system, accept_and_close},
    {"popen", do_popen, accept_and_close},
    {"wordexp", do_wordexp, accept_and_close},
    {"an exec that fails", do_failed_exec, accept_and_close},
    {"an exec by who accepted", do_exec, accept_and_close},
    {"dup", do_dup, offer},
    {"dup2", do_dup2, look_on},
    {"sendmsg", do_sendmsg, offer},
    {"passing on", do_pass, accept_and_close},
    {"close_range", do_close_range, look_on},
    {"close_range with a table of its own", do_range_unshare, accept_and_close},
    {"unshare", do_unshare, accept_and_close},
    {"a child that shares descriptors, and forks", do_clone_files, accept_and_close},
    {"a child that shares memory", do_clone_vm, accept_and_close},
    {"a fork without a name", do_raw_fork, accept_and_close},
    {"daemon", do_daemon, accept_and_close},
    {"forkpty", do_forkpty, accept_and_close},
    {"a fork in a handler", do_fork_in_handler, accept_and_close},
    {"cancellation", do_cancel, look_on},
    {"a jump out of close", do_jump, look_on},
};
enum { CASES = sizeof(cases) / sizeof(cases[0]) };

/* ---- */

static bool open_table(void)
{
	const char *name = getenv("CONNLIMIT_TABLE");

	return name != NULL && name[0] == '=' && table_open(&table, strrchr(name, '=') + 1, NULL, NULL);
}

static bool share(void)
{
	void *memory = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, SHARED, 0);

	shared = memory;
	return memory != MAP_FAILED;
}

static bool listen_here(void)
{
	struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(name);
	int made = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (dup2(made, LISTENER) < 0 || close(made) != 0 || bind(LISTENER, (struct sockaddr *)&name, length) != 0 ||
	    listen(LISTENER, 1024) != 0 || getsockname(LISTENER, (struct sockaddr *)&name, &length) != 0)
		return false;
	shared->port = ntohs(name.sin_port);
	return true;
}

static uint32_t still_counted(void)
{
	uint32_t counted = 0;

	for (uint32_t i = 0; i < CONNECTIONS && i < atomic_load(&shared->connections); i++)
		counted += count_of(i);
	return counted;
}

/* One that is open all the time: by it the kernel's word about the others is believed. */
static bool hold_one(void)
{
	struct sockaddr_in to = {
	    .sin_family = AF_INET, .sin_port = htons(shared->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return connect(client, (struct sockaddr *)&to, sizeof(to)) == 0 && dup2(client, LOOKED_AT - 5) >= 0 &&
	       close(client) == 0 && accept(LISTENER, NULL, NULL) == 3;
}

static int run(const struct one_case *chosen, double seconds)
{
	pthread_t beside;
	struct timespec now;
	sigset_t alarm;

	sigemptyset(&alarm);
	sigaddset(&alarm, SIGALRM);
	pthread_sigmask(SIG_BLOCK, &alarm, NULL);
	if (pthread_create(&beside, NULL, chosen->beside, NULL) != 0)
		return 2;
	pthread_sigmask(SIG_UNBLOCK, &alarm, NULL);
	clock_gettime(CLOCK_MONOTONIC, &now);
	double end = (double)now.tv_sec + (double)now.tv_nsec / 1e9 + seconds;
	unsigned long times = 0;
	do {
		chosen->act();
		times++;
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while ((double)now.tv_sec + (double)now.tv_nsec / 1e9 < end && goes_on());
	atomic_store(&shared->stop, true);
	pthread_join(beside, NULL);
	for (int i = 4; i < LOOKED_AT - 5; i++)
		close(i);
	uint32_t counted = 0;
	for (int tries = 0; tries < 50 && (tries == 0 || counted > 0); tries++) {
		if (tries > 0)
			usleep(20000);
		check_all(&table);
		counted = still_counted();
	}
	printf("%s: %lu times beside %u connections, looked at %u times: %u times below, %u left\n", chosen->name, times,
	       atomic_load(&shared->connections), atomic_load(&shared->looks), atomic_load(&shared->below), counted);
	return atomic_load(&shared->below) == 0 && counted == 0 && atomic_load(&shared->looks) > 0 ? 0 : 1;
}

int main(int number, char **arguments)
{
	static char path[4000];

	if (number < 2) {
		for (unsigned i = 0; i < CASES; i++)
			puts(cases[i].name);
		return 0;
	}
	if (readlink("/proc/self/exe", path, sizeof(path) - 1) < 0)
		return 2;
	self = path;
	snprintf(check_command, sizeof(check_command), "'%s' check", path);
	if (strcmp(arguments[1], "check") == 0) {
		if (!share() || !open_table())
			return 2;
		look();
		return 0;
	}
	close_range(3, ~0U, 0); /* what whoever started this has left open */
	int file = memfd_create("never_below", 0);
	if (file < 0 || dup2(file, SHARED) < 0 || close(file) != 0 || ftruncate(SHARED, sizeof(*shared)) != 0 || !share() ||
	    !listen_here() || !open_table() || !hold_one())
		return 2;
	for (unsigned i = 0; i < CASES && number == 3; i++)
		if (strcmp(arguments[1], cases[i].name) == 0)
			return run(&cases[i], strtod(arguments[2], NULL));
	fprintf(stderr, "no such case: %s\n", arguments[1]);
	return 2;
}
