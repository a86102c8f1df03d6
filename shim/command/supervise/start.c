/* Starting the supervisor: two forks before the program is executed, so that the supervisor is no child of the program.
 *
 * The process that will execute the program installs the filter and sends the number of its notification descriptor. The
 * supervisor copies that descriptor in the way it will copy listeners, and so finds out whether it is allowed to. */
#include "command/supervise/supervise.h"

#include "command/command.h"
#include "command/supervise/filter.h"
#include "command/supervise/follow.h"
#include "command/supervise/serve.h"
#include "command/supervise/shared.h"
#include "process/join.h"
#include "process/limiter.h"
#include "process/start_page.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

/* Linux 6.6: the supervisor is woken on the caller's processor, which is about to be free. */
#define NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#define NOTIF_SYNC_WAKE_UP (1UL << 0)

enum { WHY_MOST = 256, DESCRIPTORS_LEAST = 64, DESCRIPTORS_MOST = 65536 };

/* From the supervisor to the process that will execute the program. */
struct verdict_of_supervisor {
	bool good;
	char why[WHY_MOST];
};

static bool fail(char *why, size_t size, const char *what, int error)
{
	const char *hint = error == EBUSY	 ? ": another supervisor is above"
			   : error == ENOSYS	 ? ": this kernel has it not"
			   : error == EPERM	 ? ": it is forbidden here (a container, or kernel.yama.ptrace_scope)"
			   : error == EACCES	 ? ": it is forbidden here"
			   : error == EINVAL	 ? ": this kernel is too old"
			   : error == EOPNOTSUPP ? ": this kernel has it not"
						 : "";

	snprintf(why, size, "%s: %s%s", what, strerror(error), hint);
	return false;
}

/* ---- in the supervisor ---- */

static void alarm_heard(int signal)
{
	(void)signal; /* it ends a system call (accept.c) */
}

/* Signals that end a service or a session are ignored. The supervisor exits after the program. */
static void become_quiet(void)
{
	struct sigaction heard = {.sa_handler = alarm_heard};
	struct rlimit most = {DESCRIPTORS_MOST, DESCRIPTORS_MOST};
	sigset_t all;

	sigfillset(&all);
	sigdelset(&all, SIGALRM);
	sigaction(SIGALRM, &heard, NULL);
	sigprocmask(SIG_SETMASK, &all, NULL);
	signal(SIGCHLD, SIG_DFL);
	/* The limit was set for the program. Root can raise it for the supervisor. */
	if (setrlimit(RLIMIT_NOFILE, &most) != 0 && getrlimit(RLIMIT_NOFILE, &most) == 0) {
		most.rlim_cur = most.rlim_max;
		setrlimit(RLIMIT_NOFILE, &most);
	}
	if (chdir("/") != 0)
		errno = 0; /* then the directory stays in use */
}

/* Tries everything that the supervisor has to do with the program's processes. */
static bool try_out(pid_t program, int number, char *why, size_t size)
{
	long probe = 0;
	struct iovec here = {.iov_base = &probe, .iov_len = sizeof(probe)};
	struct iovec there = {.iov_base = &shared, .iov_len = sizeof(probe)}; /* has the same address in both processes */

	struct rlimit most;

	if (getrlimit(RLIMIT_NOFILE, &most) == 0 && most.rlim_cur < DESCRIPTORS_LEAST) {
		snprintf(why, size, "the hard limit of descriptors (RLIMIT_NOFILE) is %lu; at least %d are needed",
			 (unsigned long)most.rlim_cur, DESCRIPTORS_LEAST);
		return false;
	}
	shared->main = (int)syscall(SYS_pidfd_open, program, 0);
	if (shared->main < 0)
		return fail(why, size, "pidfd_open", errno);
	shared->notify = (int)syscall(SYS_pidfd_getfd, shared->main, number, 0);
	if (shared->notify < 0)
		return fail(why, size, "pidfd_getfd", errno);
	if (process_vm_readv(program, &here, 1, &there, 1, 0) != sizeof(probe))
		return fail(why, size, "process_vm_readv", errno);
	/* No call has id 0: the kernel answers ENOENT if it supports the flag. */
	struct seccomp_notif_addfd give = {.flags = SECCOMP_ADDFD_FLAG_SEND, .srcfd = (uint32_t)shared->notify};
	if (ioctl(shared->notify, SECCOMP_IOCTL_NOTIF_ADDFD, &give) != 0 && errno != ENOENT)
		return fail(why, size, "SECCOMP_IOCTL_NOTIF_ADDFD with SECCOMP_ADDFD_FLAG_SEND (Linux 5.14)", errno);
	uint64_t flags = NOTIF_SYNC_WAKE_UP;
	ioctl(shared->notify, NOTIF_SET_FLAGS, flags);
	return true;
}

/* With -1, they are closed. */
static void keep_as_standard(int descriptor)
{
	for (int number = STDIN_FILENO; number < STDERR_FILENO; number++)
		if (dup2(descriptor, number) < 0)
			close(number);
}

/* Closes everything else, which belongs to the program. Standard error is kept for log lines; if it is closed, its number must
 * not be given to a client's connection. */
static void keep_only(int word)
{
	int kept = fcntl(word, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);

	if (word <= STDERR_FILENO)
		close(word);
	keep_as_standard(kept);
	if (fcntl(STDERR_FILENO, F_GETFD) < 0 && open("/dev/null", O_WRONLY | O_CLOEXEC) != STDERR_FILENO)
		_exit(1);
	syscall(SYS_close_range, STDERR_FILENO + 1, ~0U, 0);
}

static void bear_title(const struct supervision *supervision)
{
	prctl(PR_SET_NAME, "connlimit");
	if (supervision->title_room == 0)
		return;
	memset(supervision->title, 0, supervision->title_room);
	snprintf(supervision->title, supervision->title_room, "supervises %s", supervision->program);
}

/* `word` is our end of a socket to the process that will execute the program. */
static _Noreturn void be_supervisor(const struct supervision *supervision, pid_t program, int word)
{
	struct verdict_of_supervisor verdict = {0};
	int number = -1;

	become_quiet();
	keep_only(word);
	word = STDIN_FILENO;
	if (read(word, &number, sizeof(number)) != sizeof(number) || number < 0)
		_exit(1);
	limiter_of_process.pid = (uint32_t)getpid();
	verdict.good = try_out(program, number, verdict.why, sizeof(verdict.why));
	if (verdict.good && supervision != NULL) {
		shared->follow = follow_begin(supervision->start);
		bear_title(supervision);
	}
	if (write(word, &verdict, sizeof(verdict)) != sizeof(verdict) || !verdict.good)
		_exit(1);
	if (supervision == NULL)
		_exit(0);
	int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
	keep_as_standard(nothing);
	close(nothing);
	serve();
}

/* ---- in the process that will execute the program ---- */

/* Whether orphans become children of this process. */
static bool is_reaper(void)
{
	int subreaper = 0;

	return getpid() == 1 || (prctl(PR_GET_CHILD_SUBREAPER, &subreaper, 0, 0, 0) == 0 && subreaper != 0);
}

/* The supervisor must not be a child of this process. If this process adopts orphans (the first of a container), the supervisor
 * becomes a child that sends no signal when it ends and that wait(2) skips (clone(2), __WCLONE). False with errno. */
static bool fork_supervisor(const struct supervision *supervision, int words[2])
{
	bool untold = is_reaper();
	pid_t program = getpid();
	int status = 0;
	pid_t between = untold ? (pid_t)syscall(SYS_clone, 0, NULL, NULL, NULL, 0) : fork();

	if (between == 0) {
		setsid();
		pid_t supervisor = untold ? 0 : fork();
		if (supervisor != 0)
			_exit(supervisor < 0);
		close(words[0]);
		be_supervisor(supervision, program, words[1]);
	}
	close(words[1]);
	/* If SIGCHLD is ignored, waitpid gives no status. */
	if (between < 0 || (!untold && waitpid(between, &status, 0) != between && errno != ECHILD))
		return false;
	errno = EAGAIN;
	return status == 0;
}

static bool ask_supervisor(int word, int number, char *why, size_t size)
{
	struct verdict_of_supervisor verdict = {0};

	if (write(word, &number, sizeof(number)) != sizeof(number) ||
	    read(word, &verdict, sizeof(verdict)) != sizeof(verdict)) {
		snprintf(why, size, "the supervisor was killed: a system call filter forbids a call that it needs");
		return false;
	}
	if (!verdict.good)
		snprintf(why, size, "%s", verdict.why);
	return verdict.good;
}

static bool fits_kernel(char *why, size_t size)
{
	struct seccomp_notif_sizes sizes;

	if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) != 0)
		return fail(why, size, "seccomp's user notification", errno);
	if (sizes.seccomp_notif > NOTIFICATION_ROOM) {
		snprintf(why, size, "seccomp's user notification: this kernel's messages are larger than expected");
		return false;
	}
	return true;
}

static int install(const struct supervision *supervision)
{
	/* Only where it is needed, since a signal's handler may interrupt what is supervised, and listen(2) is never
	 * interrupted. */
	struct filter filter = {.accepts = true,
				.listens = supervision != NULL && supervision->limits->balancers > 0,
				.no_ring = supervision == NULL || supervision->no_ring,
				.killable = supervision != NULL && supervision->never_waits_in_accept};
	int number = filter_install(&filter);

	if (number < 0 && errno == EINVAL && filter.killable) {
		filter.killable = false;
		number = filter_install(&filter);
	}
	shared->killable = number >= 0 && filter.killable;
	return number;
}

/* With NULL it is only tried. */
static bool begin(const struct supervision *supervision, char *why, size_t size)
{
	int words[2];

	if (!fits_kernel(why, size))
		return false;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (shared == MAP_FAILED)
		return fail(why, size, "shared memory", errno);
	shared->follow = -1;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, words) != 0)
		return fail(why, size, "socketpair", errno);
	if (!fork_supervisor(supervision, words))
		return fail(why, size, "fork", errno);
	int number = install(supervision);
	bool good = number >= 0 ? ask_supervisor(words[0], number, why, size) : fail(why, size, "seccomp", errno);
	if (number >= 0)
		close(number);
	close(words[0]);
	return good;
}

/* 0, or the status with the reason. */
static int open_table(const struct supervision *supervision, char *why, size_t size)
{
	static struct settings start;
	static struct settings opening;
	static char difference[JOIN_WHY];

	static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
	static char name[] = "@............";
	const char *slash = strrchr(supervision->program, '/');
	const char *wanted = supervision->limits->table;
	bool made = false;

	/* The table bears the program's name. */
	program_invocation_short_name = (char *)(uintptr_t)(slash != NULL ? slash + 1 : supervision->program);
	for (char *at = name + 1; wanted[0] == '\0' && *at != '\0'; at++) {
		unsigned char byte = 0;
		getrandom(&byte, 1, 0);
		*at = digits[byte % 36];
	}
	if (wanted[0] == '\0')
		wanted = name;
	settings_copy(&start, supervision->start);
	settings_copy(&opening, supervision->limits);
	start.start_id = opening.start_id = join_start_id();
	if (!table_open_listed(&limiter_of_process, wanted, &opening, supervision->listed, &made) &&
	    !table_open_anonymous_listed(&limiter_of_process, wanted, &opening, supervision->listed)) {
		fail(why, size, "no shared memory", errno);
		return STATUS_CANNOT_EXECUTE;
	}
	if (made)
		limits_keep_start(&limiter_of_process, &start);
	else if (!join_table(&limiter_of_process, &start, &opening, supervision->listed, difference)) {
		snprintf(why, size, "%s: %s", difference, JOIN_WAYS);
		return STATUS_CONFIG;
	}
	start_page_keep(supervision->start->file);
	supervise_name(wanted);
	atomic_store(&limiter_state, LIMITER_OPEN);
	return 0;
}

int supervise(const struct supervision *supervision, char *why, size_t size)
{
	int status = open_table(supervision, why, size);

	return status == 0 && !begin(supervision, why, size) ? STATUS_CANNOT_EXECUTE : status;
}

bool supervise_possible(char *why, size_t size)
{
	int words[2];
	bool good = false;

	snprintf(why, size, "supervision could not be tested: %s", "cannot create a process");
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, words) != 0)
		return false;
	pid_t child = fork();
	if (child == 0) {
		struct verdict_of_supervisor verdict = {0};

		verdict.good = begin(NULL, verdict.why, sizeof(verdict.why));
		_exit(write(words[1], &verdict, sizeof(verdict)) != sizeof(verdict));
	}
	close(words[1]);
	struct verdict_of_supervisor verdict;
	if (child > 0 && read(words[0], &verdict, sizeof(verdict)) == sizeof(verdict)) {
		good = verdict.good;
		snprintf(why, size, "%s", verdict.why);
	}
	close(words[0]);
	if (child > 0)
		waitpid(child, NULL, 0);
	return good;
}

bool supervise_no_ring(void)
{
	struct filter filter = {.no_ring = true};

	return filter_install(&filter) >= 0;
}
