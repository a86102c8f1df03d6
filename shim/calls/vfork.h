/* Between vfork and exec the child runs in its parent's memory. It closes its own copies of descriptors, which must not change
 * our map. */
#ifndef CONNLIMIT_VFORK_H
#define CONNLIMIT_VFORK_H

#include <stdbool.h>

extern _Thread_local int vfork_depth __attribute__((tls_model("initial-exec")));

static inline bool in_vfork_child(void)
{
	return __builtin_expect(vfork_depth != 0, 0);
}

void vfork_begins(void);
void vfork_ends(void);

/* Call this before a clone(2) with these flags: if the child shares our descriptors or memory, sole holding ends for good. */
void clone_shares(unsigned long flags);

#endif
