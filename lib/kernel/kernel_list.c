/* All TCP sockets that the kernel has, by a dump of sock_diag(7). */
#include "kernel/kernel.h"

#include "kernel/netlink.h"

#include <linux/inet_diag.h>
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
	struct netlink_messages replies = {.at = buffer, .left = length};

	while (netlink_next(&replies)) {
		struct inet_diag_msg message;

		if (replies.header.nlmsg_type == NLMSG_DONE)
			return HEARD_ALL;
		bool is_socket =
		    replies.header.nlmsg_type == SOCK_DIAG_BY_FAMILY || replies.header.nlmsg_type == TCPDIAG_GETSOCK;
		if (!is_socket || replies.length < sizeof(message))
			return HEARD_WRONG;
		memcpy(&message, replies.body, sizeof(message));
		struct listed_socket listed = {
		    .peer = end_of(&message, message.id.idiag_dst, message.id.idiag_dport),
		    .local = end_of(&message, message.id.idiag_src, message.id.idiag_sport),
		    .family = message.idiag_family,
		    .state = message.idiag_state,
		    .identity = {(uint64_t)message.id.idiag_cookie[1] << 32 | message.id.idiag_cookie[0], message.idiag_inode},
		};
		if (!visit(&listed, with))
			return HEARD_WRONG;
	}
	return replies.left == 0 ? HEARD_SOME : HEARD_WRONG;
}

/* Asks for a list. The request before sock_diag (TCPDIAG_GETSOCK) lists both families in one walk over the kernel's sockets. */
static bool begin_list(int netlink, int family, unsigned states, uint16_t port)
{
	struct {
		struct nlmsghdr header;
		union {
			struct inet_diag_req_v2 of_family;
			struct inet_diag_req of_both;
		} body;
	} request = {.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP};

	if (family == AF_UNSPEC) {
		request.header.nlmsg_type = TCPDIAG_GETSOCK;
		request.header.nlmsg_len = NLMSG_LENGTH(sizeof(request.body.of_both));
		request.body.of_both = (struct inet_diag_req){.idiag_states = states, .id.idiag_sport = htons(port)};
	} else {
		request.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
		request.header.nlmsg_len = NLMSG_LENGTH(sizeof(request.body.of_family));
		request.body.of_family = (struct inet_diag_req_v2){.sdiag_family = (unsigned char)family,
								   .sdiag_protocol = IPPROTO_TCP,
								   .idiag_states = states,
								   .id.idiag_sport = htons(port)};
	}
	return netlink_send(netlink, &request, request.header.nlmsg_len);
}

static bool list(int netlink, int family, unsigned states, uint16_t port, char *buffer, size_t size, visit_socket *visit,
		 void *with)
{
	enum heard heard = HEARD_SOME;

	if (!begin_list(netlink, family, states, port))
		return false;
	while (heard == HEARD_SOME) {
		ssize_t length = netlink_receive(netlink, buffer, size);

		if (length != 0)
			heard = length > 0 ? read_list(buffer, (size_t)length, visit, with) : HEARD_WRONG;
	}
	return heard == HEARD_ALL;
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
