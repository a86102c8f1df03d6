/* exec: the process goes on as another program, whose map starts empty. What it inherits stays counted, in flight, until its
 * own start adopts it; what is closed by FD_CLOEXEC is dropped. */
#include "process/descriptors.h"
#include "process/limiter.h"
#include "process/own_program.h"
#include "process/real.h"
#include "calls/signals.h"
#include "process/unseen.h"
#include "calls/spawn_actions.h"
#include "calls/vfork.h"

#include <alloca.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

enum { LOOKED_AT_MOST = 512 }; /* a process with more connections than this is assumed to mark them FD_CLOEXEC */

static bool stays_open(int descriptor)
{
	int flags = REAL(fcntl)(descriptor, F_GETFD);

	return flags >= 0 && (flags & FD_CLOEXEC) == 0;
}

/* In the process that becomes the program: a descriptor that stays keeps its reference, in the air; one that goes is dropped,
 * but not the last reference, for the exec may fail and then it could not be had again. */
static void let_go(int descriptor, reference held)
{
	if (stays_open(descriptor) || !table_drop_unless_last(limiter_table(), held))
		table_let_fly(limiter_table(), held);
}

static void take_back(int descriptor, reference held)
{
	(void)descriptor;
	if (!table_land(limiter_table(), held))
		table_hold(limiter_table(), held);
}

static void give_to_program(reference held)
{
	if (table_hold(limiter_table(), held))
		table_let_fly(limiter_table(), held);
}

static void take_from_program(reference held)
{
	table_land(limiter_table(), held);
	table_drop(limiter_table(), held);
}

/* In a child that shares its parent's memory, or for one to be spawned: the program gets references of its own. */
static void hold_for_program(int descriptor, reference held)
{
	if (stays_open(descriptor))
		give_to_program(held);
}

static void drop_for_program(int descriptor, reference held)
{
	if (stays_open(descriptor))
		take_from_program(held);
}

static bool looked_at(void)
{
	return limiter_is_open() && descriptor_number(LOOKED_AT_MOST + 1) <= LOOKED_AT_MOST;
}

static void program_begins(void)
{
	int kept = errno;

	if (in_vfork_child()) {
		if (looked_at())
			descriptor_each(0, ~0U, hold_for_program);
		vfork_each_copy(give_to_program);
	} else if (limiter_is_open()) {
		descriptor_each(0, ~0U, let_go);
	}
	signals_before_exec();
	errno = kept;
}

static int program_failed(int result)
{
	int kept = errno;

	signals_after_exec();
	if (in_vfork_child()) {
		if (looked_at())
			descriptor_each(0, ~0U, drop_for_program);
		vfork_each_copy(take_from_program);
	} else if (limiter_is_open()) {
		descriptor_each(0, ~0U, take_back);
	}
	errno = kept;
	return result;
}

/* The program finds its table by CONNLIMIT_TABLE, with a '=' before the name that tells it from a new start of the daemon: its
 * limits are those of the table. Only programs that will be preloaded are told, and the daemon's own, which has the preload
 * carried on even if the daemon gives it an environment without (own_program.h). The pointers live in the caller's frame: after
 * vfork, memory from malloc would be the parent's. */
static bool is_set(char *const environment[], const char *variable, size_t length)
{
	for (; environment != NULL && *environment != NULL; environment++)
		if (strncmp(*environment, variable, length) == 0)
			return true;
	return false;
}

static bool carries_on(char *const environment[], bool own)
{
	return own && !is_set(environment, "LD_PRELOAD=", 11);
}

static bool needs_table(char *const environment[], bool own)
{
	return limiter_is_open() && (own || is_set(environment, "LD_PRELOAD=", 11)) &&
	       !is_set(environment, "CONNLIMIT_TABLE==", 17);
}

static size_t length_of(char *const environment[])
{
	size_t length = 0;

	while (environment != NULL && environment[length] != NULL)
		length++;
	return length;
}

static char *const *add_table(char *const environment[], size_t length, bool carry, char **room, char *text)
{
	static const char variable[] = "CONNLIMIT_TABLE=";
	size_t kept = 0;

	for (size_t i = 0; i < length; i++)
		if (strncmp(environment[i], variable, sizeof(variable) - 1) != 0)
			memcpy(&room[kept++], &environment[i], sizeof(room[0]));
	for (unsigned i = 0; carry && i < own_variables(); i++)
		if (!is_set(environment, own_variable(i), own_variable_name_length(i)))
			room[kept++] = own_variable(i);
	stpcpy(stpcpy(stpcpy(text, variable), "="), limiter_name());
	room[kept] = text;
	room[kept + 1] = NULL;
	return room;
}

#define WITH_TABLE(environment, is_own, is_there)                                                                              \
	do {                                                                                                                   \
		bool unseen = own_program_turns_secure();                                                                      \
		bool own = (limiter_is_open() || unseen) && (is_own);                                                          \
		if (own && unseen)                                                                                             \
			unseen_by_loader();                                                                                    \
		if (!own && limiter_is_open() && !is_set(environment, "LD_PRELOAD=", 11) && unseen_inherits_listener() &&      \
		    (is_there))                                                                                                \
			unseen_with_listener();                                                                                \
		if (needs_table(environment, own)) {                                                                           \
			size_t length = length_of(environment);                                                                \
			(environment) = add_table(environment, length, carries_on(environment, own),                           \
						  alloca((length + own_variables() + 2) * sizeof(char *)),                     \
						  alloca(sizeof("CONNLIMIT_TABLE==") + TABLE_NAME_MOST));                      \
		}                                                                                                              \
	} while (0)

INTERPOSE int execve(const char *path, char *const arguments[], char *const environment[])
{
	program_begins();
	WITH_TABLE(environment, own_program(AT_FDCWD, path, 0), program_is_there(AT_FDCWD, path, 0));
	return program_failed(REAL(execve)(path, arguments, environment));
}

INTERPOSE int execv(const char *path, char *const arguments[])
{
	return execve(path, arguments, environ);
}

INTERPOSE int execvpe(const char *file, char *const arguments[], char *const environment[])
{
	program_begins();
	WITH_TABLE(environment, own_program_file(file), program_is_there_file(file));
	return program_failed(REAL(execvpe)(file, arguments, environment));
}

INTERPOSE int execvp(const char *file, char *const arguments[])
{
	return execvpe(file, arguments, environ);
}

INTERPOSE int fexecve(int descriptor, char *const arguments[], char *const environment[])
{
	program_begins();
	WITH_TABLE(environment, own_program(descriptor, "", AT_EMPTY_PATH), program_is_there(descriptor, "", AT_EMPTY_PATH));
	return program_failed(REAL(fexecve)(descriptor, arguments, environment));
}

INTERPOSE int execveat(int directory, const char *path, char *const arguments[], char *const environment[], int flags)
{
	program_begins();
	WITH_TABLE(environment, own_program(directory, path, flags), program_is_there(directory, path, flags));
	return program_failed(REAL(execveat)(directory, path, arguments, environment, flags));
}

/* Gathers "argument, ..., NULL" into an array, and for execle the environment behind it. */
static size_t count_arguments(va_list list)
{
	size_t number = 1;

	while (va_arg(list, char *) != NULL)
		number++;
	return number;
}

static char *const *gather(char **array, const char *first, size_t number, va_list list)
{
	memcpy(&array[0], &first, sizeof(first));
	for (size_t i = 1; i <= number; i++)
		array[i] = va_arg(list, char *);
	return array;
}

#define GATHER(arguments, first, list)                                                                                         \
	do {                                                                                                                   \
		va_start(list, first);                                                                                         \
		size_t number = count_arguments(list);                                                                         \
		va_end(list);                                                                                                  \
		va_start(list, first);                                                                                         \
		(arguments) = gather(alloca((number + 1) * sizeof(char *)), first, number, list);                              \
	} while (0)

INTERPOSE int execl(const char *path, const char *argument, ...)
{
	char *const *arguments;
	va_list list;

	GATHER(arguments, argument, list);
	va_end(list);
	return execve(path, arguments, environ);
}

INTERPOSE int execlp(const char *file, const char *argument, ...)
{
	char *const *arguments;
	va_list list;

	GATHER(arguments, argument, list);
	va_end(list);
	return execvpe(file, arguments, environ);
}

INTERPOSE int execle(const char *path, const char *argument, ...)
{
	char *const *arguments;
	va_list list;

	GATHER(arguments, argument, list);
	char *const *environment = va_arg(list, char *const *);
	va_end(list);
	return execve(path, arguments, environment);
}

static void hold_copied(int descriptor)
{
	if (!stays_open(descriptor))
		give_to_program(descriptor_held(descriptor));
}

static void drop_copied(int descriptor)
{
	if (!stays_open(descriptor))
		take_from_program(descriptor_held(descriptor));
}

static void spawn_begins(const posix_spawn_file_actions_t *actions)
{
	int kept = errno;

	if (looked_at() && !in_vfork_child()) {
		descriptor_each(0, ~0U, hold_for_program);
		spawn_actions_each(actions, hold_copied);
	}
	errno = kept;
}

static int spawned(int result, const posix_spawn_file_actions_t *actions)
{
	if (result != 0 && looked_at() && !in_vfork_child()) {
		descriptor_each(0, ~0U, drop_for_program);
		spawn_actions_each(actions, drop_copied);
	}
	return result;
}

INTERPOSE int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
			  const posix_spawnattr_t *attributes, char *const arguments[], char *const environment[])
{
	spawn_begins(actions);
	WITH_TABLE(environment, own_program(AT_FDCWD, path, 0), program_is_there(AT_FDCWD, path, 0));
	return spawned(REAL(posix_spawn)(pid, path, actions, attributes, arguments, environment), actions);
}

INTERPOSE int posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
			   const posix_spawnattr_t *attributes, char *const arguments[], char *const environment[])
{
	spawn_begins(actions);
	WITH_TABLE(environment, own_program_file(file), program_is_there_file(file));
	return spawned(REAL(posix_spawnp)(pid, file, actions, attributes, arguments, environment), actions);
}

/* popen(3)'s program goes on beside us; that of system(3) has ended when it returns. libc starts both by calls that we do not
 * see. */
INTERPOSE FILE *popen(const char *command, const char *mode)
{
	spawn_begins(NULL);
	FILE *stream = REAL(popen)(command, mode);
	spawned(stream == NULL ? -1 : 0, NULL);
	return stream;
}

INTERPOSE int system(const char *command)
{
	spawn_begins(NULL);
	int status = REAL(system)(command);
	int kept = errno;
	spawned(-1, NULL);
	errno = kept;
	return status;
}
