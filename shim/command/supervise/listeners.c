#include "command/supervise/listeners.h"

#include "command/supervise/target.h"

#include "values/clock.h"

#include <stddef.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static bool arm(unsigned index)
{
	struct epoll_event what = {.events = EPOLLIN | EPOLLONESHOT, .data.u64 = (uint64_t)EVENT_LISTENER << 32 | index};

	return epoll_ctl(shared->events, EPOLL_CTL_MOD, shared->watched[index].watch, &what) == 0;
}

static struct call *longest_waiting(uint64_t listener)
{
	struct call *first = NULL;

	for (unsigned i = 0; i < shared->extent; i++) {
		struct call *call = &shared->call[i];

		if (call->notification.id != 0 && call->phase == PHASE_WAITING && call->listener == listener &&
		    (first == NULL || call->notification.id < first->notification.id))
			first = call;
	}
	return first;
}

static void forget(struct watched *listener)
{
	close(listener->watch);
	*listener = (struct watched){0};
}

/* A listener at which no call waits gives way when its place is needed. */
static struct watched *room_for(uint64_t cookie)
{
	struct watched *room = NULL;

	for (unsigned i = 0; i < WATCHED_MOST; i++) {
		struct watched *listener = &shared->watched[i];

		if (listener->cookie == cookie)
			return listener;
		if (listener->cookie == 0 && (room == NULL || room->cookie != 0))
			room = listener;
		if (listener->cookie == 0)
			break; /* none after it was ever used */
	}
	for (unsigned i = 0; i < WATCHED_MOST && room == NULL; i++)
		if (longest_waiting(shared->watched[i].cookie) == NULL) {
			forget(&shared->watched[i]);
			room = &shared->watched[i];
		}
	return room;
}

static bool watch(struct watched *listener, uint64_t cookie, int descriptor)
{
	struct epoll_event readable = {.events = EPOLLIN};
	unsigned index = (unsigned)(listener - shared->watched);

	listener->watch = epoll_create1(EPOLL_CLOEXEC);
	if (listener->watch < 0)
		return false;
	if (epoll_ctl(listener->watch, EPOLL_CTL_ADD, descriptor, &readable) != 0 ||
	    !shared_watch(listener->watch, EPOLLONESHOT, EVENT_LISTENER, index)) {
		forget(listener);
		return false;
	}
	listener->cookie = cookie;
	return true;
}

/* The timeout of accept (socket(7), SO_RCVTIMEO). */
static uint64_t patience(int descriptor)
{
	struct timeval most = {0};
	socklen_t length = sizeof(most);

	if (getsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &most, &length) != 0)
		return 0;
	return (uint64_t)most.tv_sec * 1000 + ((uint64_t)most.tv_usec + 999) / 1000;
}

bool listener_await(struct call *call, int descriptor)
{
	struct watched *listener = room_for(call->listener);

	if (listener == NULL || (listener->cookie == 0 && !watch(listener, call->listener, descriptor)))
		return false;
	uint64_t most = call->until == 0 ? patience(descriptor) : 0;
	if (most != 0) {
		call->until = clock_us() / 1000 + most;
		shared->timed++;
	}
	call->phase = PHASE_WAITING;
	/* Interrupted threads leave their calls in the list. */
	if (++shared->waiting > 64 && shared->waiting % 64 == 0)
		calls_sweep();
	return arm((unsigned)(listener - shared->watched));
}

struct call *listener_first(unsigned index)
{
	struct call *call;

	if (index >= WATCHED_MOST || shared->watched[index].cookie == 0)
		return NULL;
	while ((call = longest_waiting(shared->watched[index].cookie)) != NULL && !target_waits(call))
		call->notification.id = 0;
	return call;
}

void listener_rearm(unsigned index)
{
	if (shared->watched[index].cookie != 0 && longest_waiting(shared->watched[index].cookie) != NULL)
		arm(index);
}

void calls_sweep(void)
{
	unsigned waiting = 0;
	unsigned timed = 0;
	unsigned extent = 0;

	for (unsigned i = 0; i < shared->extent; i++) {
		struct call *call = &shared->call[i];

		if (call->notification.id != 0 && call->phase == PHASE_WAITING && !target_waits(call))
			call->notification.id = 0;
		if (call->notification.id == 0)
			continue;
		extent = i + 1;
		waiting += call->phase == PHASE_WAITING;
		timed += call->until != 0;
	}
	shared->waiting = waiting;
	shared->timed = timed;
	shared->extent = extent;
}
