/* What this process knows about its children: they may have inherited all of its connections (sole.h). And if a thread forks
 * right after it accepted a connection, the child was made for that connection. */
#ifndef CONNLIMIT_CHILDREN_H
#define CONNLIMIT_CHILDREN_H

#include "process/sole.h"

#include "table/table.h"

#include <sys/types.h>

/* Called before and after a call that copies this process's descriptors. child_made is called in the parent, with the result of
 * the call, or 0 if the new process is not one of ours. If the thread ends in between, nothing in this process is sole any
 * more. Both do nothing without a table. */
void child_begins(void);
void child_made(pid_t pid);

/* The same in the child, if its memory is a copy. */
void child_in_itself(void);

/* The thread's last connection, until it forks or accepts another. */
extern _Thread_local reference child_for __attribute__((tls_model("initial-exec")));

/* The token for the next accept (sole.h); 0 for none. */
COLD uint64_t accept_token_slowly(void);

static inline uint64_t accept_token(void)
{
	uint64_t seen = sole_word();

	return __builtin_expect(sole_is_token(seen), 1) ? seen : accept_token_slowly();
}

/* Called before this process executes another program: it is no longer the known holder of the connections that it accepted or
 * was made for, nothing that it accepted is sole any more (sole.h), and the table is kept for the program (table/bridge.h). If
 * the exec fails, child_does_not_execute is called; it returns `result`. */
int child_executes(void);

/* What child_executes returns if it did nothing: there is no table. In a vfork child, whose memory is its parent's, it is not
 * called, and this stands for it. */
enum { EXEC_UNPREPARED = -2 };

int child_does_not_execute(int bridge, int result);

#endif
