/* A child holds what its parent held: every descriptor is one more reference. */
#ifndef CONNLIMIT_FORK_H
#define CONNLIMIT_FORK_H

#include <sys/types.h>

/* Around anything that makes a child with a copy of our memory. The references are added before, because the parent may close its
 * descriptor before the child runs. `pid` is what the call returned: 0 in the child, negative if there is none. errno is kept. */
void fork_begins(void);
void fork_ended(pid_t pid);

#endif
