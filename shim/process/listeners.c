#include "process/listeners.h"

#include "values/door.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

struct endpoint listener_endpoints[LISTENERS_MOST];

enum { UNUSED, BEING_WRITTEN, KNOWN };
static _Atomic int states[LISTENERS_MOST];

static bool option_is(int descriptor, int level, int option, int wanted)
{
	int value = -1;
	socklen_t length = sizeof(value);

	return door_getsockopt(descriptor, level, option, &value, &length) == 0 && value == wanted;
}

static bool is_wildcard(const struct address *address)
{
	static const struct address any;

	return memcmp(address, &any, sizeof(any)) == 0 ||
	       (address_is_ipv4(address) && memcmp(address->bytes + 12, any.bytes, 4) == 0);
}

/* The one address at which every connection of the listener arrives, or zeros and the port. A transparent proxy's listener gets
 * those of others (ip(7), IP_TRANSPARENT); a link-local address is many, one on each interface. Where a connection arrives
 * elsewhere all the same (by a program attached to the network namespace), the kernel does not find it under this address when
 * asked, and then nothing is concluded from its answers; for the wildcard address see `steered` in layout.h. */
static bool only_endpoint(int listener, struct endpoint *endpoint)
{
	struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
	socklen_t length = sizeof(address);

	if (!option_is(listener, SOL_SOCKET, SO_PROTOCOL, IPPROTO_TCP) || door_getsockname(listener, &address, &length) != 0 ||
	    !endpoint_from_sockaddr(endpoint, (struct sockaddr *)&address, length) || endpoint->interface != 0)
		return false;
	if (is_wildcard(&endpoint->address))
		endpoint->address = (struct address){0};
	return address.ss_family == AF_INET ? option_is(listener, IPPROTO_IP, IP_TRANSPARENT, 0)
					    : option_is(listener, IPPROTO_IPV6, IPV6_TRANSPARENT, 0);
}

void listener_learn(int listener)
{
	struct endpoint endpoint;
	int kept = errno;

	if ((uint32_t)descriptor_held(listener) == LISTENER_MARK)
		descriptor_take(listener);
	bool one = only_endpoint(listener, &endpoint);
	errno = kept;
	for (unsigned i = 0; one && i < LISTENERS_MOST; i++) {
		int state = UNUSED;

		if (atomic_compare_exchange_strong(&states[i], &state, BEING_WRITTEN)) {
			listener_endpoints[i] = endpoint;
			atomic_store(&states[i], KNOWN);
			state = KNOWN;
		}
		if (state == KNOWN && endpoint_same(&listener_endpoints[i], &endpoint)) {
			descriptor_put(listener, (reference)i << 32 | LISTENER_MARK);
			return;
		}
	}
}
