#include "process/report.h"

#include "process/descriptors.h"
#include "process/entry.h"
#include "process/limiter.h"
#include "process/syslog.h"

#include "values/door.h"
#include "values/hot.h"
#include "values/near.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>

enum { LINE = 1024, STDERR = 2, START_PATIENCE = 1 /* second */ };

/* The file that was standard error when this program started. */
NEAR static dev_t first_device;
NEAR static ino_t first_inode;

START void report_begin(void)
{
	struct stat facts;

	if (door_fstat(STDERR, &facts) == 0) {
		first_device = facts.st_dev;
		first_inode = facts.st_ino;
	}
}

/* Whether descriptor 2 still is a place for messages. A daemon that closed standard error may have got the number for something
 * else: a client, or a data file that a line would corrupt. Messages go to a terminal, a pipe, or a file opened for appending.
 * A Unix socket is fine too (systemd connects one to the journal), but an internet socket is somebody's connection. */
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

static bool write_quietly(const struct iovec *parts, unsigned number, int patience)
{
	struct pollfd ready = {.fd = STDERR, .events = POLLOUT};
	struct timespec wait = {.tv_sec = patience};
	signal_set raised = signal_alone(SIGPIPE) | signal_alone(SIGXFSZ) | signal_alone(SIGTTOU);
	signal_set before;
	signal_set pending;

	/* Writing to a full pipe would block the daemon. POLLOUT means that PIPE_BUF bytes fit (pipe(7)), and a line is
	 * shorter. */
	if (door(SYS_ppoll, (long)&ready, 1, (long)&wait, 0, 0, 0) != 1 || (ready.revents & POLLOUT) == 0 ||
	    (ready.revents & (POLLERR | POLLHUP)) != 0)
		return false;
	/* A write may raise signals that would end or stop the daemon: SIGPIPE, SIGXFSZ if a file has reached RLIMIT_FSIZE, and
	 * SIGTTOU from a terminal of another process group (tcsetattr(3), TOSTOP), which is written to after all if the signal
	 * is blocked. */
	if (door_sigpending(&pending) != 0 || door_sigprocmask(SIG_BLOCK, &raised, &before) != 0)
		return false;
	ssize_t written = door(SYS_writev, STDERR, (long)parts, number, 0, 0, 0);
	int why = written < 0 ? errno : 0;
	raised = why == EPIPE ? signal_alone(SIGPIPE) : why == EFBIG ? signal_alone(SIGXFSZ) : 0;
	if ((raised & ~pending) != 0)
		door_sigtake(&raised);
	door_sigprocmask(SIG_SETMASK, &before, NULL);
	return written > 0;
}

/* Before there is a table, somebody is waiting for the daemon to start. */
static enum log_to destination(void)
{
	struct limits limits;

	if (!limiter_is_open())
		return LOG_TO_STDERR;
	limits_read(limiter_table(), &limits);
	return (enum log_to)limits.log;
}

/* A line, as parts in various places of memory. "connlimit: " and the newline are added when it is written. */
struct line {
	struct iovec part[SYSLOG_PARTS_MOST];
	unsigned parts;
	size_t length;
};

static const char start_of_line[] = "connlimit: ";

static void line_begin(struct line *line)
{
	line->part[0] = (struct iovec){.iov_base = (void *)(uintptr_t)start_of_line, .iov_len = sizeof(start_of_line) - 1};
	line->parts = 1;
	line->length = sizeof(start_of_line) - 1;
}

static void line_add(struct line *line, const char *text)
{
	size_t length = strlen(text);

	if (length > LINE - 1 - line->length)
		length = LINE - 1 - line->length;
	if (length == 0 || line->parts == SYSLOG_PARTS_MOST - 1)
		return;
	line->part[line->parts++] = (struct iovec){.iov_base = (void *)(uintptr_t)text, .iov_len = length};
	line->length += length;
}

static void line_of(struct line *line, const char *part, va_list more)
{
	line_begin(line);
	for (; part != NULL; part = va_arg(more, const char *))
		line_add(line, part);
}

static bool line_to_syslog(const struct line *line)
{
	return syslog_send(line->part + 1, line->parts - 1);
}

static bool line_to_stderr(struct line *line, int patience)
{
	line->part[line->parts] = (struct iovec){.iov_base = (void *)(uintptr_t) "\n", .iov_len = 1};
	return write_quietly(line->part, line->parts + 1, patience);
}

static __attribute__((noinline)) bool line_to_journal(const struct line *line, const struct report_facts *facts)
{
	char entry[ENTRY_MOST];
	size_t length = entry_format(entry, LOG_TO_JOURNAL, limiter_name, facts, line->part + 1, line->parts - 1);

	return journal_send(entry, length);
}

static __attribute__((noinline)) void line_as_json(const struct line *line, const struct report_facts *facts)
{
	char entry[ENTRY_MOST];
	struct iovec whole = {.iov_base = entry};

	whole.iov_len = entry_format(entry, LOG_TO_JSON, limiter_name, facts, line->part + 1, line->parts - 1);
	write_quietly(&whole, 1, 0);
}

void report_of(const struct report_facts *facts, const char *part, ...)
{
	enum log_to to = destination();
	struct line line;
	va_list parts;
	int kept = errno;

	va_start(parts, part);
	line_of(&line, part, parts);
	va_end(parts);
	if ((to == LOG_TO_SYSLOG && line_to_syslog(&line)) || (to == LOG_TO_JOURNAL && line_to_journal(&line, facts)))
		to = LOG_TO_NOWHERE;
	/* Where there is no log, or not any more (chroot), standard error is better than nothing. */
	if (to != LOG_TO_NOWHERE && takes_messages(STDERR)) {
		if (to == LOG_TO_JSON)
			line_as_json(&line, facts);
		else
			line_to_stderr(&line, 0);
	}
	errno = kept;
}

static bool is_null(int descriptor)
{
	struct stat facts;

	return door_fstat(descriptor, &facts) == 0 && S_ISCHR(facts.st_mode) && facts.st_rdev == makedev(1, 3);
}

void report_urgent(const char *part, ...)
{
	struct line line;
	va_list parts;

	va_start(parts, part);
	line_of(&line, part, parts);
	va_end(parts);
	if (is_null(STDERR) || !takes_messages(STDERR) || !line_to_stderr(&line, START_PATIENCE))
		line_to_syslog(&line);
}
