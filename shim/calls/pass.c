/* Passing descriptors over Unix sockets (unix(7), SCM_RIGHTS): whoever receives one holds the connection too. A process that
 * sends or receives sockets belongs to the daemon, even if it never listens itself. */
#include "process/caller.h"
#include "process/descriptors.h"
#include "process/limiter_open.h"
#include "process/real.h"

#include <errno.h>

/* Visits the descriptors in a message's control data, in chunks. Returns how many visits returned true. */
static unsigned each_passed(const struct msghdr *message, bool (*visit)(int descriptor))
{
	unsigned visits = 0;
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
				return visits;
			for (size_t j = 0; j < some; j++)
				visits += visit(descriptor[j]);
		}
		size_t step = CMSG_ALIGN(part.cmsg_len);
		if (step >= left)
			break;
		at += step;
		left -= step;
	}
	return visits;
}

static bool receive(int descriptor)
{
	limiter_is_given(descriptor);
	return false;
}

static bool send_off(int descriptor)
{
	limiter_sends(descriptor);
	return copying_begins(descriptor);
}

static inline unsigned look_at(const struct msghdr *theirs, bool (*visit)(int descriptor))
{
	struct msghdr message;
	unsigned visits = 0;
	int kept = errno;

	if (caller_read(&message, theirs, sizeof(message)) && message.msg_control != NULL && message.msg_controllen != 0)
		visits = each_passed(&message, visit);
	errno = kept;
	return visits;
}

static inline void sent_off(unsigned copies)
{
	for (; __builtin_expect(copies > 0, 0); copies--)
		copying_ends(true);
}

static __attribute__((noinline)) ssize_t send_looked_at(int descriptor, const struct msghdr *message, int flags)
{
	unsigned copies = look_at(message, send_off);
	ssize_t sent = REAL(sendmsg)(descriptor, message, flags);
	sent_off(copies);
	return sent;
}

INTERPOSE ssize_t sendmsg(int descriptor, const struct msghdr *message, int flags)
{
	/* Usually nothing is passed. */
	if (__builtin_expect(
		(caller_has_on_stack(message, sizeof(*message)) && message->msg_controllen == 0) || !limiter_is_of_daemon(), 1))
		return REAL(sendmsg)(descriptor, message, flags);
	return send_looked_at(descriptor, message, flags);
}

/* The array may have fewer messages than the caller says. So each is read safely: the kernel stops at the first one that it
 * cannot read, and at UIO_MAXIOV (sendmmsg(2)). */
static COLD unsigned look_at_array(const struct mmsghdr *messages, unsigned number)
{
	enum { AT_ONCE = 4, MOST = 1024 };
	struct mmsghdr some[AT_ONCE];
	unsigned copies = 0;
	int kept = errno;

	for (unsigned i = 0; i < number && i < MOST; i += AT_ONCE) {
		size_t wanted = number - i < AT_ONCE ? number - i : AT_ONCE;
		size_t there = caller_read_asking(some, messages + i, wanted * sizeof(some[0])) / sizeof(some[0]);
		for (size_t n = 0; n < there; n++)
			if (some[n].msg_hdr.msg_control != NULL && some[n].msg_hdr.msg_controllen != 0)
				copies += each_passed(&some[n].msg_hdr, send_off);
		if (there < wanted)
			break;
	}
	errno = kept;
	return copies;
}

INTERPOSE int sendmmsg(int descriptor, struct mmsghdr *messages, unsigned number, int flags)
{
	unsigned copies = limiter_is_of_daemon() ? look_at_array(messages, number) : 0;
	int sent = REAL(sendmmsg)(descriptor, messages, number, flags);

	sent_off(copies);
	return sent;
}

static __attribute__((noinline)) ssize_t receive_looked_at(int descriptor, struct msghdr *message, int flags)
{
	ssize_t received = REAL(recvmsg)(descriptor, message, flags);

	if (received >= 0)
		look_at(message, receive);
	return received;
}

/* For a worker that is given its connections and never accepts. Without msg_control no descriptors can arrive. */
INTERPOSE ssize_t recvmsg(int descriptor, struct msghdr *message, int flags)
{
	if (__builtin_expect((caller_has_on_stack(message, sizeof(*message)) && message->msg_controllen == 0) ||
				 limiter_is_open() || !limiter_is_of_daemon(),
			     1))
		return REAL(recvmsg)(descriptor, message, flags);
	return receive_looked_at(descriptor, message, flags);
}
