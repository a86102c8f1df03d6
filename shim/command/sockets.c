#include "sockets.h"

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DATAGRAM = 1 << 16 };

static struct address address_of(int family, const __be32 *words)
{
	struct address address = {.bytes = {[10] = 0xff, [11] = 0xff}};

	if (family == AF_INET)
		memcpy(address.bytes + 12, words, 4);
	else
		memcpy(address.bytes, words, 16);
	return address;
}

static bool add(struct socket_facts **list, size_t *number, const struct socket_facts *facts)
{
	/* Room doubles whenever the number is a power of two from 64 on. */
	if (*number == 0 || (*number >= 64 && (*number & (*number - 1)) == 0)) {
		struct socket_facts *larger = realloc(*list, (*number == 0 ? 64 : *number * 2) * sizeof(*larger));

		if (larger == NULL)
			return false;
		*list = larger;
	}
	(*list)[(*number)++] = *facts;
	return true;
}

static bool take(struct sockets *sockets, const struct inet_diag_msg *message)
{
	int family = message->idiag_family;
	unsigned state = message->idiag_state;
	struct socket_facts facts = {
	    .connection = {.peer = {.address = address_of(family, message->id.idiag_dst),
				    .port = ntohs(message->id.idiag_dport)},
			   .local = {.address = address_of(family, message->id.idiag_src),
				     .port = ntohs(message->id.idiag_sport)}},
	    .inode = message->idiag_inode,
	    .ipv4 = family == AF_INET,
	    .half_closed = state == TCP_FIN_WAIT1 || state == TCP_FIN_WAIT2 || state == TCP_CLOSING || state == TCP_LAST_ACK,
	};

	if (facts.inode == 0)
		return true;
	return state == TCP_LISTEN ? add(&sockets->listener, &sockets->listeners, &facts)
				   : add(&sockets->open, &sockets->opens, &facts);
}

/* One datagram of replies. Returns whether more are to come; *good falls if something is wrong. */
static bool read_replies(struct sockets *sockets, const char *buffer, size_t length, bool *good)
{
	while (length >= sizeof(struct nlmsghdr)) {
		struct inet_diag_msg message;
		struct nlmsghdr header;

		memcpy(&header, buffer, sizeof(header));
		if (header.nlmsg_type == NLMSG_DONE)
			return false;
		if (header.nlmsg_len < NLMSG_LENGTH(sizeof(message)) || header.nlmsg_len > length ||
		    header.nlmsg_type == NLMSG_ERROR) {
			*good = false;
			return false;
		}
		memcpy(&message, buffer + NLMSG_HDRLEN, sizeof(message));
		if (!take(sockets, &message)) {
			*good = false;
			return false;
		}
		size_t step = NLMSG_ALIGN(header.nlmsg_len);
		if (step >= length)
			return true;
		buffer += step;
		length -= step;
	}
	return true;
}

static bool dump(struct sockets *sockets, int family, char *buffer)
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
		     .idiag_states = 1U << TCP_LISTEN | 1U << TCP_ESTABLISHED | 1U << TCP_CLOSE_WAIT | 1U << TCP_FIN_WAIT1 |
				     1U << TCP_FIN_WAIT2 | 1U << TCP_LAST_ACK | 1U << TCP_CLOSING},
	};
	bool good = true;

	int descriptor = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	if (descriptor < 0)
		return false;
	if (send(descriptor, &request, sizeof(request), 0) != (ssize_t)sizeof(request)) {
		close(descriptor);
		return false;
	}
	for (bool more = true; more;) {
		ssize_t length = recv(descriptor, buffer, DATAGRAM, 0);

		if (length <= 0)
			good = more = false;
		else
			more = read_replies(sockets, buffer, (size_t)length, &good);
	}
	close(descriptor);
	return good;
}

bool sockets_read(struct sockets *sockets)
{
	char *buffer = malloc(DATAGRAM);

	*sockets = (struct sockets){0};
	bool good = buffer != NULL && dump(sockets, AF_INET, buffer);
	/* A kernel without IPv6 has none of its sockets. */
	if (good && !dump(sockets, AF_INET6, buffer) && access("/proc/net/tcp6", F_OK) == 0)
		good = false;
	free(buffer);
	if (!good)
		sockets_free(sockets);
	return good;
}

void sockets_free(struct sockets *sockets)
{
	free(sockets->listener);
	free(sockets->open);
	*sockets = (struct sockets){0};
}
