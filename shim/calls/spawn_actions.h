/* What a program that posix_spawn(3) starts is given by its file actions: a connection may be marked FD_CLOEXEC and all the
 * same become the program's standard input by posix_spawn_file_actions_adddup2. The actions themselves are libc's secret, so
 * what is said to them is noted as it is said. Thread-safe, as far as one set of actions is left to one thread. */
#ifndef CONNLIMIT_SPAWN_ACTIONS_H
#define CONNLIMIT_SPAWN_ACTIONS_H

#include <spawn.h>

/* Calls `visit` for each descriptor that held a connection when these actions were told to copy it. */
void spawn_actions_each(const posix_spawn_file_actions_t *actions, void (*visit)(int descriptor));

#endif
