/* Whether a program to be executed is the one that runs here: a daemon that starts its own file anew (an upgrade of its binary,
 * a restart) goes on under its limits, even if it makes an environment from nothing for that. Any other program gets exactly
 * the environment that it was given. */
#ifndef CONNLIMIT_OWN_PROGRAM_H
#define CONNLIMIT_OWN_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>

/* To be called at the start, before the daemon writes over its environment (to show a title). */
void own_variables_learn(void);

/* To be called when there is a table: before the file is replaced, and before the process sees another root. Two system calls,
 * which a program that is no daemon need not make. Called again, nothing. Async-signal-safe; errno is kept. */
void own_program_learn(void);

/* By path or by file, so that one that was replaced at the same path is found too; the arguments are those of execveat(2).
 * Async-signal-safe; errno is kept. */
bool own_program(int directory, const char *path, int flags);

/* The same for a name that is looked for in PATH (execvp(3)). */
bool own_program_file(const char *file);

/* Whether there is a program to execute, as far as can be told beforehand: one that looks for it in many places executes what
 * is not there. Arguments and safety as above. */
bool program_is_there(int directory, const char *path, int flags);
bool program_is_there_file(const char *file);

/* Whether this process would have the loader turn to secure execution (ld.so(8)) by executing its own program: its real and
 * effective users differ, or the program's file sets another than the real one. */
bool own_program_turns_secure(void);

/* What our start's environment had for us: LD_PRELOAD and CONNLIMIT_ variables, as NAME=VALUE, but for the table's name. */
unsigned own_variables(void);
char *own_variable(unsigned number);
size_t own_variable_name_length(unsigned number); /* with the '=' */

#endif
