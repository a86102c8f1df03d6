/* All TCP sockets that the kernel has, by a dump of sock_diag(7). */
#include "kernel/kernel.h"

#include "values/door.h"

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <string.h>

static struct endpoint end_of(const struct inet_diag_msg *message, const __be32 *address, __be16 port)
{
	struct endpoint end = {.address.bytes = {[10] = 0xff, [11] = 0xff}, .port = ntohs(port)};

	if (message->idiag_family == AF_INET) {
		memcpy(end.address.bytes + 12, address, 4);
	} else {
		memcpy(end.address.bytes, address, 16);
	}
	end.interface = message->id.idiag_if;
	return end;
}

enum heard { HEARD_SOME, HEARD_ALL, HEARD_WRONG };

/* One datagram of replies. */
static enum heard read_list(const char *buffer, size_t length, visit_socket *visit, void *with)
{
	while (length >= sizeof(struct nlmsghdr)) {
		struct inet_diag_msg message;
		struct nlmsghdr header;

		memcpy(&header, buffer, sizeof(header));
		if (header.nlmsg_type == NLMSG_DONE)
			return HEARD_ALL;
		if (header.nlmsg_len < NLMSG_LENGTH(sizeof(message)) || header.nlmsg_len > length ||
		    header.nlmsg_type != SOCK_DIAG_BY_FAMILY)
			return HEARD_WRONG;
		memcpy(&message, buffer + NLMSG_HDRLEN, sizeof(message));
		struct listed_socket listed = {
		    .peer = end_of(&message, message.id.idiag_dst, message.id.idiag_dport),
		    .local = end_of(&message, message.id.idiag_src, message.id.idiag_sport),
		    .family = message.idiag_family,
		    .state = message.idiag_state,
		    .identity = {(uint64_t)message.id.idiag_cookie[1] << 32 | message.id.idiag_cookie[0], message.idiag_inode},
		};
		if (!visit(&listed, with))
			return HEARD_WRONG;
		size_t step = NLMSG_ALIGN(header.nlmsg_len);
		if (step >= length)
			break;
		buffer += step;
		length -= step;
	}
	return HEARD_SOME;
}

static bool list(int netlink, int family, unsigned states, uint16_t port, char *buffer, size_t size, visit_socket *visit,
		 void *with)
{
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	struct {
		struct nlmsghdr header;
		struct inet_diag_req_v2 body;
	} request = {
	    .header = {.nlmsg_len = sizeof(request),
		       .nlmsg_type = SOCK_DIAG_BY_FAMILY,
		       .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
	    .body = {.sdiag_family = (unsigned char)family,
		     .sdiag_protocol = IPPROTO_TCP,
		     .idiag_states = states,
		     .id.idiag_sport = htons(port)},
	};

	if (door_sendto(netlink, &request, sizeof(request), MSG_DONTWAIT, &kernel, sizeof(kernel)) != (ssize_t)sizeof(request))
		return false;
	for (;;) {
		struct sockaddr_nl from = {0};
		socklen_t from_length = sizeof(from);
		/* The kernel fills the next datagram while this one is read, so there is never anything to wait for. */
		ssize_t length = door_recvfrom(netlink, buffer, size, MSG_DONTWAIT | MSG_TRUNC, &from, &from_length);

		if (length <= 0 || (size_t)length > size)
			return false;
		if (from_length != sizeof(from) || from.nl_pid != 0)
			continue;
		enum heard heard = read_list(buffer, (size_t)length, visit, with);
		if (heard != HEARD_SOME)
			return heard == HEARD_ALL;
	}
}

bool kernel_list(int family, unsigned states, uint16_t port, char *buffer, size_t size, visit_socket *visit, void *with)
{
	int descriptor = kernel_diag_socket();

	if (descriptor < 0)
		return false;
	bool all = list(descriptor, family, states, port, buffer, size, visit, with);
	door_close(descriptor);
	return all;
}
