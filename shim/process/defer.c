#include "process/defer.h"

#include "values/door.h"
#include "values/hot.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

COLD void defer_accept(int listener)
{
	int seconds = 0;
	socklen_t length = sizeof(seconds);
	int kept = errno;

	if (door_getsockopt(listener, IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, &length) == 0 && seconds == 0) {
		seconds = 1;
		door_setsockopt(listener, IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, sizeof(seconds));
	}
	errno = kept;
}
