#include "process/topmost.h"

#include "values/alive.h"
#include "values/door.h"
#include "values/near.h"

#include <pthread.h>
#include <sys/prctl.h>

static pid_t started;	  /* the process in which this program started */
static _Atomic pid_t top; /* the topmost process, as far as this one knows; 0: unknown */
static pid_t session;	  /* the session when that was settled */
static bool had_terminal; /* whether that session had a terminal */
static bool worker;	  /* a process under connlimit started this one */

/* The path from the topmost process to this one, by libc's forks: the parent, and whether each was its parent's first child.
 * This is so for a daemon that goes to the background, but not for sessions and workers of a daemon that serves. */
NEAR static pid_t self;
NEAR static pid_t parent;
NEAR static bool first;
NEAR static unsigned forks;

void topmost_start(void)
{
	started = door_getpid();
}

static pid_t own_session(void)
{
	return (pid_t)door(SYS_getsid, 0, 0, 0, 0, 0, 0);
}

static bool has_terminal(bool otherwise)
{
	int descriptor = door_open("/dev/tty", O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (descriptor < 0)
		return errno == ENXIO ? false : otherwise;
	door_close(descriptor);
	return true;
}

/* After a terminal hangs up, it belongs to nobody (tty_ioctl(4)), but the shell then passes the signal on. So a process that
 * was in a terminal's session stays so until it leaves the session. */
static bool of_terminal(void)
{
	return has_terminal(had_terminal) || (had_terminal && own_session() == session);
}

/* Or is a zombie: who started the daemon may not wait for its end. */
static bool is_gone(pid_t process)
{
	int pidfd = door_may_close() ? (int)door(SYS_pidfd_open, process, 0, 0, 0, 0, 0) : -1;

	if (pidfd < 0)
		return door_kill(process, 0) != 0 && errno == ESRCH;
	struct pollfd ended = {.fd = pidfd, .events = POLLIN};
	bool gone = door_poll(&ended, 1) == 1;
	door_close(pidfd);
	return gone;
}

/* All processes between the topmost one and this one are gone, and this one is in another session. */
static bool went_to_background(pid_t process, pid_t above)
{
	return first && self == process && door_getppid() != parent && own_session() != session &&
	       (parent == above || is_gone(above));
}

bool topmost(void)
{
	pid_t above = atomic_load(&top);
	pid_t process = door_getpid();

	return above > 0 && (process == above || went_to_background(process, above));
}

static void before_fork(void)
{
	forks++;
}

static void in_child(void)
{
	first = first && forks == 1;
	forks = 0;
	parent = self;
	self = door_getpid();
}

/* Whether the parent is under connlimit too: our object is mapped there. If that may not be read the parent is another user's.
 */
static bool parent_is_ours(void)
{
	static const char wanted[] = "/libconnlimit_preload.so";
	enum { LENGTH = sizeof(wanted) - 1 };
	char bytes[256];
	unsigned matched = 0; /* of the object's name, which has no second '/' */
	ssize_t length;

	int descriptor = process_open((uint32_t)door_getppid(), "/maps");
	if (descriptor < 0)
		return errno != EACCES && errno != EPERM;
	while (matched != LENGTH && (length = door_read(descriptor, bytes, sizeof(bytes))) > 0)
		for (ssize_t i = 0; i < length && matched != LENGTH; i++)
			matched = bytes[i] == wanted[matched] ? matched + 1 : bytes[i] == '/';
	door_close(descriptor);
	return matched == LENGTH;
}

void topmost_settle(bool handed_on, unsigned maker)
{
	pid_t process = door_getpid();

	if (atomic_load(&top) != 0 || process != started || (handed_on && (unsigned)process != maker))
		return;
	worker = handed_on && parent_is_ours();
	had_terminal = has_terminal(false);
	session = own_session();
	self = process;
	first = true;
	atomic_store(&top, process);
	pthread_atfork(before_fork, NULL, in_child);
}

/* PR_SET_PDEATHSIG: the signal comes from the parent, which is no longer the parent. */
static bool of_dying_parent(int signal, pid_t sender)
{
	int at_death = 0;

	return door(SYS_prctl, PR_GET_PDEATHSIG, (long)&at_death, 0, 0, 0, 0) == 0 && at_death == signal &&
	       sender != door_getppid();
}

bool topmost_is_told(int signal, const siginfo_t *info)
{
	if (info->si_code != SI_USER && info->si_code != SI_QUEUE)
		return false;
	if (!topmost() || info->si_pid == door_getpid() || of_dying_parent(signal, info->si_pid))
		return false;
	if (worker && info->si_pid == door_getppid())
		return false;
	return signal != SIGHUP || !of_terminal();
}
