#include "process/limiter.h"

#include "process/adopt.h"
#include "calls/fork.h"
#include "process/near.h"
#include "process/own_program.h"
#include "process/real.h"
#include "process/reload.h"
#include "process/report.h"
#include "process/start_page.h"
#include "calls/signals.h"

#include "values/alive.h"
#include "decisions/regroup.h"
#include "values/clock.h"
#include "values/door.h"
#include "values/fingerprint.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sysexits.h>
#include <unistd.h>

extern char **environ;

/* In this order GCC puts the state behind the table, in the line of its end, with the words of fork.c and others. */
NEAREST _Atomic int limiter_state;
NEAREST _Alignas(64) struct table limiter_of_process;

/* In this order: of every start the first is written, and begins on the page of what else is (near.h). */
static struct {
	struct settings start;	 /* what the environment said */
	struct settings checked; /* with what the file said at the start; written only where there is a file */
	struct settings opening; /* while the table is opened */
} settings;
NEAR static _Atomic bool started;
NEAR static bool file_unread;
NEAR static char name[TABLE_NAME_MOST + 1];
NEAR static uint32_t maker; /* of the table: pid */

const struct settings *limiter_settings(void)
{
	return &settings.start;
}

const char *limiter_name(void)
{
	return name;
}

static bool is_parent(uint32_t pid)
{
	return door_getppid() == (pid_t)pid;
}

bool limiter_may_remove_table(void)
{
	if (maker == limiter_of_process.pid)
		return true;
	/* A daemon that goes into the background after it has begun to listen leaves the table to its children. */
	return maker != 0 && !is_parent(maker) && !process_alive(maker);
}

void limiter_in_child(void)
{
	limiter_of_process.pid = process_self();
	reload_in_child();
}

void limiter_in_any_child(void)
{
	int opening = LIMITER_OPENING;

	atomic_compare_exchange_strong(&limiter_state, &opening, LIMITER_UNOPENED);
}

/* A name that no other start has: of bytes that the kernel gave this program alone, hashed, as libc's canary is of them too. */
static void make_name(void)
{
	static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
	static const uint64_t no_key[2] = {1, 2};
	const uint64_t *given = (const uint64_t *)getauxval(AT_RANDOM); // NOLINT(performance-no-int-to-ptr)
	uint64_t word = given != NULL ? fingerprint(given, 0, 0, 0)
				      : fingerprint(no_key, clock_us() ^ (uint64_t)process_self() << 40, (uintptr_t)&word, 0);
	char *at = name;

	*at++ = '@';
	for (int i = 0; i < 12; i++, word /= 36)
		*at++ = digits[word % 36];
	*at = '\0';
}

static void opened(int state)
{
	fork_watch();
	own_program_learn();
	start_page_keep(settings.start.file);
	maker = atomic_load(&limiter_of_process.header->maker);
	atomic_store_explicit(&limiter_state, state, memory_order_release);
	if (state == LIMITER_OPEN)
		reload_arm();
}

/* Whether the program that runs here is what made the table: the daemon goes on as itself. */
static bool made_by_this_program(void)
{
	const struct table_header *header = limiter_of_process.header;
	const char *here = program_invocation_short_name;

	return here != NULL && strncmp(header->program, here, sizeof(header->program) - 1) == 0;
}

static void start(void);

COLD bool limiter_open_table(void)
{
	int state = LIMITER_UNOPENED;
	int kept = errno;

	start(); /* another object's constructor may come before ours */
	int held_only = LIMITER_HELD;
	if (atomic_compare_exchange_strong(&limiter_state, &held_only, LIMITER_OPEN)) {
		reload_arm();
		errno = kept;
	}
	if (limiter_is_open())
		return true;
	if (!atomic_compare_exchange_strong(&limiter_state, &state, LIMITER_OPENING)) {
		/* Another thread is at it. It makes a few system calls; a signal handler that interrupted it in this thread
		 * must not wait for it, hence the bound. */
		for (int i = 0; i < 1000 && atomic_load(&limiter_state) == LIMITER_OPENING; i++)
			door(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
		return limiter_is_open();
	}
	struct settings_error error;
	bool made = false;

	/* The file is read again, for it may have changed since the start; what was read then serves if it cannot be read any
	 * more (a daemon in a chroot, or under another user). */
	settings_copy(&settings.opening, &settings.start);
	if (settings.opening.file[0] != '\0' && !reload_read(&settings.opening, &error)) {
		settings_copy(&settings.opening, &settings.checked);
		if (file_unread)
			report(error.text, ": this program's connections are under the limits of the environment only", NULL);
	}
	if (table_open(&limiter_of_process, name, &settings.opening, &made)) {
		/* A table of this name was there: an earlier start's that was killed, or one whose last workers are leaving. */
		if (!made)
			regroup_publish(&limiter_of_process, limits_turn(&limiter_of_process), &settings.opening);
		limits_keep_start(&limiter_of_process, &settings.start);
		opened(LIMITER_OPEN);
	} else {
		int why = errno;

		if (table_open_anonymous(&limiter_of_process, name, &settings.opening)) {
			opened(LIMITER_OPEN);
			report("no shared memory segment available (", strerrorname_np(why),
			       "): the table is shared with forked processes only and not seen by status", NULL);
		} else {
			atomic_store(&limiter_state, LIMITER_OUT);
			report("no shared memory available (", strerrorname_np(errno), "): connections are NOT limited", NULL);
		}
	}
	errno = kept;
	return limiter_is_open();
}

/* A program that the daemon executes must not fail by a variable that the daemon has set since: only the table counts. */
static bool handed_on(void)
{
	static const char variable[] = "CONNLIMIT_TABLE=";
	struct settings_error error;

	for (char **at = environ; at != NULL && *at != NULL; at++) {
		const char *value = *at + sizeof(variable) - 1;
		if (strncmp(*at, variable, sizeof(variable) - 1) != 0 || *value != '=')
			continue;
		settings_default(&settings.start);
		return settings_set(&settings.start, SETTING_TABLE, value, strlen(value), FROM_ENVIRONMENT, &error);
	}
	return false;
}

static void refuse_to_start(const char *why)
{
	report(why, NULL);
	REAL(_exit)(EX_CONFIG);
}

/* A mistyped limit must not run as no limit, so the daemon does not start. A program that the running daemon executes is
 * another matter: its limits are in the table, and a file that has gone bad since must not keep it from starting. */
__attribute__((constructor)) static void start(void)
{
	struct settings_error error;

	if (atomic_exchange(&started, true))
		return;
	real_find();
	settings_default(&settings.start);
	own_variables_learn();
	bool good = settings_from_environment(&settings.start, environ, &error) || handed_on();
	if (good && settings.start.table[0] != '\0')
		memcpy(name, settings.start.table, sizeof(name));
	else
		make_name();
	if (good && settings.start.handed_on && table_open(&limiter_of_process, name, NULL, NULL)) {
		bool listens = adopt_inherited();
		opened(listens || made_by_this_program() ? LIMITER_OPEN : LIMITER_HELD);
		return;
	}
	if (!good)
		refuse_to_start(error.text);
	if (settings.start.file[0] == '\0')
		return;
	settings_copy(&settings.checked, &settings.start);
	if (reload_read(&settings.checked, &error))
		return;
	/* One that the daemon executes under another user finds neither its table nor, perhaps, a file that it may read. It
	 * most likely serves nobody; should it, that is said then. */
	if (!settings.start.handed_on)
		refuse_to_start(error.text);
	file_unread = true;
}
