/* The calls by which a program sets its signal handlers and waits for signals. */
#include "process/handlers.h"
#include "process/real.h"

INTERPOSE int sigaction(int signal, const struct sigaction *action, struct sigaction *old)
{
	struct sigaction wanted;

	if (!handlers_watch_over(signal))
		return REAL(sigaction)(signal, action, old);
	if (action != NULL) {
		wanted = *action;
		handlers_put(&wanted);
	}
	int result = REAL(sigaction)(signal, action != NULL ? &wanted : NULL, old);
	if (result != 0)
		return result;
	if (old != NULL)
		handlers_show(old);
	if (action != NULL)
		handlers_were_set(signal, wanted.sa_handler);
	return 0;
}

/* Calls libc's function, which knows the right flags, but with our entry in place of the handler. */
static sighandler_t set_by(sighandler_t (*real)(int signal, sighandler_t handler), int signal, sighandler_t handler)
{
	if (!handlers_watch_over(signal))
		return real(signal, handler);
	struct sigaction old = {.sa_handler = real(signal, handlers_entry(handler))};
	if (old.sa_handler == SIG_ERR)
		return SIG_ERR;
	handlers_were_set(signal, handler);
	handlers_show(&old);
	return old.sa_handler;
}

INTERPOSE sighandler_t signal(int signal, sighandler_t handler)
{
	return set_by(REAL(signal), signal, handler);
}

INTERPOSE sighandler_t ssignal(int signal, sighandler_t handler)
{
	return set_by(REAL(ssignal), signal, handler);
}

/* No longer declared (POSIX removed it), but older programs call it. */
sighandler_t bsd_signal(int signal, sighandler_t handler);

INTERPOSE sighandler_t bsd_signal(int signal, sighandler_t handler)
{
	return set_by(REAL(bsd_signal), signal, handler);
}

INTERPOSE sighandler_t sysv_signal(int signal, sighandler_t handler)
{
	return set_by(REAL(sysv_signal), signal, handler);
}

INTERPOSE sighandler_t __sysv_signal(int signal, sighandler_t handler) // NOLINT(bugprone-reserved-identifier)
{
	return set_by(REAL(__sysv_signal), signal, handler);
}

INTERPOSE sighandler_t sigset(int signal, sighandler_t handler)
{
	return set_by(REAL(sigset), signal, handler);
}

INTERPOSE int sigignore(int signal)
{
	int result = REAL(sigignore)(signal);

	if (result == 0 && handlers_watch_over(signal))
		handlers_were_set(signal, SIG_IGN);
	return result;
}

/* For a daemon that blocks the signal and waits for it. */
INTERPOSE int sigwait(const sigset_t *set, int *signal)
{
	int result = REAL(sigwait)(set, signal);

	if (result == 0)
		handlers_passed(*signal);
	return result;
}

INTERPOSE int sigwaitinfo(const sigset_t *set, siginfo_t *info)
{
	return handlers_passed(REAL(sigwaitinfo)(set, info));
}

INTERPOSE int sigtimedwait(const sigset_t *set, siginfo_t *info, const struct timespec *timeout)
{
	return handlers_passed(REAL(sigtimedwait)(set, info, timeout));
}
