/* Descriptors that travel over Unix sockets (unix(7), SCM_RIGHTS): while one is under way, and when its receiver is a stranger,
 * the connection is still open although nobody here holds it. */
#include "process/adopt.h"
#include "process/descriptors.h"
#include "process/limiter.h"
#include "process/real.h"

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

INTERPOSE int sendmmsg(int descriptor, struct mmsghdr *messages, unsigned number, int flags)
{
	if (__builtin_expect(messages == NULL || !limiter_is_open(), 0))
		return REAL(sendmmsg)(descriptor, messages, number, flags);
	for (unsigned i = 0; i < number; i++)
		if (messages[i].msg_hdr.msg_controllen != 0)
			each_passed(&messages[i].msg_hdr, send_off);
	int sent = REAL(sendmmsg)(descriptor, messages, number, flags);
	int kept = errno;
	for (unsigned i = sent > 0 ? (unsigned)sent : 0; i < number; i++)
		if (messages[i].msg_hdr.msg_controllen != 0)
			each_passed(&messages[i].msg_hdr, call_back);
	errno = kept;
	return sent;
}

/* A message that is only looked at (MSG_PEEK) brings descriptors as well, and is still under way with its own. */
static void adopt_copy(int descriptor)
{
	adopt(descriptor);
	send_off(descriptor);
}

static void received_message(const struct msghdr *message, int flags)
{
	if (message->msg_controllen != 0)
		each_passed(message, (flags & MSG_PEEK) != 0 ? adopt_copy : adopt);
}

INTERPOSE int recvmmsg(int descriptor, struct mmsghdr *messages, unsigned number, int flags, struct timespec *timeout)
{
	int received = REAL(recvmmsg)(descriptor, messages, number, flags, timeout);

	if (received > 0 && limiter_is_open()) {
		int kept = errno;
		for (int i = 0; i < received; i++)
			received_message(&messages[i].msg_hdr, flags);
		errno = kept;
	}
	return received;
}

static __attribute__((noinline)) ssize_t receive_with_control(int descriptor, struct msghdr *message, int flags)
{
	ssize_t received = REAL(recvmsg)(descriptor, message, flags);
	if (received < 0 || message->msg_controllen == 0)
		return received;
	int kept = errno;
	received_message(message, flags);
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
