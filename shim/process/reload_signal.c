#include "process/reload_signal.h"

#include "process/handlers.h"
#include "process/limiter.h"
#include "process/reload.h"
#include "process/topmost.h"

#include "values/alive.h"

#include <signal.h>

/* Not a program that the daemon started: if that ignores the signal, it stays so, even if the operator chose the signal. */
static bool is_the_daemon(void)
{
	return !limiter_settings.handed_on ||
	       (limiter_is_open() && atomic_load(&limiter_table()->header->maker) == process_self());
}

void reload_signal_watch(const struct settings *settings)
{
	reload_begin();
	bool open = limiter_is_open(); /* this program follows another one in this process, and the table said which signal */

	if (open && !handlers_watch_over(settings->signal))
		return;
	handlers_watch(settings->signal, settings->origin[SETTING_SIGNAL] != FROM_DEFAULT && is_the_daemon());
	if (open)
		handlers_arm();
}

/* The signal is taken from the table, since the program's own variables may belong to another start. The table is trusted only
 * if it names a signal that may be used. */
static void watch_by_table(void)
{
	struct limits limits;

	limits_read(limiter_table(), &limits);
	bool may_be = limits.signal == SIGHUP || limits.signal == SIGUSR1 || limits.signal == SIGUSR2 ||
		      limits.signal == SIGWINCH || limits.signal == SIGURG ||
		      (limits.signal >= SIGRTMIN && limits.signal <= SIGRTMAX);
	if (!may_be)
		return;
	bool by_hand = limits.signal != SIGHUP || (handlers_watch_over(limits.signal) && handlers_by_hand);
	handlers_watch(limits.signal, by_hand && is_the_daemon());
}

void reload_signal_arm(void)
{
	bool handed_on = limiter_settings.handed_on;

	if (limiter_settings.file[0] == '\0')
		return;
	reload_belongs_here();
	watch_by_table();
	topmost_settle(handed_on, atomic_load(&limiter_table()->header->maker));
	handlers_arm();
}
