#include "command/supervise/kept.h"

#include "kernel/kernel.h"
#include "values/address.h"
#include "values/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <sched.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

bool keep(uint64_t listener, const struct taken *taken)
{
	for (unsigned i = 0; i < KEPT_MOST; i++)
		if (shared->kept[i].listener == 0) {
			shared->kept[i] = (struct kept){.taken = *taken, .due = clock_ms() + KEPT_MS};
			shared->kept[i].listener = listener;
			shared->kept_number++;
			return true;
		}
	return false;
}

static void forget(struct kept *kept)
{
	kept->listener = 0;
	shared->kept_number--;
	if (kept->stand_in > 0)
		close(kept->stand_in);
	kept->stand_in = 0;
}

bool keep_take(uint64_t listener, struct taken *taken)
{
	for (unsigned i = 0; i < KEPT_MOST && shared->kept_number > 0; i++) {
		struct kept *kept = &shared->kept[i];

		if (kept->listener == listener && kept->stand_in == 0) {
			*taken = kept->taken;
			forget(kept);
			return true;
		}
	}
	return false;
}

static bool same_address(const struct kept *kept, const struct taken *taken)
{
	struct endpoint ours;
	struct endpoint theirs;

	if (endpoint_from_sockaddr(&ours, (const struct sockaddr *)&kept->address, kept->length))
		return endpoint_from_sockaddr(&theirs, (const struct sockaddr *)&taken->peer, taken->peer_length) &&
		       endpoint_same(&ours, &theirs);
	return kept->length == taken->peer_length && memcmp(&kept->address, &taken->peer, kept->length) == 0;
}

/* The address is bound, so nobody else has it, but in another network namespace somebody may. */
static bool is_stand_in(const struct kept *kept, const struct taken *taken)
{
	return same_address(kept, taken) && kernel_network(taken->descriptor) == kernel_network(kept->taken.descriptor);
}

bool keep_exchange(struct taken *taken)
{
	for (unsigned i = 0; i < KEPT_MOST && shared->kept_number > 0; i++) {
		struct kept *kept = &shared->kept[i];

		if (kept->listener != 0 && kept->stand_in > 0 && is_stand_in(kept, taken)) {
			int accepted = taken->descriptor;

			*taken = kept->taken;
			forget(kept);
			close(accepted);
			return true;
		}
	}
	return false;
}

/* ---- stand-ins ---- */

/* Binds to the address that is connected to, which fails unless it is one of this machine's. The local address of a connection
 * that was redirected to the listener may belong to anybody. A Unix socket gets a free name (unix(7), autobind). */
static bool bind_beside(int descriptor, const struct sockaddr_storage *local, socklen_t length)
{
	struct sockaddr_storage own = *local;

	if (own.ss_family == AF_INET)
		((struct sockaddr_in *)&own)->sin_port = 0;
	else if (own.ss_family == AF_INET6)
		((struct sockaddr_in6 *)&own)->sin6_port = 0;
	else
		length = sizeof(own.ss_family);
	return bind(descriptor, (const struct sockaddr *)&own, length) == 0;
}

/* Over loopback this takes microseconds. If the queue is full, the program's poll ends because of what is in it. A byte is sent
 * for listeners that wait for data (tcp(7), TCP_DEFER_ACCEPT). 0 or an errno. */
static int connect_to(int descriptor, const struct sockaddr_storage *local, socklen_t length)
{
	static const struct timeval moment = {.tv_usec = 1000};

	if (setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &moment, sizeof(moment)) != 0 ||
	    !bind_beside(descriptor, local, length))
		return EADDRNOTAVAIL;
	if (connect(descriptor, (const struct sockaddr *)local, length) != 0)
		return errno;
	send(descriptor, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	return 0;
}

/* A socket in the network namespace of another socket. -1 with errno. */
static int socket_beside(int other, int family)
{
	int descriptor = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (descriptor < 0 || kernel_network(descriptor) == kernel_network(other))
		return descriptor;
	close(descriptor);
	int theirs = ioctl(other, SIOCGSKNS);
	int ours = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	descriptor = -1;
	if (theirs >= 0 && ours >= 0 && setns(theirs, CLONE_NEWNET) == 0) {
		descriptor = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		setns(ours, CLONE_NEWNET);
	}
	close(theirs);
	close(ours);
	return descriptor;
}

static int stand_in_for(struct kept *kept)
{
	struct sockaddr_storage local;
	socklen_t length = sizeof(local);

	if (getsockname(kept->taken.descriptor, (struct sockaddr *)&local, &length) != 0)
		return errno;
	int descriptor = socket_beside(kept->taken.descriptor, local.ss_family);
	if (descriptor < 0)
		return errno;
	int error = connect_to(descriptor, &local, length);
	kept->length = sizeof(kept->address);
	if (error == 0 && getsockname(descriptor, (struct sockaddr *)&kept->address, &kept->length) != 0)
		error = errno;
	if (error != 0)
		close(descriptor);
	else
		kept->stand_in = descriptor;
	return error;
}

static void have_stand_in(unsigned index)
{
	struct kept *kept = &shared->kept[index];
	int error = stand_in_for(kept);

	kept->due = 0;
	if (error == 0) {
		shared_watch(kept->stand_in, EPOLLIN | EPOLLRDHUP, EVENT_STAND_IN, index);
	} else if (error == ECONNREFUSED) {
		/* The listener is closed. The kernel would have reset what was in its queue. */
		close(kept->taken.descriptor);
		forget(kept);
	}
}

bool keep_look(void)
{
	uint64_t now = clock_ms();
	bool any = false;

	for (unsigned i = 0; i < KEPT_MOST && shared->kept_number > 0; i++) {
		const struct kept *kept = &shared->kept[i];

		if (kept->listener != 0 && kept->due != 0 && kept->due <= now)
			have_stand_in(i);
		else
			any |= kept->listener != 0 && kept->due != 0;
	}
	return any;
}

void keep_heard(unsigned index)
{
	struct kept *kept = &shared->kept[index];

	if (kept->listener == 0 || kept->stand_in == 0)
		return;
	close(kept->stand_in);
	kept->stand_in = 0;
	kept->due = clock_ms() + KEPT_MS;
}

static bool has_call(int descriptor)
{
	for (unsigned i = 0; i < shared->extent; i++)
		if (shared->call[i].notification.id != 0 && shared->call[i].taken.descriptor == descriptor)
			return true;
	return false;
}

void keep_recover(void)
{
	shared->kept_number = 0;
	for (unsigned i = 0; i < KEPT_MOST; i++)
		shared->kept_number += shared->kept[i].listener != 0;
	for (unsigned i = 0; i < KEPT_MOST && shared->kept_number > 0; i++)
		if (shared->kept[i].listener != 0 && has_call(shared->kept[i].taken.descriptor))
			forget(&shared->kept[i]);
}
