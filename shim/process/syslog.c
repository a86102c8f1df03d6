#include "process/syslog.h"

#include "values/alive.h"
#include "values/text.h"

#include <string.h>
#include <sys/un.h>

/* RFC 3164, 4.1.1: facility 3 (daemon) * 8 + severity 4 (warning). There is no timestamp: the receiver sets its own, and making
 * one needs the time zone, which a signal handler cannot get. */
static const char priority[] = "<28>connlimit[";

static bool send_to(const struct sockaddr_un *where, struct iovec *parts, unsigned number)
{
	struct msghdr message = {
	    .msg_name = (void *)(uintptr_t)where, .msg_namelen = sizeof(*where), .msg_iov = parts, .msg_iovlen = number};

	int descriptor = door_socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (descriptor < 0)
		return false;
	bool sent = door(SYS_sendmsg, descriptor, (long)&message, MSG_DONTWAIT | MSG_NOSIGNAL, 0, 0, 0) > 0;
	door_close(descriptor);
	return sent;
}

bool syslog_send(const struct iovec *parts, unsigned number)
{
	static const struct sockaddr_un log = {.sun_family = AF_UNIX, .sun_path = "/dev/log"};
	struct iovec all[1 + SYSLOG_PARTS_MOST];
	char head[sizeof(priority) + 24];

	struct text text = text_begin(head, sizeof(head));
	text_add(&text, priority);
	text_add_number(&text, process_self());
	text_add(&text, "]: ");
	all[0] = (struct iovec){.iov_base = head, .iov_len = strlen(head)};
	if (number > SYSLOG_PARTS_MOST)
		number = SYSLOG_PARTS_MOST;
	memcpy(&all[1], parts, number * sizeof(parts[0]));
	return send_to(&log, all, 1 + number);
}

bool journal_send(const char *entry, size_t length)
{
	static const struct sockaddr_un journal = {.sun_family = AF_UNIX, .sun_path = "/run/systemd/journal/socket"};
	struct iovec whole = {.iov_base = (void *)(uintptr_t)entry, .iov_len = length};

	return send_to(&journal, &whole, 1);
}
