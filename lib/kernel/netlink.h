/* Talking to the kernel over a netlink socket (netlink(7)): requests out, datagrams of replies in, message by message. For the
 * kernel wing. Never waits: the kernel answers within sendto, or makes the next part of a list when one is received. */
#ifndef CONNLIMIT_NETLINK_H
#define CONNLIMIT_NETLINK_H

#include "values/connection.h"
#include "values/door.h"

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <limits.h>
#include <string.h>
#include <sys/socket.h>

/* A request of sock_diag(7) for the connection with these addresses. A connection of an IPv6 socket with an IPv4 peer is found
 * as IPv4: the kernel keeps both forms of its addresses. */
static inline struct inet_diag_req_v2 netlink_connection(const struct connection *connection)
{
	bool ipv4 = address_is_ipv4(&connection->peer.address);
	size_t skipped = ipv4 ? 12 : 0;
	struct inet_diag_req_v2 body = {
	    .sdiag_family = ipv4 ? AF_INET : AF_INET6,
	    .sdiag_protocol = IPPROTO_TCP,
	    .idiag_states = ~0U,
	    .id = {.idiag_sport = htons(connection->local.port),
		   .idiag_dport = htons(connection->peer.port),
		   .idiag_if = connection->peer.interface,
		   .idiag_cookie = {INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE}},
	};

	memcpy(body.id.idiag_src, connection->local.address.bytes + skipped, 16 - skipped);
	memcpy(body.id.idiag_dst, connection->peer.address.bytes + skipped, 16 - skipped);
	return body;
}

/* Sends requests that lie one after the other. False if not all were taken. */
static inline bool netlink_send(int netlink, const void *requests, size_t length)
{
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};

	return door_sendto(netlink, requests, length, MSG_DONTWAIT, &kernel, sizeof(kernel)) == (ssize_t)length;
}

/* Receives a datagram. Returns its length, 0 if it is not from the kernel, -1 if there is none or it does not fit. */
static inline ssize_t netlink_receive(int netlink, void *buffer, size_t size)
{
	struct sockaddr_nl from = {0};
	socklen_t from_length = sizeof(from);
	ssize_t length = door_recvfrom(netlink, buffer, size, MSG_DONTWAIT | MSG_TRUNC, &from, &from_length);

	if (length <= 0 || (size_t)length > size)
		return -1;
	return from_length == sizeof(from) && from.nl_pid == 0 ? length : 0;
}

/* What is left of a datagram, and the message that was taken from it last. */
struct netlink_messages {
	const char *at;
	size_t left;
	struct nlmsghdr header;
	const char *body; /* not aligned */
	size_t length;	  /* of the body */
};

/* Takes the next message. False if there is none, or if it is not whole: then `left` is not 0. */
static inline bool netlink_next(struct netlink_messages *messages)
{
	if (messages->left < sizeof(messages->header))
		return false;
	memcpy(&messages->header, messages->at, sizeof(messages->header));
	size_t length = messages->header.nlmsg_len;
	if (length < NLMSG_HDRLEN || length > messages->left)
		return false;
	messages->body = messages->at + NLMSG_HDRLEN;
	messages->length = length - NLMSG_HDRLEN;
	size_t step = NLMSG_ALIGN(length) < messages->left ? NLMSG_ALIGN(length) : messages->left;
	messages->at += step;
	messages->left -= step;
	return true;
}

/* The error in a message of type NLMSG_ERROR, an errno; 0 if it is none. */
static inline int netlink_error(const struct netlink_messages *messages)
{
	struct nlmsgerr error;

	if (messages->header.nlmsg_type != NLMSG_ERROR || messages->length < sizeof(error))
		return 0;
	memcpy(&error, messages->body, sizeof(error));
	return error.error > -INT_MAX ? -error.error : 0;
}

#endif
