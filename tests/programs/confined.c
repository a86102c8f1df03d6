/* What a process does after it has forbidden itself one system call, or one with a certain argument, on pain of death:
 *
 *     confined [ACT]        does each of the acts below, or that one, for each call in turn, and prints those by which it was
 * killed confined ACT CALL...  the same for one act and these calls only; a call is NUMBER or NUMBER:ARGUMENT:VALUE
 *
 * An act that a call kills also without us is the act's own. It is to be run with a limit of 1. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { CALLS = 470, ANY = -1, PATIENCE = 20 };

static int listener;
static int held;
static int pair[2];
static struct sockaddr_in where;

/* listen(2) behind everybody's back, as of a program that is given its listener. */
static void listen_unseen(int backlog)
{
#if defined(__x86_64__)
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(SYS_listen), "D"((long)listener), "S"((long)backlog)
			 : "rcx", "r11", "memory");
#else
	listen(listener, backlog);
#endif
}

static void connect_one(void)
{
	struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK + 2)};
	int client = socket(AF_INET, SOCK_STREAM, 0);

	if (bind(client, (struct sockaddr *)&from, sizeof(from)) != 0 ||
	    connect(client, (struct sockaddr *)&where, sizeof(where)) != 0)
		_exit(2);
}

static void bind_listener(int flags)
{
	socklen_t length = sizeof(where);

	where = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	listener = socket(AF_INET, SOCK_STREAM | flags, 0);
	if (bind(listener, (struct sockaddr *)&where, sizeof(where)) != 0 ||
	    getsockname(listener, (struct sockaddr *)&where, &length) != 0)
		_exit(2);
}

/* One is served, and two more wait. */
static void prepare(int flags)
{
	bind_listener(flags);
	listen(listener, 16);
	for (int i = 0; i < 3; i++)
		connect_one();
	held = accept(listener, NULL, NULL);
}

static void prepare_blocking(void)
{
	prepare(0);
}

static void prepare_polling(void)
{
	prepare(SOCK_NONBLOCK);
}

static void prepare_unopened(void)
{
	bind_listener(0);
	listen_unseen(16);
	connect_one();
}

static void prepare_admission(void)
{
	prepare(0);
	close(held);
	for (int i = 0; i < 2; i++)
		close(accept(listener, NULL, NULL));
	connect_one();
}

static void nothing_more(int signal)
{
	(void)signal;
}

static void prepare_handler(void)
{
	struct sigaction action = {.sa_handler = nothing_more};

	prepare(0);
	sigaction(SIGHUP, &action, NULL);
}

static void prepare_pair(void)
{
	prepare(0);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0)
		_exit(2);
}

static void take(void)
{
	accept(listener, NULL, NULL);
}

static void take_two(void)
{
	struct sockaddr_in peer;
	socklen_t length = sizeof(peer);

	accept4(listener, (struct sockaddr *)&peer, &length, SOCK_CLOEXEC);
	accept4(listener, (struct sockaddr *)&peer, &length, SOCK_CLOEXEC);
}

static void close_held(void)
{
	close(held);
}

static void take_and_close(void)
{
	close(accept(listener, NULL, NULL));
}

static void listen_again(void)
{
	listen(listener, 32);
}

static void copy_held(void)
{
	int copy = dup(held);

	dup2(listener, copy);
	fcntl(held, F_DUPFD, 0);
	dup3(held, copy, O_CLOEXEC);
}

static void fork_one(void)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		close(held);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) == pid && WIFSIGNALED(status))
		kill(getpid(), SIGSYS);
}

static void reload(void)
{
	raise(SIGHUP);
}

static void handle(void)
{
	struct sigaction action = {.sa_handler = nothing_more};

	sigaction(SIGHUP, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	signal(SIGHUP, SIG_IGN);
}

static void pass(void)
{
	char byte = 0;
	struct iovec bytes = {&byte, 1};
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
	struct msghdr message = {.msg_iov = &bytes, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	struct cmsghdr *part = CMSG_FIRSTHDR(&message);

	*part = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
	memcpy(CMSG_DATA(part), &held, sizeof(held));
	sendmsg(pair[0], &message, 0);
	recvmsg(pair[1], &message, 0);
}

static void execute_nothing(void)
{
	char *arguments[] = {"nothing", NULL};

	execv("/nonexistent/nothing", arguments);
}

static void spawn(void)
{
	char *arguments[] = {"true", NULL};
	pid_t pid;

	if (posix_spawn(&pid, "/nonexistent/nothing", NULL, NULL, arguments, environ) == 0)
		waitpid(pid, NULL, 0);
}

static void close_all(void)
{
	close_range((unsigned)listener, ~0U, 0);
}

static void leave(void)
{
	exit(0);
}

static const struct act {
	const char *name;
	void (*prepare)(void);
	void (*perform)(void);
	bool apart; /* by arguments too */
} acts[] = {
    {"refuse-blocking", prepare_blocking, take_two, true},
    {"refuse-polling", prepare_polling, take_two, true},
    {"refuse-without-address", prepare_polling, take, false},
    {"admit", prepare_admission, take_and_close, true},
    {"first", prepare_unopened, take_and_close, true},
    {"close", prepare_blocking, close_held, false},
    {"listen", prepare_blocking, listen_again, false},
    {"copy", prepare_blocking, copy_held, false},
    {"pass", prepare_pair, pass, false},
    {"fork", prepare_blocking, fork_one, false},
    {"reload", prepare_handler, reload, true},
    {"handle", prepare_blocking, handle, false},
    {"execute-nothing", prepare_blocking, execute_nothing, false},
    {"spawn", prepare_blocking, spawn, false},
    {"close-all", prepare_blocking, close_all, false},
    {"exit", prepare_blocking, leave, false},
};

struct forbidden {
	int number;
	int argument; /* or ANY */
	int value;
};

static void forbid(struct forbidden call)
{
	struct sock_filter steps[] = {
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)call.number, 0, 3),
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
		     (unsigned)(offsetof(struct seccomp_data, args) + 8 * (size_t)(call.argument < 0 ? 0 : call.argument))),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)call.value, 0, 1),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof(steps) / sizeof(steps[0]), steps};

	if (call.argument == ANY)
		steps[3] = steps[2] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JA, 0, 0, 0);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
		_exit(2);
}

/* Says so if it was killed, or hangs. */
static void perform(const struct act *act, struct forbidden call)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		act->prepare();
		alarm(PATIENCE);
		forbid(call);
		act->perform();
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status))
		return;
	printf("%s %d", act->name, call.number);
	if (call.argument != ANY)
		printf(":%d:%d", call.argument, call.value);
	printf("%s\n", WTERMSIG(status) == SIGSYS ? "" : " and it ended otherwise");
}

/* Arguments by which filters tell one call from another, and all that they may be. */
static const struct {
	int number;
	int argument;
	int values;
} told_apart[] = {
    {SYS_socket, 0, 45},     {SYS_socket, 2, 8},      {SYS_socketpair, 0, 45}, {SYS_fcntl, 1, 16},  {SYS_setsockopt, 1, 64},
    {SYS_getsockopt, 1, 64}, {SYS_setsockopt, 2, 80}, {SYS_getsockopt, 2, 80}, {SYS_shmctl, 1, 16}, {SYS_madvise, 2, 26},
    {SYS_mmap, 2, 8},	     {SYS_mmap, 3, 64},	      {SYS_shutdown, 1, 3},    {SYS_prctl, 0, 64},  {SYS_rt_sigprocmask, 0, 3},
    {SYS_close, 0, 64},	     {SYS_kill, 1, 32},
};

static void perform_all(const struct act *act)
{
	/* There are none between the architectures' own and those that all have at the same numbers. */
	for (int number = 0; number < CALLS; number = number == 334 ? 424 : number + 1)
		perform(act, (struct forbidden){number, ANY, 0});
	for (size_t i = 0; act->apart && i < sizeof(told_apart) / sizeof(told_apart[0]); i++)
		for (int value = 0; value < told_apart[i].values; value++)
			perform(act, (struct forbidden){told_apart[i].number, told_apart[i].argument, value});
	perform(act, (struct forbidden){SYS_fcntl, 1, F_DUPFD_CLOEXEC});
	perform(act, (struct forbidden){SYS_mmap, 3, MAP_SHARED});
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++) {
		if (argc > 1 && strcmp(argv[1], acts[i].name) != 0)
			continue;
		if (argc < 3)
			perform_all(&acts[i]);
		for (int a = 2; a < argc; a++) {
			struct forbidden call = {.argument = ANY};

			sscanf(argv[a], "%d:%d:%d", &call.number, &call.argument, &call.value);
			perform(&acts[i], call);
		}
	}
	return 0;
}
