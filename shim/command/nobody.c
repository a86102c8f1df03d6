#include "command/nobody.h"

#include "values/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- in the child ---- */

enum { NOBODY = 65534 };

/* User ids that no account has (unused in systemd's table of them), a different one for each pid: another process that runs as
 * "nobody" may be the one who prepared the table, and must not be able to stop or kill its reader. If only few users are mapped
 * (user_namespaces(7)), nobody itself is used, or else our own user without capabilities. */
static const uid_t unused_users = 0x70000000;

static bool become(uid_t user)
{
	return setresgid(user, user, user) == 0 && setresuid(user, user, user) == 0;
}

static bool change_user(void)
{
	if (geteuid() != 0)
		return true;
	(void)!setgroups(0, NULL); /* forbidden in some user namespaces, which then only have our own groups */
	return become(unused_users + (uid_t)getpid()) || become(NOBODY) || errno == EINVAL || errno == EPERM;
}

static bool drop_capabilities(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[2] = {0};

	return syscall(SYS_capset, &header, none) == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
}

static bool limit(int resource, rlim_t most)
{
	struct rlimit limits;

	if (getrlimit(resource, &limits) != 0)
		return false;
	limits.rlim_cur = limits.rlim_max = limits.rlim_max < most ? limits.rlim_max : most;
	return setrlimit(resource, &limits) == 0;
}

static bool limit_memory(size_t more)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	(void)more; /* the sanitizer has mapped more than any limit */
	return true;
#else
	char text[64] = "";
	int descriptor = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	unsigned long pages = 0;

	if (descriptor >= 0) {
		ssize_t length = read(descriptor, text, sizeof(text) - 1);
		close(descriptor);
		for (ssize_t i = 0; i < length && text[i] >= '0' && text[i] <= '9'; i++)
			pages = pages * 10 + (unsigned long)(text[i] - '0');
	}
	return limit(RLIMIT_AS, (rlim_t)(pages != 0 ? pages * 4096 : (size_t)1 << 30) + more);
#endif
}

#if defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#define ARCHITECTURE AUDIT_ARCH_X86_64
#endif

/* Allows what malloc and a pipe need; everything else fails. */
static bool limit_calls(void)
{
	static const short allowed[] = {
	    SYS_read,  SYS_write,	  SYS_mmap,   SYS_munmap, SYS_mremap, SYS_brk,	      SYS_madvise,
	    SYS_futex, SYS_clock_gettime, SYS_getpid, SYS_gettid, SYS_exit,   SYS_exit_group, SYS_rt_sigreturn,
	};
	enum { ALLOWED = sizeof(allowed) / sizeof(allowed[0]), LENGTH = 3 + ALLOWED + 2 };
	struct sock_filter filter[LENGTH] = {
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 0, ALLOWED + 1),
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	};
	struct sock_fprog program = {.len = LENGTH, .filter = filter};

	for (unsigned char i = 0; i < ALLOWED; i++)
		filter[3 + i] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)allowed[i],
							     (unsigned char)(ALLOWED - i), 0);
	filter[3 + ALLOWED] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
	filter[4 + ALLOWED] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	/* A kernel without filters, or one that forbids them, still has all other restrictions. */
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0 || errno == EINVAL || errno == EPERM ||
	       errno == EACCES;
}

bool become_nobody(size_t memory)
{
	return limit_memory(memory) && limit(RLIMIT_CPU, 2) && limit(RLIMIT_FSIZE, 0) && limit(RLIMIT_CORE, 0) &&
	       change_user() && limit(RLIMIT_NPROC, 0) && limit(RLIMIT_NOFILE, 0) && drop_capabilities() &&
	       prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && limit_calls();
}

bool become_user(uid_t user, gid_t group, const gid_t *groups, size_t number)
{
	return user == geteuid() ||
	       (setgroups(number, groups) == 0 && setresgid(group, group, group) == 0 && setresuid(user, user, user) == 0 &&
		drop_capabilities() && prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
}

bool child_put(int to, const void *piece, size_t size)
{
	const char *at = piece;

	while (size > 0) {
		ssize_t written = write(to, at, size);
		if (written <= 0 && errno != EINTR)
			return false;
		if (written > 0) {
			at += written;
			size -= (size_t)written;
		}
	}
	return true;
}

static _Noreturn void child_run(int to, unsigned cpu_ms, int kept, void (*run)(int to, void *with), void *with)
{
	struct itimerval timer = {.it_value = {.tv_sec = cpu_ms / 1000, .tv_usec = cpu_ms % 1000 * 1000}};
	sigset_t all;

	signal(SIGPROF, SIG_DFL);
	sigemptyset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	setitimer(ITIMER_PROF, &timer, NULL);
	/* Choose numbers above both targets. */
	to = fcntl(to, F_DUPFD, 2);
	kept = kept >= 0 ? fcntl(kept, F_DUPFD, 2) : -1;
	if (dup2(to, 0) != 0 || (kept >= 0 && dup2(kept, CHILD_KEPT) != CHILD_KEPT) ||
	    close_range(kept >= 0 ? CHILD_KEPT + 1 : 1, ~0U, 0) != 0)
		_exit(1);
	run(0, with);
	_exit(0);
}

/* ---- in the command ---- */

bool child_start(struct child *child, unsigned cpu_ms, unsigned wall_ms, int kept, void (*run)(int to, void *with), void *with)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) != 0)
		return false;
	(void)fcntl(ends[0], F_SETPIPE_SZ, 1 << 20);
	child->from = ends[0];
	child->until = clock_us() + (uint64_t)wall_ms * 1000;
	child->late = false;
	child->used = child->next = child->end = 0;
	child->pid = fork();
	if (child->pid == 0)
		child_run(ends[1], cpu_ms, kept, run, with);
	int error = errno;
	close(ends[1]);
	if (child->pid < 0)
		close(ends[0]);
	errno = error;
	return child->pid > 0;
}

/* Waits for some bytes from the child: at most `size` of them. -1 if there are none any more, or too late. */
static ssize_t get_some(struct child *child, char *at, size_t size)
{
	for (;;) {
		struct pollfd end = {.fd = child->from, .events = POLLIN};
		uint64_t now = clock_us();

		if (now >= child->until) {
			child->late = true;
			return -1;
		}
		if (poll(&end, 1, (int)((child->until - now) / 1000) + 1) <= 0)
			continue; /* interrupted by a signal, or too late */
		ssize_t length = read(child->from, at, size);
		if (length > 0)
			return length;
		if (length == 0 || errno != EINTR)
			return -1;
	}
}

bool child_get(void *piece, size_t size, void *with)
{
	struct child *child = with;
	char *at = piece;

	while (size > 0) {
		size_t some = child->end - child->next < size ? child->end - child->next : size;

		memcpy(at, child->ahead + child->next, some);
		child->next += some;
		at += some;
		size -= some;
		if (size == 0)
			return true;
		ssize_t length = get_some(child, child->ahead, sizeof(child->ahead));
		if (length < 0)
			return false;
		child->next = 0;
		child->end = (size_t)length;
	}
	return true;
}

/* Waits for the child until a point in time. Returns what wait4(2) does. */
static pid_t wait_for(struct child *child, uint64_t until, int *status)
{
	struct pollfd end = {.fd = (int)syscall(SYS_pidfd_open, child->pid, 0), .events = POLLIN};
	struct rusage usage;
	pid_t ended;

	while ((ended = wait4(child->pid, status, WNOHANG, &usage)) == 0) {
		uint64_t now = clock_us();
		if (now >= until)
			break;
		/* Without a descriptor for it, check every millisecond. */
		poll(&end, end.fd >= 0 ? 1 : 0, end.fd >= 0 ? (int)((until - now) / 1000) + 1 : 1);
	}
	if (end.fd >= 0)
		close(end.fd);
	if (ended > 0)
		child->used = (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
			      (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
	return ended;
}

enum { END_US = 200000 }; /* time for it to exit, or to die when killed */

const char *child_end(struct child *child)
{
	int status = 0;
	pid_t ended = 0;

	close(child->from);
	if (!child->late)
		ended = wait_for(child, clock_us() + END_US, &status);
	/* A child that hangs in the kernel does not die from this either, and is not waited for. */
	if (ended == 0) {
		kill(child->pid, SIGKILL);
		wait_for(child, clock_us() + END_US, &status);
		return "its reader did not answer in time";
	}
	if (ended < 0 || WIFEXITED(status))
		return NULL;
	switch (WTERMSIG(status)) {
	case SIGPROF:
	case SIGXCPU: return "reading it takes too long";
	case SIGBUS: return "its memory disappeared while it was read";
	default: return "its reader was killed";
	}
}
