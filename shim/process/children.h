/* What this process knows of the children that it makes: that they may hold whatever it held (sole.h), and that the child of a
 * thread which forks right after it accepted was made for that connection. */
#ifndef CONNLIMIT_CHILDREN_H
#define CONNLIMIT_CHILDREN_H

#include "table/table.h"

#include <sys/types.h>

/* Around a call that copies this process's descriptors; the second in the parent, with what the call returned, 0 if it made no
 * process of ours. A thread that ends in between leaves nothing sole in this process. Nothing without a table. */
void child_begins(void);
void child_made(pid_t pid);

/* The same in the child, where its memory is a copy. */
void child_in_itself(void);

/* The thread's last connection, until it forks or accepts another. */
extern _Thread_local reference child_for __attribute__((tls_model("initial-exec")));

/* Whether this process was made for that connection. */
bool child_is_for(reference held);

/* Before this process executes another program: what it accepted, or was made for, it is not known to hold any more; and the
 * table is kept for the program (table/bridge.h). The second where the exec has failed; it hands `result` on. */
int child_executes(void);
int child_does_not_execute(int bridge, int result);

#endif
