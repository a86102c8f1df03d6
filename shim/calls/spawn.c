/* Programs that libc starts for the daemon, by calls of its own that cannot be interposed. They may hold whatever the daemon
 * held when they were started. */
#include "process/children.h"
#include "process/handlers.h"
#include "process/real.h"

#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <wordexp.h>

#define STARTS(result, call)                                                                                                   \
	do {                                                                                                                   \
		child_begins();                                                                                                \
		handlers_program_begins(true);                                                                                 \
		result = call;                                                                                                 \
		handlers_program_began(true);                                                                                  \
		child_made(0);                                                                                                 \
	} while (0)

INTERPOSE int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
			  const posix_spawnattr_t *attributes, char *const arguments[], char *const environment[])
{
	int result;

	STARTS(result, REAL(posix_spawn)(pid, path, actions, attributes, arguments, environment));
	return result;
}

INTERPOSE int posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
			   const posix_spawnattr_t *attributes, char *const arguments[], char *const environment[])
{
	int result;

	STARTS(result, REAL(posix_spawnp)(pid, file, actions, attributes, arguments, environment));
	return result;
}

INTERPOSE FILE *popen(const char *command, const char *mode)
{
	FILE *stream;

	STARTS(stream, REAL(popen)(command, mode));
	return stream;
}

INTERPOSE int system(const char *command)
{
	int status;

	STARTS(status, REAL(system)(command));
	return status;
}

INTERPOSE int wordexp(const char *words, wordexp_t *expanded, int flags)
{
	int result;

	STARTS(result, REAL(wordexp)(words, expanded, flags));
	return result;
}
