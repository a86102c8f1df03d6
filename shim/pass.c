/* Descriptors that travel over Unix sockets (unix(7), SCM_RIGHTS): while one is under way, and when its receiver is a stranger, the
 * connection is still open although nobody here holds it. */
#include "adopt.h"
#include "descriptors.h"
#include "limiter.h"
#include "real.h"

#include <errno.h>
#include <string.h>

static void each_passed(const struct msghdr *message, void (*visit)(int descriptor))
{
	/* CMSG_NXTHDR takes the message as not const, but only reads it. */
	struct msghdr *walked = (struct msghdr *)(uintptr_t)message;

	for (struct cmsghdr *part = CMSG_FIRSTHDR(walked); part != NULL; part = CMSG_NXTHDR(walked, part)) {
		if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS || part->cmsg_len < CMSG_LEN(0))
			continue;
		size_t number = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < number; i++) {
			int descriptor;
			memcpy(&descriptor, CMSG_DATA(part) + i * sizeof(int), sizeof(int));
			visit(descriptor);
		}
	}
}

static void send_off(int descriptor)
{
	reference held = descriptor_held(descriptor);

	if (held != 0 && table_hold(limiter_table(), held))
		table_let_fly(limiter_table(), held);
}

static void call_back(int descriptor)
{
	reference held = descriptor_held(descriptor);

	if (held != 0) {
		table_land(limiter_table(), held);
		table_drop(limiter_table(), held);
	}
}

static __attribute__((noinline)) ssize_t send_with_control(int descriptor, const struct msghdr *message, int flags)
{
	each_passed(message, send_off);
	ssize_t sent = REAL(sendmsg)(descriptor, message, flags);
	if (sent < 0) {
		int kept = errno;
		each_passed(message, call_back);
		errno = kept;
	}
	return sent;
}

INTERPOSE ssize_t sendmsg(int descriptor, const struct msghdr *message, int flags)
{
	if (__builtin_expect(message == NULL || !limiter_is_open() || message->msg_controllen == 0, 1))
		return REAL(sendmsg)(descriptor, message, flags);
	return send_with_control(descriptor, message, flags);
}

static __attribute__((noinline)) ssize_t receive_with_control(int descriptor, struct msghdr *message, int flags)
{
	ssize_t received = REAL(recvmsg)(descriptor, message, flags);
	if (received < 0 || message->msg_controllen == 0)
		return received;
	int kept = errno;
	each_passed(message, adopt);
	errno = kept;
	return received;
}

INTERPOSE ssize_t recvmsg(int descriptor, struct msghdr *message, int flags)
{
	/* Without room for them no descriptors come. */
	if (__builtin_expect(message == NULL || !limiter_is_open() || message->msg_controllen == 0, 1))
		return REAL(recvmsg)(descriptor, message, flags);
	return receive_with_control(descriptor, message, flags);
}
