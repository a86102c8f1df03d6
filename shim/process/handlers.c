#include "process/handlers.h"

#include "process/real.h"
#include "process/reload.h"
#include "process/topmost.h"

#include "values/door.h"

#include <stddef.h>

_Atomic int handlers_signal;
bool handlers_by_hand;

/* ---- the program's handlers ----
 *
 * Each handler that the program sets gets an entry of ours, and keeps it. A word that never changes needs no lock, is the same
 * in a vfork child, and is valid whenever a signal arrives. If there are more handlers than entries, the others are installed
 * directly, and their signals cause no reload. */

#define ENTRIES(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)

typedef void (*informed_handler)(int signal, siginfo_t *info, void *context);

enum { HANDLERS = 16 };
static _Atomic sighandler_t plain[HANDLERS];
static _Atomic informed_handler informed[HANDLERS];

#define DEFINE(n)                                                                                                              \
	static void plain_##n(int signal)                                                                                      \
	{                                                                                                                      \
		handlers_passed(signal);                                                                                       \
		atomic_load (&plain[n])(signal);                                                                               \
	}                                                                                                                      \
	static void informed_##n(int signal, siginfo_t *info, void *context)                                                   \
	{                                                                                                                      \
		handlers_passed(signal);                                                                                       \
		atomic_load (&informed[n])(signal, info, context);                                                             \
	}
ENTRIES(DEFINE)
#undef DEFINE

#define PLAIN(n) plain_##n,
static const sighandler_t plain_entry[HANDLERS] = {ENTRIES(PLAIN)};
#undef PLAIN
#define INFORMED(n) informed_##n,
static const informed_handler informed_entry[HANDLERS] = {ENTRIES(INFORMED)};
#undef INFORMED

sighandler_t handlers_entry(sighandler_t theirs)
{
	/* SIG_HOLD is used by sigset(3). */
	if (theirs == SIG_DFL || theirs == SIG_IGN || theirs == SIG_ERR || theirs == SIG_HOLD)
		return theirs;
	for (int i = 0; i < HANDLERS; i++) {
		sighandler_t there = NULL;

		if (theirs == plain_entry[i] || atomic_compare_exchange_strong(&plain[i], &there, theirs) || there == theirs)
			return plain_entry[i];
	}
	return theirs;
}

static informed_handler informed_entry_for(informed_handler theirs)
{
	for (int i = 0; i < HANDLERS; i++) {
		informed_handler there = NULL;

		if (theirs == informed_entry[i] || atomic_compare_exchange_strong(&informed[i], &there, theirs) ||
		    there == theirs)
			return informed_entry[i];
	}
	return theirs;
}

void handlers_put(struct sigaction *action)
{
	if (action->sa_handler == SIG_DFL || action->sa_handler == SIG_IGN)
		return;
	if ((action->sa_flags & SA_SIGINFO) != 0)
		action->sa_sigaction = informed_entry_for(action->sa_sigaction);
	else
		action->sa_handler = handlers_entry(action->sa_handler);
}

/* ---- our own handlers, if the program has none ---- */

static struct sigaction standard; /* the action that on_default replaced */
static struct sigaction ignoring; /* the action that on_ignored replaced */

/* A call that the program did not make itself, so it is skipped if a filter would kill the process. */
static int set_action(int signal, const struct sigaction *action, struct sigaction *old)
{
	if (may_call(SYS_rt_sigaction, signal, (long)action, (long)old))
		return REAL(sigaction)(signal, action, old);
	errno = EPERM;
	return -1;
}

static void on_default(int signal, siginfo_t *info, void *context);

static void on_ignored(int signal)
{
	handlers_passed(signal);
}

static __attribute__((noinline)) void take_default(int signal)
{
	struct sigaction ours = {.sa_sigaction = on_default, .sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK};

	sigemptyset(&ours.sa_mask);
	set_action(signal, &ours, NULL);
}

static void take_ignored(int signal)
{
	struct sigaction ours = {.sa_handler = on_ignored, .sa_flags = SA_RESTART | SA_ONSTACK};

	sigemptyset(&ours.sa_mask);
	set_action(signal, &ours, &ignoring);
}

static bool ends_by_default(int signal)
{
	return signal != SIGWINCH && signal != SIGURG;
}

static __attribute__((noinline)) void end_as_by_default(int signal)
{
	signal_set this_one = signal_alone(signal);
	signal_set before;
	pid_t self = door_getpid();

	if (!ends_by_default(signal))
		return;
	/* A process that has forbidden itself what this takes still ends, by its filter if need be, and nobody else is
	 * signalled in its place (kill(2): -1 is everybody). */
	if (door_sigdefault(signal) != 0 || self <= 0 || door_kill(self, signal) != 0)
		door_kernel(SYS_exit_group, 128 + signal, 0, 0, 0, 0, 0);
	/* Otherwise it comes when the handler has returned. */
	if (door_sigprocmask(SIG_UNBLOCK, &this_one, &before) != 0)
		return;
	/* We are still here: a signal does not end the first process of a pid namespace. */
	door_sigprocmask(SIG_SETMASK, &before, NULL);
	take_default(signal);
}

static void on_default(int signal, siginfo_t *info, void *context)
{
	int kept = errno;

	(void)context;
	if (topmost_is_told(signal, info))
		reload_now();
	else
		end_as_by_default(signal);
	errno = kept;
}

/* ---- what the program is told ---- */

/* Replaces one of our entries by the program's handler. The two forms of handlers have different entries. */
void handlers_show(struct sigaction *action)
{
	if (action->sa_sigaction == on_default) {
		*action = standard;
		return;
	}
	if (action->sa_handler == on_ignored) {
		*action = ignoring;
		return;
	}
	for (int i = 0; i < HANDLERS; i++) {
		if (action->sa_handler == plain_entry[i])
			action->sa_handler = atomic_load(&plain[i]);
		else if (action->sa_sigaction == informed_entry[i])
			action->sa_sigaction = atomic_load(&informed[i]);
	}
}

static void look(int signal)
{
	struct sigaction now;

	if (set_action(signal, NULL, &now) != 0)
		return;
	if (now.sa_handler == SIG_DFL) {
		standard = now;
		if (topmost())
			take_default(signal);
	} else if (now.sa_handler == SIG_IGN) {
		if (handlers_by_hand)
			take_ignored(signal);
	} else if (now.sa_handler != on_ignored && now.sa_sigaction != on_default) {
		handlers_put(&now);
		set_action(signal, &now, NULL);
	}
}

void handlers_watch(int signal, bool named)
{
	handlers_by_hand = named;
	atomic_store(&handlers_signal, signal);
}

void handlers_arm(void)
{
	int signal = atomic_load(&handlers_signal);

	if (signal != 0)
		look(signal);
}

void handlers_were_set(int signal, sighandler_t handler)
{
	if (handlers_by_hand && handler == SIG_IGN)
		take_ignored(signal);
}

/* Programs that this process's threads are starting at the moment. */
static _Atomic unsigned beside_us;

void handlers_inherit(bool beside)
{
	int signal = atomic_load(&handlers_signal);
	int kept = errno;
	struct sigaction now;

	if (beside)
		atomic_fetch_add(&beside_us, 1);
	if (signal != 0 && set_action(signal, NULL, &now) == 0 && now.sa_handler == on_ignored)
		set_action(signal, &ignoring, NULL);
	errno = kept;
}

void handlers_inherited(bool beside)
{
	int signal = atomic_load(&handlers_signal);
	int kept = errno;
	struct sigaction now;

	if (beside && atomic_fetch_sub(&beside_us, 1) > 1)
		return;
	if (signal != 0 && set_action(signal, NULL, &now) == 0 && now.sa_handler == SIG_IGN)
		take_ignored(signal);
	errno = kept;
}

int handlers_passed(int signal)
{
	if (handlers_watch_over(signal)) {
		int kept = errno;
		reload_now();
		errno = kept;
	}
	return signal;
}
