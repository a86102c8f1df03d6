#include "report.h"

#include "descriptors.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINE = 1024, STDERR = 2 };

/* Only a Unix socket can be a log (systemd connects one to the journal); an internet socket is somebody's connection. */
static bool goes_to_a_client(int descriptor)
{
	struct sockaddr_storage address = {0};
	socklen_t length = sizeof(address);

	if (descriptor_held(descriptor) != 0)
		return true;
	return getsockname(descriptor, (struct sockaddr *)&address, &length) == 0 && address.ss_family != AF_UNIX;
}

static void write_quietly(int descriptor, const char *line, size_t length)
{
	struct pollfd ready = {.fd = descriptor, .events = POLLOUT};
	sigset_t pipe_signal;
	sigset_t before;
	sigset_t pending;
	struct timespec at_once = {0};

	/* A full pipe would stop the daemon; POLLOUT means that PIPE_BUF bytes fit (pipe(7)), and a line is shorter. */
	if (poll(&ready, 1, 0) != 1 || (ready.revents & POLLOUT) == 0 || (ready.revents & (POLLERR | POLLHUP)) != 0)
		return;
	sigemptyset(&pipe_signal);
	sigaddset(&pipe_signal, SIGPIPE);
	sigpending(&pending);
	pthread_sigmask(SIG_BLOCK, &pipe_signal, &before);
	ssize_t written = write(descriptor, line, length);
	if (written < 0 && errno == EPIPE && sigismember(&pending, SIGPIPE) == 0)
		sigtimedwait(&pipe_signal, NULL, &at_once);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void report(const char *part, ...)
{
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
	if (!goes_to_a_client(STDERR))
		write_quietly(STDERR, line, length);
	errno = kept;
}
