#include "process/listeners.h"

#include "process/defer.h"
#include "process/keepalive.h"
#include "process/limiter.h"
#include "process/real.h"

#include "table/rate.h"
#include "values/clock.h"
#include "values/door.h"
#include "values/near.h"

#include <dlfcn.h>
#include <errno.h>
#include <gnu/libc-version.h>
#include <limits.h>
#include <netinet/in.h>
#include <string.h>

/* The last one stands for listeners that do not fit; nothing is known about them. */
struct listener listeners[LISTENERS_MOST + 1] = {[LISTENERS_MOST] = {.each = true}};

enum { UNUSED, BEING_WRITTEN, KNOWN };
static _Atomic int states[LISTENERS_MOST];

static bool option_is(int descriptor, int level, int option, int wanted)
{
	int value = -1;

	return door_option(descriptor, level, option, &value, sizeof(value)) && value == wanted;
}

static bool is_wildcard(const struct address *address)
{
	static const struct address any;

	return memcmp(address, &any, sizeof(any)) == 0 ||
	       (address_is_ipv4(address) && memcmp(address->bytes + 12, any.bytes, 4) == 0);
}

/* The one address at which all of the listener's connections arrive. For a wildcard listener, zeros and the port. There is none
 * for a transparent proxy, whose connections are addressed to others (ip(7), IP_TRANSPARENT), or for a link-local address,
 * which exists on each interface. If a connection arrives elsewhere nevertheless, see `steered` in layout.h. */
static bool only_endpoint(int listener, struct endpoint *endpoint)
{
	struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
	socklen_t length = sizeof(address);

	if (door_getsockname(listener, &address, &length) != 0 ||
	    !endpoint_from_sockaddr(endpoint, (struct sockaddr *)&address, length) || endpoint->interface != 0)
		return false;
	if (is_wildcard(&endpoint->address))
		endpoint->address = (struct address){0};
	return address.ss_family == AF_INET ? option_is(listener, IPPROTO_IP, IP_TRANSPARENT, 0)
					    : option_is(listener, IPPROTO_IPV6, IPV6_TRANSPARENT, 0);
}

/* Whether connections of a listener that is bound to no interface are bound to the interface of a routing domain
 * (tcp_l3mdev_accept in the kernel's ip-sysctl). */
static bool connections_are_bound(void)
{
	char setting = '0';
	int descriptor = door_open("/proc/sys/net/ipv4/tcp_l3mdev_accept", O_RDONLY | O_CLOEXEC);

	if (descriptor < 0)
		return false;
	bool read = door_read(descriptor, &setting, 1) == 1;
	door_close(descriptor);
	return read && setting != '0';
}

/* Whether the next accept is libc's: another preload in between may report other peers than the kernel. */
static bool accept_is_libcs(void)
{
	const char *(*libcs)(void) = gnu_get_libc_version;
	Dl_info object[3];
	void *code[3];

	memcpy(&code[0], &libcs, sizeof(code[0]));
	code[1] = (void *)REAL(accept);
	code[2] = (void *)REAL(accept4);
	for (int i = 0; i < 3; i++)
		if (dladdr(code[i], &object[i]) == 0 || object[i].dli_fbase != object[0].dli_fbase)
			return false;
	return true;
}

static void ask(int descriptor, struct listener *listener)
{
	*listener = (struct listener){0};
	if (!kernel_kind(descriptor, &listener->kind))
		return;
	if (!only_endpoint(descriptor, &listener->local))
		listener->local = (struct endpoint){0};
	listener->each =
	    listener->kind.mptcp || (listener->kind.interface == 0 && connections_are_bound()) || !accept_is_libcs();
}

static bool same(const struct listener *a, const struct listener *b)
{
	return endpoint_same(&a->local, &b->local) && a->kind.network == b->kind.network &&
	       a->kind.interface == b->kind.interface && a->kind.mptcp == b->kind.mptcp && a->each == b->each;
}

COLD void listener_set_up(int descriptor)
{
	struct limits limits;

	limits_read(limiter_table(), &limits);
	keepalive_set(descriptor, limits.keepalive);
	if (limits.balancers > 0)
		defer_accept(descriptor);
}

NEAR _Atomic uint64_t listeners_version;
static _Atomic uint32_t keepalive; /* for that version */
static _Atomic bool deferred;	   /* also earlier ones: not taken back */

static void defer(int descriptor, reference held)
{
	if ((uint32_t)held == LISTENER_MARK)
		defer_accept(descriptor);
}

static void follow(int descriptor, reference held)
{
	if ((uint32_t)held == LISTENER_MARK)
		keepalive_set(descriptor, atomic_load(&keepalive));
}

/* It may take a walk over all of the process's descriptors: whoever writes other limits into the table without end makes us do
 * so now and then, and not for each connection. */
static const struct rate following = {.every_us = 50000, .burst = 8};

COLD void listeners_follow_limits(int connection)
{
	static _Atomic uint64_t bucket;
	struct limits limits;

	if (!rate_take(&bucket, &following, clock_us()))
		return;
	limits_read(limiter_table(), &limits);
	atomic_store(&listeners_version, limits.version);
	if (limits.balancers > 0 && !atomic_exchange(&deferred, true))
		descriptor_each(0, UINT_MAX, defer);
	if (atomic_exchange(&keepalive, limits.keepalive) == limits.keepalive)
		return;
	descriptor_each(0, UINT_MAX, follow);
	keepalive_set(connection, limits.keepalive);
}

COLD void listener_learn(int descriptor)
{
	struct listener listener;
	unsigned place = LISTENERS_MOST;
	int kept = errno;

	reference before = descriptor_held(descriptor);
	if ((uint32_t)before == LISTENER_MARK)
		descriptor_unmark(descriptor, before);
	listener_set_up(descriptor);
	ask(descriptor, &listener);
	errno = kept;
	for (unsigned i = 0; place == LISTENERS_MOST && i < LISTENERS_MOST; i++) {
		int state = UNUSED;

		if (atomic_compare_exchange_strong(&states[i], &state, BEING_WRITTEN)) {
			listeners[i] = listener;
			atomic_store(&states[i], KNOWN);
			state = KNOWN;
		}
		if (state == KNOWN && same(&listeners[i], &listener))
			place = i;
	}
	descriptor_mark(descriptor, (reference)place << 32 | LISTENER_MARK);
}
