/* Between vfork and exec the child runs in its parent's memory: what it closes is its own copy, and must not change our map. */
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

/* To be called before a clone(2) with these flags: what the child shares with us ends sole holding for good. */
void clone_shares(unsigned long flags);

#endif
