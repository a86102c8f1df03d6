/* The supervisor's beginning: two forks before the program is executed, so that it is nobody's child whom the program knows.
 *
 * The process that will be the program puts itself under the filter and tells the number of its notification descriptor. The
 * supervisor takes that as it will take others', and so finds out whether it may. */
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

/* Linux 6.6: who is told of a call runs on the caller's processor, which is about to be free. */
#define NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#define NOTIF_SYNC_WAKE_UP (1UL << 0)

enum { WHY_MOST = 256, DESCRIPTORS_LEAST = 64, DESCRIPTORS_MOST = 65536 };

/* From the supervisor to the program that is to be. */
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

/* What ends the service, or a session, is not for us: we end after the program. */
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
	/* The limit is the program's; as root we may have our own. */
	if (setrlimit(RLIMIT_NOFILE, &most) != 0 && getrlimit(RLIMIT_NOFILE, &most) == 0) {
		most.rlim_cur = most.rlim_max;
		setrlimit(RLIMIT_NOFILE, &most);
	}
	if (chdir("/") != 0)
		errno = 0; /* then it stays where it is */
}

/* Whether we may do with the program's processes what is done for each connection. */
static bool try_out(pid_t program, int number, char *why, size_t size)
{
	long probe = 0;
	struct iovec here = {.iov_base = &probe, .iov_len = sizeof(probe)};
	struct iovec there = {.iov_base = &shared, .iov_len = sizeof(probe)}; /* is at the same place in both */

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
	/* An id that no call has: the kernel looks for it, and knows the step. */
	struct seccomp_notif_addfd give = {.flags = SECCOMP_ADDFD_FLAG_SEND, .srcfd = (uint32_t)shared->notify};
	if (ioctl(shared->notify, SECCOMP_IOCTL_NOTIF_ADDFD, &give) != 0 && errno != ENOENT)
		return fail(why, size, "SECCOMP_IOCTL_NOTIF_ADDFD with SECCOMP_ADDFD_FLAG_SEND (Linux 5.14)", errno);
	uint64_t flags = NOTIF_SYNC_WAKE_UP;
	ioctl(shared->notify, NOTIF_SET_FLAGS, flags);
	return true;
}

/* Where it is -1, they are closed. */
static void keep_as_standard(int descriptor)
{
	for (int number = STDIN_FILENO; number < STDERR_FILENO; number++)
		if (dup2(descriptor, number) < 0)
			close(number);
}

/* Nothing else: what the program was given is the program's. Standard error is for lines of the log, and where there is none
 * its number must not become a client's. */
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

/* `word` is our end of a socket to the program that is to be. */
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

/* ---- in the program that is to be ---- */

/* Whether all orphans become this process's children. */
static bool is_reaper(void)
{
	int subreaper = 0;

	return getpid() == 1 || (prctl(PR_GET_CHILD_SUBREAPER, &subreaper, 0, 0, 0) == 0 && subreaper != 0);
}

/* Beside this process, not below it. To who would get it back, the first of a container, it is a child whose end is not told,
 * and that wait(2) passes over (clone(2), __WCLONE). False with errno. */
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
	/* Where SIGCHLD is ignored, waitpid has nothing to tell. */
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
	struct filter filter = {.accepts = true,
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

/* Without a supervision it is only tried. */
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

	/* The table is the program's, and says so. */
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
