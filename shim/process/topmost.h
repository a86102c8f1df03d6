/* The daemon's topmost process: what an operator signals where the daemon knows nothing of signals.
 *
 * It is the process in which the program started, not one that it forked; and where that went to the background (daemon(7): a
 * child in a session of its own goes on, and the parent ends), the child. Known by its number, which no fork and no vfork
 * passes on. All functions but topmost_settle are async-signal-safe. */
#ifndef CONNLIMIT_TOPMOST_H
#define CONNLIMIT_TOPMOST_H

#include <signal.h>
#include <stdbool.h>

/* At the program's start: which process this is. */
void topmost_start(void);

/* When the table is open. `handed_on`: a process under connlimit executed this program; then it is the topmost only if it made
 * the table itself (`maker`), as one does that executes itself anew. */
void topmost_settle(bool handed_on, unsigned maker);

bool topmost(void);

/* Whether `signal`, which would end this process, was meant for it to reload: sent to the topmost process by another one that
 * is neither its terminal's shell nor a parent that is dying, or that started it as its worker. */
bool topmost_is_told(int signal, const siginfo_t *info);

#endif
