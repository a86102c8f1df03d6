#include "process/reload.h"

#include "process/limiter.h"
#include "process/near.h"
#include "process/report.h"
#include "calls/signals.h"

#include "decisions/regroup.h"
#include "values/confined.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>

static struct settings read_settings; /* too large for a signal stack, as is all that is static here */
static struct settings work;
static char file_text[SETTINGS_FILE_ROOM];

NEAR static atomic_flag reading = ATOMIC_FLAG_INIT;
NEAR static _Atomic int asked;

bool reload_read(struct settings *settings, struct settings_error *error)
{
	static char path[PATH_MOST + 1];

	if (atomic_flag_test_and_set(&reading)) {
		static const char busy[] = "the file is being read by another thread";
		memcpy(error->text, busy, sizeof(busy));
		error->secret = false;
		return false;
	}
	memcpy(path, settings->file, sizeof(path));
	bool good = settings_from_file(settings, &work, file_text, path, error);
	atomic_flag_clear(&reading);
	return good;
}

/* A worker that confined itself leaves it to the others. */
static bool may_read(void)
{
	return MAY_CALL_EACH(SYS_openat, SYS_read, SYS_close, SYS_geteuid, SYS_gettid) && MAY_CALL_FSTAT;
}

static void reload_once(void)
{
	struct table *table = limiter_table();
	static struct settings_error error;
	uint64_t turn = limits_turn(table);

	settings_copy(&read_settings, limiter_settings());
	if (!reload_read(&read_settings, &error)) {
		limits_failed(table, &error);
		report("reload failed, the old limits stand: ", error.text, NULL);
		return;
	}
	/* Both were laid down when the table was made. */
	if (limits_copy(table, &work) && !settings_may_follow(&read_settings, &work, &error)) {
		limits_failed(table, &error);
		report("reload failed, the old limits stand: ", error.text, NULL);
		return;
	}
	if (!regroup_publish(table, turn, &read_settings))
		report("reload failed, the old limits stand: others are publishing at this moment", NULL);
}

void reload_now(void)
{
	if (!limiter_is_open() || !may_read())
		return;
	/* Whoever raises it from 0 does the work, and does it again for those who came meanwhile. */
	if (atomic_fetch_add(&asked, 1) != 0)
		return;
	int seen;
	int cancellable;
	/* In a handler, this may be anywhere in the daemon. A thread that is to be cancelled must not be by our reading of a
	 * file, with a lock of malloc's in its hands. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancellable);
	do {
		seen = atomic_load(&asked);
		reload_once();
	} while (!atomic_compare_exchange_strong(&asked, &seen, 0));
	pthread_setcancelstate(cancellable, NULL);
}

void reload_in_child(void)
{
	atomic_flag_clear(&reading);
	atomic_store(&asked, 0);
}

void reload_arm(void)
{
	struct limits limits;

	if (limiter_settings()->file[0] == '\0')
		return;
	/* The file may have said which, so it is asked of the table. What that says is believed only if it is a signal that may
	 * be. */
	limits_read(limiter_table(), &limits);
	bool may_be = limits.signal == SIGHUP || limits.signal == SIGUSR1 || limits.signal == SIGUSR2 ||
		      limits.signal == SIGWINCH || limits.signal == SIGURG ||
		      (limits.signal >= SIGRTMIN && limits.signal <= SIGRTMAX);
	signals_arm(may_be ? limits.signal : limiter_settings()->signal);
}
