/* Descriptors that travel over Unix sockets (unix(7), SCM_RIGHTS): whoever receives one holds the connection as well. And who
 * sends or receives sockets is one of the daemon's processes, even if it never listens itself. */
#include "process/caller.h"
#include "process/descriptors.h"
#include "process/limiter.h"
#include "process/real.h"

#include <errno.h>

/* Visits the descriptors in a message's control data, some at a time. */
static void each_passed(const struct msghdr *message, void (*visit)(int descriptor))
{
	enum { AT_ONCE = 32 };
	const char *at = message->msg_control;
	size_t left = message->msg_controllen;
	struct cmsghdr part;

	while (left >= sizeof(part) && caller_read(&part, at, sizeof(part)) && part.cmsg_len >= CMSG_LEN(0) &&
	       part.cmsg_len <= left) {
		size_t number = (part.cmsg_len - CMSG_LEN(0)) / sizeof(int);
		int descriptor[AT_ONCE];

		if (part.cmsg_level != SOL_SOCKET || part.cmsg_type != SCM_RIGHTS)
			number = 0;
		for (size_t i = 0; i < number; i += AT_ONCE) {
			size_t some = number - i < AT_ONCE ? number - i : AT_ONCE;
			if (!caller_read(descriptor, at + CMSG_LEN(0) + i * sizeof(int), some * sizeof(int)))
				return;
			for (size_t j = 0; j < some; j++)
				visit(descriptor[j]);
		}
		size_t step = CMSG_ALIGN(part.cmsg_len);
		if (step >= left)
			return;
		at += step;
		left -= step;
	}
}

static void send_off(int descriptor)
{
	limiter_sends(descriptor);
	descriptor_copied(descriptor);
}

static inline void look_at(const struct msghdr *theirs, void (*visit)(int descriptor))
{
	struct msghdr message;
	int kept = errno;

	if (caller_read(&message, theirs, sizeof(message)) && message.msg_control != NULL && message.msg_controllen != 0)
		each_passed(&message, visit);
	errno = kept;
}

INTERPOSE ssize_t sendmsg(int descriptor, const struct msghdr *message, int flags)
{
	if (__builtin_expect(limiter_is_of_daemon(), 0))
		look_at(message, send_off);
	return REAL(sendmsg)(descriptor, message, flags);
}

INTERPOSE int sendmmsg(int descriptor, struct mmsghdr *messages, unsigned number, int flags)
{
	for (unsigned i = 0; i < number && limiter_is_of_daemon(); i++)
		look_at(&messages[i].msg_hdr, send_off);
	return REAL(sendmmsg)(descriptor, messages, number, flags);
}

/* A worker that is given its connections, and never accepts. */
INTERPOSE ssize_t recvmsg(int descriptor, struct msghdr *message, int flags)
{
	ssize_t received = REAL(recvmsg)(descriptor, message, flags);

	if (__builtin_expect(limiter_is_of_daemon() && !limiter_is_open() && received >= 0, 0))
		look_at(message, limiter_is_given);
	return received;
}
