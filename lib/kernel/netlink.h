/* Talking to the kernel over a netlink socket (netlink(7)): requests out, datagrams of replies in, message by message. For the
 * kernel wing. Never waits: the kernel answers within sendto, or makes the next part of a list when one is received. */
#ifndef CONNLIMIT_NETLINK_H
#define CONNLIMIT_NETLINK_H

#include "values/door.h"

#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>

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
	return -error.error;
}

#endif
