/* What code shared with the preload object needs from this process: the table, and where log lines go. */
#include "command/supervise/serve.h"
#include "process/entry.h"
#include "process/report.h"

#include "process/limiter.h"
#include "process/syslog.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void supervise_name(const char *table)
{
	snprintf(limiter_name, sizeof(limiter_name), "%s", table);
}

/* Standard error is the program's. We do not wait for a full pipe, and SIGPIPE is blocked. */
static void write_quietly(const char *line, size_t length)
{
	struct pollfd ready = {.fd = STDERR_FILENO, .events = POLLOUT};

	if (poll(&ready, 1, 0) == 1 && (ready.revents & (POLLOUT | POLLERR | POLLHUP | POLLNVAL)) == POLLOUT &&
	    write(STDERR_FILENO, line, length) < 0)
		return; /* nobody reads it */
}

void report_of(const struct report_facts *facts, const char *part, ...)
{
	static const char start[] = "connlimit: ";
	struct limits limits = {.log = LOG_TO_STDERR};
	size_t length = sizeof(start) - 1;
	char entry[ENTRY_MOST];
	char line[1024];
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
	if (limiter_is_open())
		limits_read(limiter_table(), &limits);
	const struct iovec said = {.iov_base = line + sizeof(start) - 1, .iov_len = length - sizeof(start)};
	if (limits.log == LOG_TO_SYSLOG && syslog_send(&said, 1))
		return;
	if (limits.log == LOG_TO_JOURNAL &&
	    journal_send(entry, entry_format(entry, LOG_TO_JOURNAL, limiter_name, facts, &said, 1)))
		return;
	if (limits.log == LOG_TO_JSON)
		write_quietly(entry, entry_format(entry, LOG_TO_JSON, limiter_name, facts, &said, 1));
	else if (limits.log != LOG_TO_NOWHERE)
		write_quietly(line, length);
}
