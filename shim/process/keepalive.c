#include "process/keepalive.h"

#include "process/report.h"

#include "kernel/kernel.h"
#include "values/door.h"
#include "values/hot.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

/* For a time T, the first probe follows after T/2 of silence, and then one every T/16. The first probe after 4/5 T ends the
 * connection, because TCP_USER_TIMEOUT overrides TCP_KEEPCNT; it also applies to data that is sent and not acknowledged. That
 * is at most 14/16 T, and as the kernel's timers may be up to 1/8 late, it is within T.
 *
 * From TCP_USER_TIMEOUT one can tell for which T a socket was set up, in other processes too and after an exec: nobody else
 * uses a number of milliseconds that is one less than a multiple of 800. */
enum { IDLE_OF, INTERVAL_OF, ON, TIMEOUT_OF, OPTIONS };

static const struct {
	int level, name;
} option[OPTIONS] = {
    [IDLE_OF] = {IPPROTO_TCP, TCP_KEEPIDLE},
    [INTERVAL_OF] = {IPPROTO_TCP, TCP_KEEPINTVL},
    [ON] = {SOL_SOCKET, SO_KEEPALIVE},
    [TIMEOUT_OF] = {IPPROTO_TCP, TCP_USER_TIMEOUT}, /* last: it shows that the others are set */
};

static int value_for(int which, uint32_t seconds)
{
	switch (which) {
	case IDLE_OF: return (int)seconds / 2;
	case INTERVAL_OF: return seconds < 32 ? 1 : (int)seconds / 16;
	case TIMEOUT_OF: return (int)seconds * 800 - 1;
	default: return 1;
	}
}

static uint32_t seconds_of(int timeout)
{
	return timeout > 0 && (timeout + 1) % 800 == 0 ? (uint32_t)(timeout + 1) / 800 : 0;
}

static bool get(int descriptor, int which, int *value)
{
	return door_option(descriptor, option[which].level, option[which].name, value, sizeof(*value));
}

static bool set(int descriptor, int which, int value)
{
	return door_setsockopt(descriptor, option[which].level, option[which].name, &value, sizeof(value)) == 0;
}

/* SO_KEEPALIVE is turned on once and never off. If it is off later, the daemon turned it off; if it is on, the daemon may have
 * turned it on. */
static bool change(int descriptor, int which, uint32_t before, uint32_t seconds, int standard)
{
	int current;

	if (!get(descriptor, which, &current))
		return false;
	if (which == ON)
		return current != 0 || before != 0 || seconds == 0 || set(descriptor, which, 1);
	if (current != standard && (before == 0 || current != value_for(which, before)))
		return true;
	return set(descriptor, which, seconds != 0 ? value_for(which, seconds) : standard);
}

static bool change_all(int descriptor, uint32_t before, uint32_t seconds)
{
	int fresh = door_socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool good = fresh >= 0;

	for (int which = 0; which < OPTIONS && good; which++) {
		int standard;

		good = get(fresh, which, &standard) && change(descriptor, which, before, seconds, standard);
	}
	int why = errno;
	if (fresh >= 0)
		door_close(fresh);
	errno = why;
	return good;
}

static void say_failed(int descriptor)
{
	static _Atomic bool said;
	struct kind kind;
	int why = errno;

	if (kernel_kind(descriptor, &kind) && !atomic_exchange(&said, true))
		report("CONNLIMIT_KEEPALIVE cannot be set on a socket (", strerrorname_np(why),
		       "): clients whose machine is gone count until the daemon notices", NULL);
}

COLD void keepalive_set(int descriptor, uint32_t seconds)
{
	int kept = errno;
	int timeout = 0;
	bool known = get(descriptor, TIMEOUT_OF, &timeout);
	uint32_t before = seconds_of(timeout);

	if (known ? before != seconds && !change_all(descriptor, before, seconds) : seconds != 0)
		say_failed(descriptor);
	errno = kept;
}
