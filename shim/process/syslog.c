#include "process/syslog.h"

#include "values/alive.h"
#include "values/text.h"

#include <string.h>
#include <sys/un.h>

/* RFC 3164, 4.1.1: facility 3 (daemon) * 8 + severity 4 (warning). Without a timestamp the receiver sets its own, and making
 * one needs the time zone, which cannot be had in a signal handler. */
static const char priority[] = "<28>connlimit[";

bool syslog_send(const struct iovec *parts, unsigned number)
{
	static const struct sockaddr_un log = {.sun_family = AF_UNIX, .sun_path = "/dev/log"};
	struct iovec all[1 + SYSLOG_PARTS_MOST];
	struct msghdr message = {.msg_name = (void *)(uintptr_t)&log, .msg_namelen = sizeof(log), .msg_iov = all};
	char head[sizeof(priority) + 24];

	int descriptor = door_socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (descriptor < 0)
		return false;
	struct text text = text_begin(head, sizeof(head));
	text_add(&text, priority);
	text_add_number(&text, process_self());
	text_add(&text, "]: ");
	all[0] = (struct iovec){.iov_base = head, .iov_len = strlen(head)};
	if (number > SYSLOG_PARTS_MOST)
		number = SYSLOG_PARTS_MOST;
	memcpy(&all[1], parts, number * sizeof(parts[0]));
	message.msg_iovlen = 1 + number;
	bool sent = door(SYS_sendmsg, descriptor, (long)&message, MSG_DONTWAIT | MSG_NOSIGNAL, 0, 0, 0) > 0;
	door_close(descriptor);
	return sent;
}
