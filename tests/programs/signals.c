/* What a daemon that listens does with SIGHUP. `signals same` prints what must be the same with and without the preload object;
 * `signals end HOW` ends itself by the signal; `signals reload` reloads in each way that a daemon takes the signal, and looks
 * into the table; `signals stack` prints how much stack a reload takes in a handler, and how much an end. `signals confined`
 * sees how workers end that have forbidden themselves what their end takes, and needs a pid namespace of its own. */
#include "table/table.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#pragma GCC diagnostic ignored "-Wdeprecated-declarations" /* sigset, siginterrupt: old daemons call them */

extern char **environ;

static int listener;
static int failures;

#define SAY(...)                                                                                                               \
	do {                                                                                                                   \
		printf(__VA_ARGS__);                                                                                           \
		printf("\n");                                                                                                  \
		fflush(stdout);                                                                                                \
	} while (0)

static void listens(void)
{
	struct sockaddr_in where = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(listener, (struct sockaddr *)&where, sizeof(where)) != 0 || listen(listener, 64) != 0)
		exit(2);
}

static volatile sig_atomic_t handled;

static void handler(int signal)
{
	(void)signal;
	handled++;
}

static void informed(int signal, siginfo_t *info, void *context)
{
	(void)context;
	if (info != NULL && info->si_signo == signal)
		handled++;
}

static pid_t child_of(void (*does)(void))
{
	int ready[2];
	char byte;

	if (pipe(ready) != 0)
		exit(2);
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		alarm(20);
		write(ready[1], "r", 1);
		close(ready[0]);
		close(ready[1]);
		does();
		_exit(0);
	}
	close(ready[1]);
	read(ready[0], &byte, 1);
	close(ready[0]);
	return pid;
}

static void say_end(const char *what, pid_t pid)
{
	int status = 0;

	waitpid(pid, &status, 0);
	if (WIFSIGNALED(status))
		SAY("%s: ended by %s", what, sigabbrev_np(WTERMSIG(status)));
	else
		SAY("%s: exited with %d", what, WEXITSTATUS(status));
}

/* ---- the same as without us ---- */

static void waits(void)
{
	for (;;)
		pause();
}

static void waits_at_default(void)
{
	signal(SIGHUP, SIG_DFL);
	waits();
}

static void raises(void)
{
	raise(SIGHUP);
}

static void kills_itself(void)
{
	kill(getpid(), SIGHUP);
}

static void sets_timer(void)
{
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGHUP};
	struct itimerspec soon = {.it_value.tv_nsec = 1000000};
	timer_t timer;

	timer_create(CLOCK_MONOTONIC, &event, &timer);
	timer_settime(timer, 0, &soon, 0);
	usleep(2000000);
}

static void cleans_up(int number)
{
	signal(number, SIG_DFL);
	raise(number);
}

static void raises_again(void)
{
	signal(SIGHUP, cleans_up);
	raise(SIGHUP);
}

static void is_reset(void)
{
	struct sigaction once = {.sa_handler = handler, .sa_flags = (int)SA_RESETHAND};

	sigaction(SIGHUP, &once, NULL);
	raise(SIGHUP);
	if (handled != 1)
		_exit(3);
	raise(SIGHUP);
}

static void ends_of_children(void)
{
	static const struct {
		const char *what;
		void (*does)(void);
	} by_itself[] = {
	    {"raise", raises},
	    {"kill of itself", kills_itself},
	    {"a timer", sets_timer},
	    {"a handler that cleans up and raises again", raises_again},
	    {"the second after SA_RESETHAND", is_reset},
	};

	for (unsigned i = 0; i < sizeof(by_itself) / sizeof(by_itself[0]); i++)
		say_end(by_itself[i].what, child_of(by_itself[i].does));
	for (int i = 0; i < 2; i++) {
		pid_t pid = child_of(i == 0 ? waits : waits_at_default);
		kill(pid, SIGHUP);
		say_end(i == 0 ? "a worker" : "a worker that set the default", pid);
	}
}

static void end_of_group(void)
{
	setpgid(0, 0);
	pid_t one = child_of(waits);
	pid_t two = child_of(waits_at_default);
	signal(SIGHUP, SIG_IGN);
	kill(0, SIGHUP);
	say_end("kill(0), one", one);
	say_end("kill(0), two", two);
	signal(SIGHUP, SIG_DFL);
}

static int orphan_lives[2];

static void follows_parent(void)
{
	prctl(PR_SET_PDEATHSIG, SIGHUP);
	write(orphan_lives[1], "r", 1);
	waits();
}

static void has_follower(void)
{
	char byte;

	if (fork() == 0)
		follows_parent();
	read(orphan_lives[0], &byte, 1);
}

static void end_with_parent(void)
{
	struct pollfd lives;
	char byte;

	if (pipe(orphan_lives) != 0)
		exit(2);
	waitpid(child_of(has_follower), NULL, 0);
	close(orphan_lives[1]);
	lives = (struct pollfd){.fd = orphan_lives[0], .events = POLLIN};
	poll(&lives, 1, 5000);
	SAY("PR_SET_PDEATHSIG: %s", read(orphan_lives[0], &byte, 1) == 0 ? "ended with its parent" : "lives");
	close(orphan_lives[0]);
}

/* Whether the signal is ignored or has a handler in this process or, by /proc, in a program. */
static void show_programs(const char *what)
{
	static const char command[] =
	    "exec grep -E '^Sig(Ign|Cgt)' /proc/self/status | sed 's/.*\\(.\\)$/\\1/' | tr -d '\\n'; echo";
	char *shell[] = {"sh", "-c", (char *)(uintptr_t)command, NULL};
	char line[100] = "";
	pid_t pid;

	SAY("%s: ignored and caught, of programs (last digits) by system, popen, posix_spawn, fork, vfork:", what);
	system(command);
	FILE *stream = popen(command, "r");
	fgets(line, sizeof(line), stream);
	pclose(stream);
	fputs(line, stdout);
	fflush(stdout);
	posix_spawn(&pid, "/bin/sh", NULL, NULL, shell, environ);
	waitpid(pid, NULL, 0);
	pid = fork();
	if (pid == 0) {
		execv("/bin/sh", shell);
		_exit(1);
	}
	waitpid(pid, NULL, 0);
	pid = vfork();
	if (pid == 0) {
		execv("/nowhere", shell);
		execv("/bin/sh", shell);
		_exit(1);
	}
	waitpid(pid, NULL, 0);
}

static struct sigaction seen; /* not on the stack that a vfork child shares */

static void say_action(const char *what)
{
	char name[20] = "another";

	if (seen.sa_handler == SIG_DFL)
		strcpy(name, "the default");
	else if (seen.sa_handler == SIG_IGN)
		strcpy(name, "ignored");
	else if (seen.sa_handler == handler || seen.sa_sigaction == informed)
		strcpy(name, "handler");
	SAY("%s: %s, flags %x, restorer %d, masks %d %d", what, name, (unsigned)seen.sa_flags, seen.sa_restorer != NULL,
	    sigismember(&seen.sa_mask, SIGUSR1), sigismember(&seen.sa_mask, SIGHUP));
}

static void ask(const char *what)
{
	memset(&seen, 0x55, sizeof(seen));
	sigaction(SIGHUP, NULL, &seen);
	say_action(what);
}

static void dispositions(void)
{
	struct sigaction action = {.sa_handler = handler, .sa_flags = SA_NODEFER | SA_ONSTACK};
	struct sigaction with_info = {.sa_sigaction = informed, .sa_flags = SA_SIGINFO | SA_RESTART};

	ask("at the start");
	sigemptyset(&action.sa_mask);
	sigaddset(&action.sa_mask, SIGUSR1);
	sigaction(SIGHUP, &action, &seen);
	say_action("before sigaction");
	ask("after sigaction");
	show_programs("a handler");
	siginterrupt(SIGHUP, 0);
	ask("after siginterrupt 0");
	siginterrupt(SIGHUP, 1);
	ask("after siginterrupt 1");
	SAY("signal gives the handler: %d", signal(SIGHUP, handler) == handler);
	ask("after signal behind siginterrupt");
	siginterrupt(SIGHUP, 0);
	sigaction(SIGHUP, &with_info, NULL);
	ask("with SA_SIGINFO");
	SAY("signal gives the handler with information: %d", signal(SIGHUP, SIG_IGN) == (sighandler_t)(uintptr_t)informed);
	ask("after signal SIG_IGN");
	show_programs("ignored");
	SAY("signal gives SIG_IGN: %d", signal(SIGHUP, SIG_DFL) == SIG_IGN);
	show_programs("default");
	SAY("sigset gives SIG_DFL: %d", sigset(SIGHUP, handler) == SIG_DFL);
	ask("after sigset");
	SAY("sigset gives the handler for SIG_HOLD: %d", sigset(SIGHUP, SIG_HOLD) == handler);
	SAY("sigset gives SIG_HOLD: %d", sigset(SIGHUP, handler) == SIG_HOLD);
	sysv_signal(SIGHUP, handler);
	ask("after sysv_signal");
	raise(SIGHUP);
	ask("after it was called");
	sigignore(SIGHUP);
	ask("after sigignore");
	pid_t pid = vfork();
	if (pid == 0) {
		signal(SIGHUP, handler);
		sigaction(SIGHUP, NULL, &seen);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	say_action("in a vfork child that set it");
	ask("in its parent");
	int result = sigaction(65, &action, NULL);
	SAY("sigaction of a bad one: %d %s", result, strerrorname_np(errno));
	SAY("SIG_ERR as a handler: %d", signal(65, SIG_DFL) == SIG_ERR);
	signal(SIGHUP, SIG_DFL);
}

static void pending(void)
{
	sigset_t hang_up;
	sigset_t waiting;

	sigemptyset(&hang_up);
	sigaddset(&hang_up, SIGHUP);
	sigprocmask(SIG_BLOCK, &hang_up, NULL);
	raise(SIGHUP);
	sigpending(&waiting);
	SAY("pending while blocked: %d", sigismember(&waiting, SIGHUP));
	signal(SIGHUP, SIG_IGN);
	sigpending(&waiting);
	SAY("pending after SIG_IGN: %d", sigismember(&waiting, SIGHUP));
	sigprocmask(SIG_UNBLOCK, &hang_up, NULL);
	signal(SIGHUP, SIG_DFL);
}

/* Calls that SA_RESTART does not restart, and those that it does, while somebody sends the signal to one who ignores it. */
static void not_interrupted(void)
{
	struct timespec some_time = {.tv_nsec = 150000000};
	struct timeval some = {.tv_usec = 150000};
	struct pollfd quiet = {.fd = listener, .events = POLLIN};
	struct epoll_event event = {.events = EPOLLIN};
	struct timespec until;
	int poller = epoll_create1(0);
	pid_t parent = getpid();
	fd_set set;
	sem_t semaphore;
	int pair[2];
	char byte;

	signal(SIGHUP, SIG_IGN);
	pid_t pid = fork();
	if (pid == 0) {
		for (int i = 0; i < 400 && getppid() == parent; i++) {
			usleep(20000);
			kill(parent, SIGHUP);
		}
		_exit(0);
	}
	epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
	SAY("nanosleep %d", nanosleep(&some_time, NULL));
	SAY("poll %d", poll(&quiet, 1, 150));
	SAY("epoll_wait %d", epoll_wait(poller, &event, 1, 150));
	FD_ZERO(&set);
	FD_SET(listener, &set);
	SAY("select %d", select(listener + 1, &set, NULL, NULL, &some));
	sem_init(&semaphore, 0, 0);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec++;
	int result = sem_timedwait(&semaphore, &until);
	SAY("sem_timedwait %d %s", result, strerrorname_np(errno));
	some = (struct timeval){.tv_usec = 150000};
	socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &some, sizeof(some));
	result = (int)read(pair[0], &byte, 1);
	SAY("read with SO_RCVTIMEO %d %s", result, strerrorname_np(errno));
	setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &some, sizeof(some));
	result = accept(listener, NULL, NULL);
	SAY("accept with SO_RCVTIMEO %d %s", result, strerrorname_np(errno));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	signal(SIGHUP, SIG_DFL);
}

static void same(void)
{
	ends_of_children();
	end_of_group();
	end_with_parent();
	pending();
	not_interrupted();
	dispositions();
}

/* ---- its own end ---- */

static void *raises_in_thread(void *nothing)
{
	(void)nothing;
	raise(SIGHUP);
	return NULL;
}

static void end(const char *how)
{
	pthread_t thread;

	if (strcmp(how, "raise") == 0)
		raises();
	else if (strcmp(how, "kill") == 0)
		kills_itself();
	else if (strcmp(how, "queue") == 0)
		sigqueue(getpid(), SIGHUP, (union sigval){.sival_int = 1});
	else if (strcmp(how, "timer") == 0)
		sets_timer();
	else if (strcmp(how, "again") == 0)
		raises_again();
	else if (strcmp(how, "reset") == 0)
		is_reset();
	else if (strcmp(how, "group") == 0)
		kill(0, SIGHUP);
	else if (strcmp(how, "thread") == 0 && pthread_create(&thread, NULL, raises_in_thread, NULL) == 0)
		pthread_join(thread, NULL);
	sleep(1);
}

/* ---- the end of a worker that forbade itself something ---- */

static int forbidden;
static unsigned on_use;
static int confined[2];
static int nothing_comes[2];

static void forbids_itself(void)
{
	struct sock_filter steps[] = {
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)forbidden, 0, 1),
	    BPF_STMT(BPF_RET | BPF_K, on_use),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof(steps) / sizeof(steps[0]), steps};
	char byte;

	if (forbidden < 0) {
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
		write(confined[1], "r", 1);
		for (;;)
			read(nothing_comes[0], &byte, 1);
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0)
		write(confined[1], "r", 1);
	waits();
}

/* It ends as by the signal, or at least with the status that a shell would give that, and nobody else gets one. */
static void confined_workers(void)
{
	static const int calls[] = {SYS_getpid, SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_kill, SYS_getppid, SYS_openat,
				    -1 /* all */};
	pid_t other = child_of(waits);
	int status = 0;
	char byte;

	if (pipe(confined) != 0 || pipe(nothing_comes) != 0)
		exit(2);
	for (unsigned i = 0; i < 2 * sizeof(calls) / sizeof(calls[0]); i++) {
		forbidden = calls[i / 2];
		on_use = i % 2 ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_ERRNO | EPERM;
		pid_t pid = child_of(forbids_itself);
		read(confined[0], &byte, 1);
		kill(pid, SIGHUP);
		waitpid(pid, &status, 0);
		if (status != SIGHUP && status != (128 + SIGHUP) << 8 && (forbidden >= 0 || status != SIGKILL)) {
			SAY("without %d: ended with %x", forbidden, (unsigned)status);
			failures++;
		}
	}
	if (waitpid(other, &status, WNOHANG) != 0) {
		SAY("another one ended with %x", (unsigned)status);
		failures++;
	}
	kill(other, SIGKILL);
}

/* ---- reloads ---- */

static unsigned limit_in_force(void)
{
	static struct table found;
	const char *name = getenv("CONNLIMIT_TABLE");
	struct limits limits;

	if (found.header == NULL && !table_open(&found, strrchr(name, '=') + 1, NULL, NULL)) {
		perror("table");
		exit(2);
	}
	limits_read(&found, &limits);
	return limits.per_ip;
}

static unsigned limit = 10;
static unsigned rules;

static void next_limit(void)
{
	FILE *file = fopen(getenv("CONNLIMIT_FILE"), "w");

	fprintf(file, "CONNLIMIT_PER_IP=%u\n", ++limit);
	if (rules > 0)
		fprintf(file, "CONNLIMIT_RULES=\"");
	for (unsigned i = 0; i < rules; i++)
		fprintf(file, "10.%u.%u.0/24=7\n", i / 250, i % 250);
	if (rules > 0)
		fprintf(file, "\"\n");
	fclose(file);
}

static void expect_limit(const char *what)
{
	if (limit_in_force() == limit)
		return;
	SAY("%s: the limit is %u, not %u", what, limit_in_force(), limit);
	failures++;
}

static void expect(const char *what, int is)
{
	if (is)
		return;
	SAY("%s", what);
	failures++;
}

#define H(n)                                                                                                                   \
	static void one_of_many_##n(int signal)                                                                                \
	{                                                                                                                      \
		(void)signal;                                                                                                  \
		handled += n;                                                                                                  \
	}
H(1)
H(2)
H(3)
H(4)
H(5)
H(6)
H(7)
H(8)
H(9)
H(10)
H(11)
H(12)
H(13)
H(14)
H(15)
H(16)
H(17)
H(18)
#undef H

static void by_handlers(void)
{
	static const sighandler_t many[] = {
	    one_of_many_1,  one_of_many_2,  one_of_many_3,  one_of_many_4,  one_of_many_5,  one_of_many_6,
	    one_of_many_7,  one_of_many_8,  one_of_many_9,  one_of_many_10, one_of_many_11, one_of_many_12,
	    one_of_many_13, one_of_many_14, one_of_many_15, one_of_many_16, one_of_many_17, one_of_many_18,
	};
	struct sigaction with_info = {.sa_sigaction = informed, .sa_flags = SA_SIGINFO};

	next_limit();
	sigaction(SIGHUP, &with_info, NULL);
	handled = 0;
	raise(SIGHUP);
	expect("the informed handler", handled == 1);
	expect_limit("an informed handler");
	/* Each is called, and is told as the one before; the first dozen reload. */
	for (int i = 0; i < 18; i++) {
		next_limit();
		sighandler_t before = signal(SIGHUP, many[i]);
		expect("the handler before", i == 0 || before == many[i - 1]);
		handled = 0;
		raise(SIGHUP);
		expect("one of many handlers", handled == i + 1);
		if (i < 12)
			expect_limit("one of many handlers");
		limit = limit_in_force();
	}
	signal(SIGHUP, many[0]);
}

static void by_signalfd(void)
{
	struct signalfd_siginfo got[2];
	sigset_t hang_up;

	sigemptyset(&hang_up);
	sigaddset(&hang_up, SIGHUP);
	sigprocmask(SIG_BLOCK, &hang_up, NULL);
	int descriptor = signalfd(-1, &hang_up, SFD_CLOEXEC | SFD_NONBLOCK);
	struct iovec parts[] = {{got, sizeof(got[0])}, {got + 1, sizeof(got[1])}};
	struct iovec split[] = {{got, 100}, {NULL, 0}, {(char *)got + 100, sizeof(got[0]) - 100}};
	next_limit();
	raise(SIGHUP);
	expect("readv", readv(descriptor, parts, 2) == sizeof(got[0]));
	expect_limit("readv");
	next_limit();
	raise(SIGHUP);
	if (readv(descriptor, split, 3) == sizeof(got[0]))
		expect_limit("readv in parts");
	else
		expect("readv in parts", read(descriptor, got, sizeof(got)) == sizeof(got[0])); /* older kernels */
	next_limit();
	int copy = dup(descriptor);
	raise(SIGHUP);
	expect("read of a duplicate", read(copy, got, sizeof(got)) == sizeof(got[0]));
	expect_limit("read of a duplicate");
	next_limit();
	FILE *stream = fdopen(copy, "r");
	raise(SIGHUP);
	expect("fread", fread(got, sizeof(got[0]), 1, stream) == 1);
	expect_limit("fread");
	fclose(stream);
	stream = fmemopen(got, sizeof(got[0]), "r");
	errno = ENOTTY;
	expect("fread of memory", fread(got + 1, sizeof(got[0]), 1, stream) == 1);
	expect("fread of memory sets errno", errno == ENOTTY);
	fclose(stream);
	next_limit();
	pid_t pid = fork();
	if (pid == 0) {
		raise(SIGHUP);
		_exit(read(descriptor, got, sizeof(got)) != sizeof(got[0]));
	}
	waitpid(pid, NULL, 0);
	expect_limit("read in a child");
	/* What a client sends is not a signal, though it looks like one. */
	unsigned before = limit;
	next_limit();
	int pair[2];
	memset(got, 0, sizeof(got));
	got[0].ssi_signo = SIGHUP;
	socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	expect("write", write(pair[0], got, sizeof(got[0])) == sizeof(got[0]));
	expect("read", read(pair[1], got, sizeof(got)) == sizeof(got[0]));
	expect("read from a client reloads", limit_in_force() == before);
	close(descriptor);
	sigprocmask(SIG_UNBLOCK, &hang_up, NULL);
}

static sigjmp_buf back;

static void jumps(int signal)
{
	(void)signal;
	siglongjmp(back, 1);
}

/* A watchdog that jumps out of whatever it interrupts, at many moments of a reload. */
static void beside_jumps(void)
{
	struct sigaction away = {.sa_handler = jumps};
	int state;

	rules = 3000;
	signal(SIGHUP, handler);
	sigaction(SIGALRM, &away, NULL);
	for (int us = 1; us < 4000; us += 97) {
		struct itimerval soon = {.it_value.tv_usec = us};

		if (sigsetjmp(back, 1) == 0) {
			setitimer(ITIMER_REAL, &soon, NULL);
			raise(SIGHUP);
			usleep(5000);
		}
	}
	signal(SIGALRM, SIG_IGN);
	rules = 0;
	next_limit();
	raise(SIGHUP);
	expect_limit("after jumps out of reloads");
	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &state);
	expect("cancellation is off after a jump", state == PTHREAD_CANCEL_ENABLE);
}

static void reload(void)
{
	by_signalfd();
	beside_jumps();
	by_handlers();
}

/* ---- stack ---- */

static unsigned char *stack;
enum { STACK = 1 << 16 };

static size_t stack_used(void)
{
	size_t left = 0;

	while (left < STACK && stack[left] == 0xa5)
		left++;
	return STACK - left;
}

static size_t stack_of_handler(int signal)
{
	struct sigaction action = {.sa_handler = handler, .sa_flags = SA_ONSTACK};

	memset(stack, 0xa5, STACK);
	sigaction(signal, &action, NULL);
	raise(signal);
	return stack_used();
}

static size_t stack_of_end(void)
{
	memset(stack, 0xa5, STACK);
	waitpid(child_of(raises), NULL, 0);
	return stack_used();
}

/* More than a handler of another signal takes: what is below it, as libc's calls too. */
static void measure_stack(void)
{
	stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	stack_t other = {.ss_sp = stack, .ss_size = STACK};

	sigaltstack(&other, NULL);
	size_t end = stack_of_end();
	stack_of_handler(SIGHUP);
	size_t bare = stack_of_handler(SIGUSR2);
	size_t good = stack_of_handler(SIGHUP);
	FILE *file = fopen(getenv("CONNLIMIT_FILE"), "w");
	fputs(
	    "CONNLIMIT_REFUSE=text:busy\nCONNLIMIT_RATE=20/s burst=50\nCONNLIMIT_LOG=stderr\n"
	    "CONNLIMIT_RULES=\"10.0.0.0/8=1,5/s [2001:db8::/32]:80=deny :90=2\"\n",
	    file);
	fclose(file);
	size_t with_rules = stack_of_handler(SIGHUP);
	file = fopen(getenv("CONNLIMIT_FILE"), "w");
	fputs("CONNLIMIT_RULES=\"10.0.0.0/8=1 10.0.0.1/8=2\"\n", file);
	fclose(file);
	size_t bad = stack_of_handler(SIGHUP);
	SAY("%zu %zu %zu %zu", good - bare, with_rules - bare, bad - bare, end - bare);
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return 2;
	listens();
	if (strcmp(argv[1], "same") == 0)
		same();
	else if (strcmp(argv[1], "end") == 0 && argc == 3)
		end(argv[2]);
	else if (strcmp(argv[1], "reload") == 0)
		reload();
	else if (strcmp(argv[1], "stack") == 0)
		measure_stack();
	else if (strcmp(argv[1], "confined") == 0)
		confined_workers();
	else
		return 2;
	return failures != 0;
}
