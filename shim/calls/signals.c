#include "calls/signals.h"

#include "process/real.h"
#include "process/reload.h"
#include "calls/vfork.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

static _Atomic int armed; /* the signal, 0 for none */

/* What the daemon believes is set. Two copies: the one not shown is written, then shown, so that the handler always reads a
 * whole one. Writers take turns by `changing`, with the signal blocked. */
static struct sigaction shown[2];
static _Atomic unsigned which;
static atomic_flag changing = ATOMIC_FLAG_INIT;

static void on_signal(int signal, siginfo_t *info, void *context);

static void end_as_by_default(int signal)
{
	struct sigaction standard = {.sa_handler = SIG_DFL};
	sigset_t this_one;

	REAL(sigaction)(signal, &standard, NULL);
	sigemptyset(&this_one);
	sigaddset(&this_one, signal);
	kill(getpid(), signal);
	pthread_sigmask(SIG_UNBLOCK, &this_one, NULL);
}

static struct sigaction ours_for(const struct sigaction *theirs)
{
	struct sigaction ours = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};

	if (theirs->sa_handler == SIG_DFL || theirs->sa_handler == SIG_IGN) {
		sigemptyset(&ours.sa_mask);
		return ours;
	}
	ours.sa_mask = theirs->sa_mask;
	ours.sa_flags = SA_SIGINFO | (theirs->sa_flags & (SA_RESTART | SA_ONSTACK | SA_NODEFER | SA_NOCLDSTOP));
	return ours;
}

static void on_signal(int signal, siginfo_t *info, void *context)
{
	struct sigaction theirs = shown[atomic_load(&which) % 2];
	int kept = errno;
	bool hang_up = info != NULL && info->si_code == SI_KERNEL;

	if (theirs.sa_handler == SIG_DFL && hang_up) {
		end_as_by_default(signal);
		return;
	}
	reload_now();
	errno = kept;
	if (theirs.sa_handler == SIG_DFL || theirs.sa_handler == SIG_IGN)
		return;
	if ((theirs.sa_flags & (int)SA_RESETHAND) != 0)
		shown[atomic_load(&which) % 2].sa_handler = SIG_DFL;
	if ((theirs.sa_flags & SA_SIGINFO) != 0)
		theirs.sa_sigaction(signal, info, context);
	else
		theirs.sa_handler(signal);
}

/* Blocks the signal, so that no handler interrupts us between taking the turn and giving it back. */
static void begin_change(int signal, sigset_t *before)
{
	sigset_t this_one;

	sigemptyset(&this_one);
	sigaddset(&this_one, signal);
	pthread_sigmask(SIG_BLOCK, &this_one, before);
	for (int i = 0; i < 1000000 && atomic_flag_test_and_set(&changing); i++)
		;
}

static void end_change(const sigset_t *before)
{
	atomic_flag_clear(&changing);
	pthread_sigmask(SIG_SETMASK, before, NULL);
}

static void show(const struct sigaction *theirs)
{
	unsigned next = atomic_load(&which) + 1;

	shown[next % 2] = *theirs;
	atomic_store(&which, next);
}

void signals_arm(int signal)
{
	struct sigaction theirs;
	sigset_t before;

	if (atomic_load(&armed) != 0)
		return;
	begin_change(signal, &before);
	if (REAL(sigaction)(signal, NULL, &theirs) == 0) {
		struct sigaction ours = ours_for(&theirs);
		show(&theirs);
		if (REAL(sigaction)(signal, &ours, NULL) == 0)
			atomic_store(&armed, signal);
	}
	end_change(&before);
}

void signals_before_exec(void)
{
	int signal = atomic_load(&armed);
	struct sigaction ignore = {.sa_handler = SIG_IGN};

	if (signal != 0 && shown[atomic_load(&which) % 2].sa_handler == SIG_IGN)
		REAL(sigaction)(signal, &ignore, NULL);
}

void signals_after_exec(void)
{
	int signal = atomic_load(&armed);

	if (signal != 0 && shown[atomic_load(&which) % 2].sa_handler == SIG_IGN) {
		struct sigaction ours = ours_for(&shown[atomic_load(&which) % 2]);
		REAL(sigaction)(signal, &ours, NULL);
	}
}

static bool is_reload_signal(int signal)
{
	return signal != 0 && signal == atomic_load_explicit(&armed, memory_order_relaxed);
}

INTERPOSE int sigaction(int signal, const struct sigaction *action, struct sigaction *old)
{
	/* A vfork child has dispositions of its own, but our record of them is its parent's. */
	if (!is_reload_signal(signal) || in_vfork_child())
		return REAL(sigaction)(signal, action, old);
	struct sigaction wanted;
	struct sigaction previous;
	sigset_t before;
	int result = 0;

	if (action != NULL)
		wanted = *action;
	begin_change(signal, &before);
	previous = shown[atomic_load(&which) % 2];
	if (action != NULL) {
		struct sigaction ours = ours_for(&wanted);
		show(&wanted);
		result = REAL(sigaction)(signal, &ours, NULL);
	}
	end_change(&before);
	if (old != NULL && result == 0)
		*old = previous;
	return result;
}

INTERPOSE sighandler_t signal(int signal, sighandler_t handler)
{
	struct sigaction wanted = {.sa_handler = handler, .sa_flags = SA_RESTART};
	struct sigaction previous;

	if (!is_reload_signal(signal) || handler == SIG_ERR)
		return REAL(signal)(signal, handler);
	sigemptyset(&wanted.sa_mask);
	sigaddset(&wanted.sa_mask, signal);
	return sigaction(signal, &wanted, &previous) == 0 ? previous.sa_handler : SIG_ERR;
}

INTERPOSE sighandler_t ssignal(int number, sighandler_t handler)
{
	return signal(number, handler);
}

/* Not declared any more (POSIX removed it), but called by older programs. */
sighandler_t bsd_signal(int number, sighandler_t handler);

INTERPOSE sighandler_t bsd_signal(int number, sighandler_t handler)
{
	return signal(number, handler);
}

/* sysv_signal(3): the handler is reset when it is called, and its signal not blocked. */
INTERPOSE sighandler_t sysv_signal(int signal, sighandler_t handler)
{
	struct sigaction wanted = {.sa_handler = handler, .sa_flags = (int)(SA_RESETHAND | SA_NODEFER)};
	struct sigaction previous;

	if (!is_reload_signal(signal) || handler == SIG_ERR)
		return REAL(sysv_signal)(signal, handler);
	sigemptyset(&wanted.sa_mask);
	return sigaction(signal, &wanted, &previous) == 0 ? previous.sa_handler : SIG_ERR;
}

INTERPOSE sighandler_t __sysv_signal(int signal, sighandler_t handler) // NOLINT(bugprone-reserved-identifier)
{
	return sysv_signal(signal, handler);
}

/* sigset(3): SIG_HOLD only blocks the signal; any other disposition unblocks it, and what was blocked is told as SIG_HOLD. */
INTERPOSE sighandler_t sigset(int signal, sighandler_t handler)
{
	struct sigaction wanted = {.sa_handler = handler};
	struct sigaction previous;
	sigset_t this_one;
	sigset_t before;

	if (!is_reload_signal(signal) || handler == SIG_ERR)
		return REAL(sigset)(signal, handler);
	sigemptyset(&wanted.sa_mask);
	sigemptyset(&this_one);
	sigaddset(&this_one, signal);
	if (handler != SIG_HOLD && sigaction(signal, &wanted, &previous) != 0)
		return SIG_ERR;
	if (handler == SIG_HOLD && sigaction(signal, NULL, &previous) != 0)
		return SIG_ERR;
	pthread_sigmask(handler == SIG_HOLD ? SIG_BLOCK : SIG_UNBLOCK, &this_one, &before);
	return sigismember(&before, signal) == 1 ? SIG_HOLD : previous.sa_handler;
}

INTERPOSE int sigignore(int signal)
{
	struct sigaction wanted = {.sa_handler = SIG_IGN};

	if (!is_reload_signal(signal))
		return REAL(sigignore)(signal);
	sigemptyset(&wanted.sa_mask);
	return sigaction(signal, &wanted, NULL);
}

/* A daemon that blocks the signal and waits for it: we see it pass. */
int signal_passed(int signal)
{
	if (is_reload_signal(signal)) {
		int kept = errno;
		reload_now();
		errno = kept;
	}
	return signal;
}

INTERPOSE int sigwait(const sigset_t *set, int *signal)
{
	int result = REAL(sigwait)(set, signal);

	if (result == 0)
		signal_passed(*signal);
	return result;
}

INTERPOSE int sigwaitinfo(const sigset_t *set, siginfo_t *info)
{
	return signal_passed(REAL(sigwaitinfo)(set, info));
}

INTERPOSE int sigtimedwait(const sigset_t *set, siginfo_t *info, const struct timespec *timeout)
{
	return signal_passed(REAL(sigtimedwait)(set, info, timeout));
}
