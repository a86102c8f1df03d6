#include "process/report.h"

#include "process/descriptors.h"
#include "process/limiter.h"
#include "process/near.h"
#include "process/syslog.h"

#include "values/door.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

enum { LINE = 1024, STDERR = 2 };

/* What standard error was when this program started. */
NEAR static dev_t first_device;
NEAR static ino_t first_inode;

__attribute__((constructor)) static void look_at_standard_error(void)
{
	struct stat facts;

	if (fstat(STDERR, &facts) == 0) {
		first_device = facts.st_dev;
		first_inode = facts.st_ino;
	}
}

/* Whether number 2 is still a place for messages. A daemon that closed it may have got the number for anything: a client, or a
 * file of data that a line would destroy. A terminal or a pipe is a place for messages, and so is a file that is appended to.
 * Of sockets only a Unix socket can be (systemd connects one to the journal); an internet socket is somebody's connection. */
static bool takes_messages(int descriptor)
{
	struct sockaddr_storage address = {0};
	socklen_t length = sizeof(address);
	struct stat facts;

	if (descriptor_held(descriptor) != 0 || door_fstat(descriptor, &facts) != 0)
		return false;
	if (S_ISSOCK(facts.st_mode))
		return door_getsockname(descriptor, &address, &length) == 0 && address.ss_family == AF_UNIX;
	if (!S_ISREG(facts.st_mode) || (facts.st_dev == first_device && facts.st_ino == first_inode))
		return true;
	int flags = door_fcntl(descriptor, F_GETFL, 0);
	return flags >= 0 && (flags & O_APPEND) != 0;
}

static void write_quietly(int descriptor, const char *line, size_t length)
{
	struct pollfd ready = {.fd = descriptor, .events = POLLOUT};
	sigset_t raised;
	sigset_t before;
	sigset_t pending;

	/* A full pipe would stop the daemon; POLLOUT means that PIPE_BUF bytes fit (pipe(7)), and a line is shorter. */
	if (door_poll(&ready, 1) != 1 || (ready.revents & POLLOUT) == 0 || (ready.revents & (POLLERR | POLLHUP)) != 0)
		return;
	/* What a write may raise would end or stop the daemon: SIGPIPE, SIGXFSZ where a file has come to RLIMIT_FSIZE, and
	 * SIGTTOU from a terminal that belongs to others (tcsetattr(3), TOSTOP), which writes after all if that is blocked. */
	sigemptyset(&raised);
	sigaddset(&raised, SIGPIPE);
	sigaddset(&raised, SIGXFSZ);
	sigaddset(&raised, SIGTTOU);
	if (door_sigpending(&pending) != 0 || door_sigprocmask(SIG_BLOCK, &raised, &before) != 0)
		return;
	ssize_t written = door_write(descriptor, line, length);
	int why = written < 0 ? errno : 0;
	int number = why == EPIPE ? SIGPIPE : why == EFBIG ? SIGXFSZ : 0;
	if (number != 0 && sigismember(&pending, number) == 0) {
		sigemptyset(&raised);
		sigaddset(&raised, number);
		door_sigtake(&raised);
	}
	door_sigprocmask(SIG_SETMASK, &before, NULL);
}

/* Before there is a table, a person is waiting for the daemon to start. */
static enum log_to destination(void)
{
	struct limits limits;

	if (!limiter_is_open())
		return LOG_TO_STDERR;
	limits_read(limiter_table(), &limits);
	return (enum log_to)limits.log;
}

void report(const char *part, ...)
{
	enum log_to to = destination();
	static const char start[] = "connlimit: ";
	char line[LINE];
	size_t length = sizeof(start) - 1;
	int kept = errno;
	va_list parts;

	memcpy(line, start, length);
	va_start(parts, part);
	for (; part != NULL; part = va_arg(parts, const char *)) {
		size_t more = strlen(part);
		if (more > sizeof(line) - 1 - length)
			more = sizeof(line) - 1 - length;
		memcpy(line + length, part, more);
		length += more;
	}
	va_end(parts);
	line[length++] = '\n';
	if (to == LOG_TO_SYSLOG && syslog_send(line, length - 1))
		to = LOG_TO_NOWHERE;
	/* Where there is no syslog, or not any more (chroot), standard error is better than nothing. */
	if (to != LOG_TO_NOWHERE && takes_messages(STDERR))
		write_quietly(STDERR, line, length);
	errno = kept;
}
