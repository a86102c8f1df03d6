#include "process/defer.h"

#include "values/door.h"
#include "values/hot.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

COLD void defer_accept(int listener)
{
	int seconds = 0;
	int kept = errno;

	if (door_option(listener, IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, sizeof(seconds)) && seconds == 0) {
		seconds = 1;
		door_setsockopt(listener, IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, sizeof(seconds));
	}
	errno = kept;
}
