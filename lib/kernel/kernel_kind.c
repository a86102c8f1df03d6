/* What has to be known of a connection, beside its addresses, to ask the kernel about it. */
#include "kernel/kernel.h"

#include "values/door.h"

#include <linux/mptcp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif
#ifndef SO_BINDTOIFINDEX
#define SO_BINDTOIFINDEX 62
#endif
#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif
#ifndef SOL_MPTCP
#define SOL_MPTCP 284
#endif
#ifndef MPTCP_INFO
#define MPTCP_INFO 1
#endif

static uint64_t ask_cookie(int descriptor, int option)
{
	uint64_t cookie;

	return door_option(descriptor, SOL_SOCKET, option, &cookie, sizeof(cookie)) ? cookie : 0;
}

uint32_t kernel_network_of(uint64_t cookie)
{
	uint32_t folded = (uint32_t)(cookie ^ cookie >> 32);

	if (cookie == 0)
		return 0;
	return folded == 0 ? 1 : folded == NETWORK_OTHER ? NETWORK_OTHER - 1 : folded;
}

uint32_t kernel_network(int descriptor)
{
	return kernel_network_of(ask_cookie(descriptor, SO_NETNS_COOKIE));
}

bool kernel_kind(int descriptor, struct kind *kind)
{
	int protocol = 0;
	int interface = 0;

	*kind = (struct kind){0};
	if (!door_option(descriptor, SOL_SOCKET, SO_PROTOCOL, &protocol, sizeof(protocol)) ||
	    (protocol != IPPROTO_TCP && protocol != IPPROTO_MPTCP))
		return false;
	/* A kernel before 5.1 does not tell the interface. Then connections bound to one are not found, and nothing is
	 * concluded about them. */
	if (door_option(descriptor, SOL_SOCKET, SO_BINDTOIFINDEX, &interface, sizeof(interface)) && interface > 0)
		kind->interface = (uint32_t)interface;
	kind->network = kernel_network(descriptor);
	kind->mptcp = protocol == IPPROTO_MPTCP;
	return true;
}

/* A client that does not speak MPTCP gets a plain TCP connection, which does not have this option. */
__attribute__((noinline)) uint32_t kernel_mptcp_token(int descriptor)
{
	struct mptcp_info facts = {0};
	socklen_t length = sizeof(facts);

	return door_getsockopt(descriptor, SOL_MPTCP, MPTCP_INFO, &facts, &length) == 0 &&
		       length >= offsetof(struct mptcp_info, mptcpi_token) + sizeof(facts.mptcpi_token)
		   ? facts.mptcpi_token
		   : 0;
}

void kernel_know(struct connection *connection, int descriptor)
{
	struct kind kind;

	connection->descriptor = descriptor + 1;
	connection->network = 0;
	connection->mptcp = 0;
	if (!kernel_kind(descriptor, &kind))
		return;
	connection->network = kind.network;
	if (connection->peer.interface == 0)
		connection->peer.interface = kind.interface;
	if (kind.mptcp)
		connection->mptcp = kernel_mptcp_token(descriptor);
}

struct identity kernel_identity(int descriptor)
{
	struct identity identity = {.cookie = ask_cookie(descriptor, SO_COOKIE)};
	struct stat facts;

	if (door_fstat(descriptor, &facts) == 0)
		identity.inode = (uint32_t)facts.st_ino;
	return identity;
}

bool kernel_has_ended(int descriptor)
{
	unsigned char state = 0; /* the first field of struct tcp_info */

	return door_option(descriptor, IPPROTO_TCP, TCP_INFO, &state, sizeof(state)) && state == TCP_CLOSE;
}
