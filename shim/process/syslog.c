#include "process/syslog.h"

#include "values/alive.h"
#include "values/door.h"
#include "values/text.h"

#include <string.h>
#include <sys/un.h>

/* RFC 3164, 4.1.1: facility 3 (daemon) * 8 + severity 4 (warning). Without a timestamp the receiver sets its own, and making
 * one needs the time zone, which cannot be had in a signal handler. */
static const char priority[] = "<28>connlimit[";

bool syslog_send(const char *line, size_t length)
{
	static const char start[] = "connlimit";
	const struct sockaddr_un log = {.sun_family = AF_UNIX, .sun_path = "/dev/log"};
	char datagram[1100];

	int descriptor = door_socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (descriptor < 0)
		return false;
	struct text text = text_begin(datagram, sizeof(datagram));
	text_add(&text, priority);
	text_add_number(&text, process_self());
	text_add(&text, "]");
	size_t head = strlen(datagram);
	/* The line says "connlimit: ..." itself: the number goes into its middle. */
	line += sizeof(start) - 1;
	length -= sizeof(start) - 1;
	if (length > sizeof(datagram) - head)
		length = sizeof(datagram) - head;
	memcpy(datagram + head, line, length);
	bool sent = door_sendto(descriptor, datagram, head + length, MSG_DONTWAIT | MSG_NOSIGNAL, &log, sizeof(log)) > 0;
	door_close(descriptor);
	return sent;
}
