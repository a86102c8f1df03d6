#include "coverage.h"

#include "../../lib/records.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct ports {
	unsigned char set[65536 / 8];
	uint64_t open; /* records of internet connections */
};

static void find_ports(const struct table *table, struct ports *ports)
{
	uint32_t extent = record_extent(table);

	for (uint32_t slot = 0; slot < extent; slot++) {
		struct connection connection;
		uint64_t state;

		if (!record_read(table, slot, &state, &connection) || connection.local.port == 0)
			continue;
		ports->set[connection.local.port / 8] |= (unsigned char)(1U << connection.local.port % 8);
		ports->open++;
	}
}

static int64_t count_replies(const char *buffer, size_t length, const struct ports *ports, bool *done)
{
	int64_t number = 0;

	while (length >= sizeof(struct nlmsghdr)) {
		struct nlmsghdr header;
		struct inet_diag_msg message;

		memcpy(&header, buffer, sizeof(header));
		if (header.nlmsg_len < sizeof(header) || header.nlmsg_len > length || header.nlmsg_type == NLMSG_DONE ||
		    header.nlmsg_type == NLMSG_ERROR) {
			*done = true;
			return header.nlmsg_type == NLMSG_ERROR ? -1 : number;
		}
		if (header.nlmsg_len >= NLMSG_LENGTH(sizeof(message))) {
			memcpy(&message, buffer + NLMSG_HDRLEN, sizeof(message));
			unsigned port = ntohs(message.id.idiag_sport);
			number += message.idiag_inode != 0 && (ports->set[port / 8] & 1U << port % 8) != 0;
		}
		size_t step = NLMSG_ALIGN(header.nlmsg_len);
		if (step >= length)
			break;
		buffer += step;
		length -= step;
	}
	return number;
}

static int64_t dump(int family, const struct ports *ports)
{
	struct {
		struct nlmsghdr header;
		struct inet_diag_req_v2 body;
	} request = {
	    .header = {.nlmsg_len = sizeof(request),
		       .nlmsg_type = SOCK_DIAG_BY_FAMILY,
		       .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
	    .body = {.sdiag_family = (unsigned char)family,
		     .sdiag_protocol = IPPROTO_TCP,
		     .idiag_states = 1U << TCP_ESTABLISHED | 1U << TCP_CLOSE_WAIT | 1U << TCP_FIN_WAIT1 | 1U << TCP_FIN_WAIT2 |
				     1U << TCP_LAST_ACK | 1U << TCP_CLOSING},
	};
	_Alignas(struct nlmsghdr) static char buffer[65536];
	int64_t number = 0;
	bool done = false;

	int descriptor = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	if (descriptor < 0)
		return -1;
	if (send(descriptor, &request, sizeof(request), 0) != (ssize_t)sizeof(request))
		done = true, number = -1;
	while (!done) {
		ssize_t length = recv(descriptor, buffer, sizeof(buffer), 0);
		if (length <= 0)
			break;
		int64_t more = count_replies(buffer, (size_t)length, ports, &done);
		number = more < 0 ? -1 : number + more;
	}
	close(descriptor);
	return number;
}

void coverage_of(const struct table *table, int64_t *covered, int64_t *in_kernel)
{
	struct ports *ports = calloc(1, sizeof(*ports));

	*covered = -1;
	*in_kernel = 0;
	if (ports == NULL)
		return;
	find_ports(table, ports);
	int64_t ipv4 = ports->open > 0 ? dump(AF_INET, ports) : 0;
	int64_t ipv6 = ports->open > 0 ? dump(AF_INET6, ports) : 0;
	if (ipv4 >= 0 && ipv6 >= 0) {
		*in_kernel = ipv4 + ipv6;
		*covered = (int64_t)ports->open < *in_kernel ? (int64_t)ports->open : *in_kernel;
	}
	free(ports);
}
