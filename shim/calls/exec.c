/* exec: the process continues as another program, and we do not see that one close what it inherits. */
#include "calls/vfork.h"
#include "process/children.h"
#include "process/handlers.h"
#include "process/real.h"

#include <alloca.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

extern char **environ;

/* A vfork child uses the map of its parent, which still needs it. */
#define EXECUTES(call)                                                                                                         \
	do {                                                                                                                   \
		handlers_program_begins(false);                                                                                \
		int bridge = in_vfork_child() ? EXEC_UNPREPARED : child_executes();                                            \
		int result = child_does_not_execute(bridge, call);                                                             \
		handlers_program_began(false);                                                                                 \
		return result;                                                                                                 \
	} while (0)

INTERPOSE int execve(const char *path, char *const arguments[], char *const environment[])
{
	EXECUTES(REAL(execve)(path, arguments, environment));
}

INTERPOSE int execv(const char *path, char *const arguments[])
{
	EXECUTES(REAL(execv)(path, arguments));
}

INTERPOSE int execvp(const char *file, char *const arguments[])
{
	EXECUTES(REAL(execvp)(file, arguments));
}

INTERPOSE int execvpe(const char *file, char *const arguments[], char *const environment[])
{
	EXECUTES(REAL(execvpe)(file, arguments, environment));
}

INTERPOSE int fexecve(int descriptor, char *const arguments[], char *const environment[])
{
	EXECUTES(REAL(fexecve)(descriptor, arguments, environment));
}

INTERPOSE int execveat(int directory, const char *path, char *const arguments[], char *const environment[], int flags)
{
	EXECUTES(REAL(execveat)(directory, path, arguments, environment, flags));
}

/* Gathers "argument, ..., NULL" into an array on the stack, as libc does. */
#define GATHER(arguments, first, list)                                                                                         \
	do {                                                                                                                   \
		size_t number = 1;                                                                                             \
		va_start(list, first);                                                                                         \
		while (va_arg(list, char *) != NULL)                                                                           \
			number++;                                                                                              \
		va_end(list);                                                                                                  \
		(arguments) = alloca((number + 1) * sizeof(char *));                                                           \
		(arguments)[0] = (char *)(uintptr_t)(first);                                                                   \
		va_start(list, first);                                                                                         \
		for (size_t i = 1; i <= number; i++)                                                                           \
			(arguments)[i] = va_arg(list, char *);                                                                 \
	} while (0)

INTERPOSE int execl(const char *path, const char *argument, ...)
{
	char **arguments;
	va_list list;

	GATHER(arguments, argument, list);
	va_end(list);
	return execv(path, arguments);
}

INTERPOSE int execlp(const char *file, const char *argument, ...)
{
	char **arguments;
	va_list list;

	GATHER(arguments, argument, list);
	va_end(list);
	return execvp(file, arguments);
}

INTERPOSE int execle(const char *path, const char *argument, ...)
{
	char **arguments;
	va_list list;

	GATHER(arguments, argument, list);
	char *const *environment = va_arg(list, char *const *);
	va_end(list);
	return execve(path, arguments, environment);
}
