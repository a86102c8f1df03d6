#include "process/limiter_open.h"

#include "process/caller.h"
#include "process/join.h"
#include "process/limiter.h"
#include "process/real.h"
#include "process/reload.h"
#include "process/reload_signal.h"
#include "process/report.h"
#include "process/sole.h"
#include "process/start_page.h"
#include "process/topmost.h"

#include "values/alive.h"
#include "values/door.h"
#include "values/near.h"
#include "values/text.h"
#include "table/bridge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

extern char **environ;

static struct {
	struct settings checked; /* with the file as it was at the start; written only if there is a file */
	struct settings opening; /* used while the table is opened */
} settings;
NEAR static _Atomic bool started;
NEAR static bool file_unread;

/* A name that no other start has. */
static void make_name(void)
{
	static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
	uint64_t word = limiter_settings.start_id;
	char *at = limiter_name;

	*at++ = '@';
	for (int i = 0; i < 12; i++, word /= 36)
		*at++ = digits[word % 36];
	*at = '\0';
}

/* Puts "NAME=value" into the environment, without memory of malloc's, which may not be ready yet. */
static void put(char *text)
{
	enum { POINTERS = 64 };
	static char *room[POINTERS];
	size_t name_length = (size_t)(strchr(text, '=') - text) + 1; /* strcspn(3) has pages of its own, with its tables */
	size_t number = 0;

	for (; environ != NULL && environ[number] != NULL; number++) {
		if (strncmp(environ[number], text, name_length) == 0) {
			environ[number] = text;
			return;
		}
	}
	char **larger = number + 2 <= POINTERS ? room
					       : door_mmap(NULL, (number + 2) * sizeof(*larger), PROT_READ | PROT_WRITE,
							   MAP_PRIVATE | MAP_ANONYMOUS, -1);
	if ((void *)larger == MAP_FAILED)
		return;
	for (size_t i = 0; i < number; i++)
		larger[i] = environ[i];
	larger[number] = text;
	larger[number + 1] = NULL;
	environ = larger;
}

/* Whatever this process starts, in whatever way, finds its table by this. A '=' before the name, and the start's id beside it,
 * tell it from a new start of the daemon: the limits are the table's, and a setting that has gone bad since does not keep a
 * program from starting. */
static void hand_on(void)
{
	enum { DIGITS = 16 };
	static char table[sizeof("CONNLIMIT_TABLE==") + TABLE_NAME_MOST] = "CONNLIMIT_TABLE==";
	static char start[sizeof(START_VARIABLE "=") + DIGITS] = START_VARIABLE "=";
	char *at = start + strlen(start);

	for (int shift = 4 * (DIGITS - 1); shift >= 0; shift -= 4)
		*at++ = "0123456789abcdef"[limiter_settings.start_id >> shift & 15];
	strcat(table, limiter_name);
	put(table);
	put(start);
}

static void opened(void)
{
	sole_begin();
	start_page_keep(limiter_settings.file);
	atomic_store_explicit(&limiter_state, LIMITER_OPEN, memory_order_release);
	reload_signal_arm();
}

static bool is_tcp(int descriptor)
{
	int protocol = 0;

	return door_option(descriptor, SOL_SOCKET, SO_PROTOCOL, &protocol, sizeof(protocol)) && protocol == IPPROTO_TCP;
}

void limiter_sends(int descriptor)
{
	if (!limiter_is_open() && is_tcp(descriptor))
		limiter_open();
}

/* Only a table that is there. One of another start with other settings is refused, in words, when this program listens. */
static bool open_own(bool or_alike)
{
	if (!table_open(&limiter_of_process, limiter_name, NULL, NULL))
		return false;
	bool good = join_is_same_start(&limiter_of_process, &limiter_settings) ||
		    (or_alike && join_is_alike(&limiter_of_process, &limiter_settings, &settings.opening));
	if (!good)
		table_leave(&limiter_of_process);
	return good;
}

void limiter_is_given(int descriptor)
{
	int state = LIMITER_UNOPENED;

	if (limiter_is_open() || !is_tcp(descriptor) ||
	    !atomic_compare_exchange_strong(&limiter_state, &state, LIMITER_OPENING))
		return;
	if (open_own(true))
		opened();
	else
		atomic_store(&limiter_state, LIMITER_UNOPENED);
}

static void start(void);
static bool is_wrong;
static void refuse_to_start(void);

/* During a restart old and new processes may serve side by side. They can only share a table if both versions have the same
 * layout. */
static void look_for_other_version(void)
{
	char version[VERSION_TEXT];
	char shown[4 * VERSION_TEXT];

	if (!table_has_other_version(limiter_name, version))
		return;
	text_escape(shown, sizeof(shown), version, sizeof(version));
	report("table '", limiter_name, "' is also used by a daemon under connlimit ", shown,
	       ", another version: both have the full limit until its last process has ended", NULL);
}

/* A table of this name was there. */
static void join(void)
{
	static char why[JOIN_WHY];

	if (!join_table(&limiter_of_process, &limiter_settings, &settings.opening, reload_listed(), why)) {
		report_urgent(why, ": " JOIN_WAYS, NULL);
		_exit(EX_CONFIG);
	}
	if (why[0] != '\0')
		report(why, ": its limits apply (CONNLIMIT_JOIN)", NULL);
}

COLD void limiter_listens(void)
{
	static char why[JOIN_WHY];
	static _Atomic bool compared;

	if (!limiter_settings.handed_on || !limiter_is_open() || atomic_exchange(&compared, true))
		return;
	join_compare(&limiter_of_process, &limiter_settings, &settings.opening, why);
	if (why[0] != '\0')
		report(why, ": its limits apply", NULL);
}

static bool is_read(const struct settings *from)
{
	return from->file[0] != '\0' || from->lists > 0;
}

COLD bool limiter_open_table(void)
{
	int state = LIMITER_UNOPENED;
	int kept = errno;

	start(); /* another object's constructor may run before ours */
	if (limiter_is_open())
		return true;
	if (is_wrong)
		refuse_to_start();
	if (!atomic_compare_exchange_strong(&limiter_state, &state, LIMITER_OPENING)) {
		/* Another thread is opening the table, which takes a few system calls. But a signal handler that interrupted
		 * that thread must not wait for it, hence the bound. */
		for (int i = 0; i < 1000 && atomic_load(&limiter_state) == LIMITER_OPENING; i++)
			door(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
		return limiter_is_open();
	}
	struct settings_error error;
	bool made = false;

	/* The file is read again, as it may have changed since the start. If it cannot be read any more (a daemon in a chroot,
	 * or under another user), what was read at the start is used. */
	settings_copy(&settings.opening, &limiter_settings);
	if (is_read(&settings.opening) && !reload_read(&settings.opening, &error)) {
		settings_copy(&settings.opening, &settings.checked);
		if (file_unread)
			report(error.text, ": only the limits in the environment apply to this program", NULL);
	}
	if (table_open_listed(&limiter_of_process, limiter_name, &settings.opening, reload_listed(), &made)) {
		if (made) {
			limits_keep_start(&limiter_of_process, &limiter_settings);
			look_for_other_version();
		} else {
			join();
		}
		opened();
	} else {
		int why = errno;

		if (table_open_anonymous_listed(&limiter_of_process, limiter_name, &settings.opening, reload_listed())) {
			opened();
			report("no shared memory segment available (", strerrorname_np(why),
			       "): the table is shared with forked processes only and not seen by status", NULL);
		} else {
			atomic_store(&limiter_state, LIMITER_OUT);
			report("no shared memory available (", strerrorname_np(errno), "): connections are NOT limited", NULL);
		}
	}
	reload_published();
	errno = kept;
	return limiter_is_open();
}

/* Unix sockets count only if there is a limit per user. A daemon's helper processes often have only Unix sockets, and run as
 * other users who could not attach the table. */
COLD bool limiter_open_for_slowly(int listener)
{
	int domain = AF_UNSPEC;
	int kept = errno;

	start(); /* another object's constructor may run before ours */
	bool users = limiter_settings.per_uid != LIMIT_NONE ||
		     (limiter_settings.file[0] != '\0' && settings.checked.per_uid != LIMIT_NONE);
	bool wanted = door_option(listener, SOL_SOCKET, SO_DOMAIN, &domain, sizeof(domain)) && (users || domain != AF_UNIX);
	errno = kept;
	return wanted && limiter_open_table();
}

/* A program that the daemon executes must not fail because of a variable that the daemon set since: only the table counts. */
static bool handed_on(void)
{
	static const char variable[] = "CONNLIMIT_TABLE=";
	struct settings_error error;

	for (char **at = environ; at != NULL && *at != NULL; at++) {
		const char *value = *at + sizeof(variable) - 1;
		if (strncmp(*at, variable, sizeof(variable) - 1) != 0 || *value != '=')
			continue;
		settings_default(&limiter_settings);
		return settings_set(&limiter_settings, SETTING_TABLE, value, strlen(value), FROM_ENVIRONMENT, &error);
	}
	return false;
}

static struct settings_error start_error;
static bool is_wrong;

static void refuse_to_start(void)
{
	report_urgent(start_error.text, NULL);
	_exit(EX_CONFIG);
}

/* What systemd runs to reload or stop the daemon has the daemon's environment, but is mostly no daemon (systemd.exec(5)). It
 * must do its work whatever has become of the settings; so it is refused only if it listens. */
static void refuse_to_start_as_daemon(void)
{
	if (getenv("MAINPID") == NULL && getenv("SERVICE_RESULT") == NULL)
		refuse_to_start();
	is_wrong = true;
	atomic_store(&limiter_state, LIMITER_OUT);
}

/* A mistyped limit must not mean no limit, so the daemon does not start. For a program that the running daemon executes, the
 * limits are in the table, and a file that has become invalid must not prevent the start. */
__attribute__((constructor)) static void start(void)
{
	if (atomic_exchange(&started, true))
		return;
	report_begin();
	caller_begin();
	settings_default(&limiter_settings);
	if (!settings_from_environment(&limiter_settings, environ, &start_error) && !handed_on()) {
		refuse_to_start_as_daemon();
		return;
	}
	limiter_settings.start_id = limiter_settings.handed_on ? join_start_id_handed_on() : join_start_id();
	if (limiter_settings.table[0] != '\0')
		memcpy(limiter_name, limiter_settings.table, sizeof(limiter_name));
	else
		make_name();
	if (is_read(&limiter_settings)) {
		settings_copy(&settings.checked, &limiter_settings);
		file_unread = !reload_read(&settings.checked, &start_error);
	}
	if (file_unread && !limiter_settings.handed_on) {
		refuse_to_start_as_daemon();
		return;
	}
	hand_on();
	if (limiter_settings.file[0] != '\0')
		topmost_start();
	/* The daemon started this program, or ran in this process before. Later the program may no longer have access to the
	 * table. */
	if (limiter_settings.handed_on && (bridge_cross(&limiter_of_process, limiter_name) || open_own(false)))
		opened();
	if (file_unread)
		settings_copy(&settings.checked, &limiter_settings);
	else if (limiter_settings.file[0] != '\0')
		reload_signal_watch(&settings.checked);
}
