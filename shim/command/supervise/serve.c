/* The main loop, and the takeover. The standby shares the worker's descriptors and all of its state (shared.h). A pidfd tells
 * it at once when the worker dies. */
#include "command/supervise/serve.h"

#include "command/supervise/accept.h"
#include "command/supervise/follow.h"
#include "command/supervise/kept.h"
#include "command/supervise/listeners.h"
#include "command/supervise/target.h"
#include "process/limiter.h"
#include "process/linger.h"
#include "process/report.h"

#include "values/clock.h"
#include "values/text.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EVENTS_MOST = 16, TURN_MS = 100, TELL_MS = 10000 };

/* ---- calls ---- */

static struct call *room_for_call(void)
{
	for (int tries = 0; tries < 2; tries++) {
		for (unsigned i = 0; i < CALLS_MOST; i++)
			if (shared->call[i].notification.id == 0) {
				if (i >= shared->extent)
					shared->extent = i + 1;
				return &shared->call[i];
			}
		calls_sweep();
	}
	return NULL;
}

/* The kernel writes the notification into shared memory, so whoever takes over knows every call that was received. */
static void take_call(void)
{
	static struct call passing;
	struct call *call = room_for_call();
	bool full = call == NULL;

	if (full)
		call = &passing;
	memset(call, 0, sizeof(*call));
	call->number = -1;
	if (ioctl(shared->notify, SECCOMP_IOCTL_NOTIF_RECV, &call->notification) != 0)
		call->notification.id = 0;
	else if (full)
		target_goes_on(call);
	else
		handle(call);
}

static void heard_listener(unsigned index)
{
	struct call *call = listener_first(index);

	if (call == NULL)
		return;
	handle(call);
	listener_rearm(index);
}

static void expire(uint64_t now)
{
	for (unsigned i = 0; i < shared->extent && shared->timed > 0; i++) {
		struct call *call = &shared->call[i];

		if (call->notification.id == 0 || call->phase != PHASE_WAITING || call->until == 0 || call->until > now)
			continue;
		target_answer(call, 0, EAGAIN);
		call->notification.id = 0;
		shared->timed--;
	}
}

static void tell_unseen(uint64_t now)
{
	static uint64_t not_before;
	char buffer[160];

	if (shared->unseen == shared->unseen_told || now < not_before)
		return;
	not_before = now + TELL_MS;
	shared->unseen_told = shared->unseen;
	struct text text = text_begin(buffer, sizeof(buffer));
	text_add_number(&text, shared->unseen);
	text_add(&text, " accepts so far could not be supervised, and what they accepted is not limited");
	report(buffer, NULL);
}

/* ---- the standby ---- */

/* Like fork, but both processes share one table of descriptors. */
static pid_t fork_beside(void)
{
	return (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, 0);
}

static _Noreturn void leave(void)
{
	table_leave(limiter_table());
	_exit(0);
}

static void await_death(int of)
{
	struct pollfd dead = {.fd = of, .events = POLLIN};

	while (poll(&dead, 1, -1) != 1)
		;
}

static void take_over(void);

/* A standby that has taken over comes back here, and starts the next standby. */
static void have_standby(void)
{
	for (;;) {
		shared->worker = (int)syscall(SYS_pidfd_open, getpid(), 0);
		pid_t standby = shared->worker >= 0 ? fork_beside() : -1;

		if (standby != 0) {
			shared->standby = standby > 0 ? (int)syscall(SYS_pidfd_open, standby, 0) : -1;
			if (shared->standby >= 0)
				shared_watch(shared->standby, EPOLLIN, EVENT_STANDBY, 0);
			return;
		}
		await_death(shared->worker);
		if (shared->over)
			leave();
		take_over();
	}
}

static void heard_standby(void)
{
	siginfo_t how;

	close(shared->standby);
	close(shared->worker);
	shared->standby = -1;
	do
		how.si_pid = 0;
	while (waitid(P_ALL, 0, &how, WEXITED | WNOHANG) == 0 && how.si_pid != 0);
}

/* ---- after a death ---- */

static bool is_known(int descriptor)
{
	if (descriptor <= STDERR_FILENO || descriptor == shared->notify || descriptor == shared->events ||
	    descriptor == shared->follow || descriptor == shared->main)
		return true;
	for (unsigned i = 0; i < shared->extent; i++)
		if (shared->call[i].notification.id != 0 &&
		    (shared->call[i].taken.descriptor == descriptor || shared->call[i].refused.descriptor == descriptor))
			return true;
	for (unsigned i = 0; i < KEPT_MOST && shared->kept_number > 0; i++)
		if (shared->kept[i].listener != 0 &&
		    (shared->kept[i].taken.descriptor == descriptor || shared->kept[i].stand_in == descriptor))
			return true;
	for (unsigned i = 0; i < WATCHED_MOST; i++)
		if (shared->watched[i].cookie != 0 && shared->watched[i].watch == descriptor)
			return true;
	return false;
}

/* The connection that the dead worker had just accepted, before it could record its descriptor. */
static bool is_accepted(int descriptor)
{
	const struct call *call = &shared->call[shared->current];
	struct sockaddr_storage peer = {.ss_family = AF_NETLINK};
	socklen_t length = sizeof(peer);

	return call->notification.id != 0 && call->phase == PHASE_ACCEPTING && call->taken.descriptor == 0 &&
	       getpeername(descriptor, (struct sockaddr *)&peer, &length) == 0 && peer.ss_family != AF_NETLINK;
}

static void adopt(int descriptor)
{
	struct taken *taken = &shared->call[shared->current].taken;

	taken->peer_length = sizeof(taken->peer);
	if (getpeername(descriptor, (struct sockaddr *)&taken->peer, &taken->peer_length) != 0)
		taken->peer_length = 0;
	taken->decided = false;
	taken->descriptor = descriptor;
	keep_exchange(taken);
	shared->call[shared->current].phase = taken->decided ? PHASE_DECIDED : PHASE_HELD;
}

/* Closes everything else that the dead worker had open for a moment, mostly copies of listeners. The program may be about to
 * close them. */
static void sort_descriptors(void)
{
	DIR *open = opendir("/proc/self/fd");
	const struct dirent *entry;

	while (open != NULL && (entry = readdir(open)) != NULL) {
		int descriptor = (int)strtol(entry->d_name, NULL, 10);

		if (entry->d_name[0] == '.' || descriptor == dirfd(open) || is_known(descriptor))
			continue;
		if (is_accepted(descriptor))
			adopt(descriptor);
		else
			close(descriptor);
	}
	if (open != NULL)
		closedir(open);
}

static void take_over(void)
{
	limiter_of_process.pid = (uint32_t)getpid();
	keep_recover();
	sort_descriptors();
	for (unsigned i = 0; i < shared->extent; i++)
		if (shared->call[i].notification.id != 0)
			resume(&shared->call[i]);
	for (unsigned i = 0; i < WATCHED_MOST && shared->watched[i].cookie != 0; i++)
		listener_rearm(i);
}

/* ---- the loop ---- */

static bool linger_any(void)
{
	const struct lingering *kept = atomic_load(&lingering);

	return kept != NULL && atomic_load(&kept->kept) > 0;
}

static void hear(const struct epoll_event *what)
{
	unsigned index = (unsigned)what->data.u64;

	switch ((enum event)(what->data.u64 >> 32)) {
	case EVENT_CALL:
		if ((what->events & EPOLLIN) != 0)
			take_call();
		else if ((what->events & EPOLLHUP) != 0) {
			shared->over = true;
			leave();
		}
		break;
	case EVENT_LISTENER: heard_listener(index); break;
	case EVENT_STANDBY: heard_standby(); break;
	case EVENT_FILE: follow_heard(shared->follow); break;
	case EVENT_STAND_IN: keep_heard(index); break;
	}
}

_Noreturn void serve(void)
{
	struct epoll_event what[EVENTS_MOST];

	if ((shared->events = epoll_create1(EPOLL_CLOEXEC)) < 0 || !shared_watch(shared->notify, EPOLLIN, EVENT_CALL, 0))
		_exit(1);
	shared->standby = -1;
	if (shared->follow >= 0)
		shared_watch(shared->follow, EPOLLIN, EVENT_FILE, 0);
	for (;;) {
		if (shared->standby < 0)
			have_standby();
		bool timed = shared->timed > 0 || shared->unseen != shared->unseen_told || linger_any();
		bool due = keep_look();
		int number = epoll_wait(shared->events, what, EVENTS_MOST, due ? KEPT_MS : timed ? TURN_MS : -1);

		for (int i = 0; i < number; i++)
			hear(&what[i]);
		if (!timed)
			continue;
		uint64_t now = clock_us() / 1000;
		expire(now);
		linger_look();
		tell_unseen(now);
	}
}
