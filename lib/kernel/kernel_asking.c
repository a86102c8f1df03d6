/* The socket that questions go through, and how they went. */
#include "kernel/kernel.h"

#include "values/door.h"
#include "values/hot.h"

#include <linux/netlink.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <sys/socket.h>

static _Atomic int way;

enum kernel_way kernel_way(void)
{
	return (enum kernel_way)atomic_load_explicit(&way, memory_order_relaxed);
}

void kernel_went(enum kernel_way went)
{
	atomic_store_explicit(&way, went, memory_order_relaxed);
}

/* TCP_LISTEN is what an exact lookup falls back to when only the listener is there (inet_lookup). */
bool kernel_state_is_held(unsigned state, uint32_t inode)
{
	return inode != 0 && state != TCP_LISTEN && state != TCP_TIME_WAIT && state != TCP_CLOSE;
}

int kernel_diag_socket(void)
{
	return door_socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);
}

/* A socket made now is in the same namespace as what /proc shows. */
static COLD uint32_t network_without_netlink(void)
{
	int descriptor = door_socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint32_t network = descriptor >= 0 ? kernel_network(descriptor) : 0;

	if (descriptor >= 0)
		door_close(descriptor);
	return network;
}

bool kernel_begin(struct asking *asking)
{
	if (asking->netlink == 0) {
		int descriptor = kernel_diag_socket();

		asking->netlink = descriptor >= 0 ? descriptor + 1 : -1;
		asking->network = descriptor >= 0 ? kernel_network(descriptor) : network_without_netlink();
	}
	return asking->netlink > 0;
}

void kernel_end(struct asking *asking)
{
	if (asking->netlink > 0)
		door_close(asking->netlink - 1);
	*asking = (struct asking){0};
}
