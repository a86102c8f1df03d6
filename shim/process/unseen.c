#include "process/unseen.h"

#include "process/limiter.h"
#include "process/report.h"

#include "values/door.h"

#include <errno.h>

/* Said where it may be the program that serves: before anything was limited, and by the process that everything comes from; not
 * by each of its children that starts the program for another purpose. */
void unseen_by_loader(void)
{
	if (limiter_is_open() && atomic_load(&limiter_table()->header->maker) != limiter_table()->pid)
		return;
	report(
	    "the program executes itself with privileges for which the loader ignores preloads (ld.so(8), secure-execution "
	    "mode): "
	    "what it accepts from now on is NOT limited",
	    NULL);
}

static bool option_is(int descriptor, int option, int wanted)
{
	int value = -1;
	socklen_t length = sizeof(value);

	return door_getsockopt(descriptor, SOL_SOCKET, option, &value, &length) == 0 && value == wanted;
}

static bool inherits_listener(int descriptor)
{
	if (!option_is(descriptor, SO_ACCEPTCONN, 1) ||
	    !(option_is(descriptor, SO_DOMAIN, AF_INET) || option_is(descriptor, SO_DOMAIN, AF_INET6)))
		return false;
	return (door_fcntl(descriptor, F_GETFD, 0) & FD_CLOEXEC) == 0;
}

bool unseen_inherits_listener(void)
{
	enum { LOOKED_AT = 64 }; /* where a program finds what it is given */
	int kept = errno;
	bool inherits = false;

	for (int i = 0; i < LOOKED_AT && !inherits; i++)
		inherits = inherits_listener(i);
	errno = kept;
	return inherits;
}

void unseen_with_listener(void)
{
	if (atomic_fetch_add(&limiter_table()->header->unseen, 1) == 0)
		report(
		    "a program was executed with a listener, and without LD_PRELOAD in its environment: what it accepts is NOT "
		    "limited",
		    NULL);
}
