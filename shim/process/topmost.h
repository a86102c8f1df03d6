/* The daemon's topmost process: the one that an operator signals if the daemon does not handle the signal.
 *
 * It is the process in which the program started, not one that it forked. If it went to the background (daemon(7): a child in a
 * session of its own continues, and the parent ends), it is that child. It is recognised by its pid, which no fork or vfork
 * passes on. All functions except topmost_settle are async-signal-safe. */
#ifndef CONNLIMIT_TOPMOST_H
#define CONNLIMIT_TOPMOST_H

#include <signal.h>
#include <stdbool.h>

/* Called at the program's start: remembers which process this is. */
void topmost_start(void);

/* Called when the table is open. `handed_on`: a process under connlimit executed this program. Then this process is the topmost
 * one only if it made the table (`maker`), as a daemon did that executes itself again. */
void topmost_settle(bool handed_on, unsigned maker);

bool topmost(void);

/* Whether `signal`, which would end this process, was meant as a reload: this is the topmost process, and the sender is another
 * process that is not its terminal's shell, not a dying parent, and not a parent that started it as a worker. */
bool topmost_is_told(int signal, const siginfo_t *info);

#endif
