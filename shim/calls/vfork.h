/* Between vfork and exec the child runs in its parent's memory: what it closes is its own copy, and must not change our map. */
#ifndef CONNLIMIT_VFORK_H
#define CONNLIMIT_VFORK_H

#include "table/table.h"

#include <stdbool.h>

extern _Thread_local int vfork_depth __attribute__((tls_model("initial-exec")));

static inline bool in_vfork_child(void)
{
	return __builtin_expect(vfork_depth != 0, 0);
}

void vfork_begins(void);

/* The child has made itself another descriptor for this: the program that it executes has the connection too, whatever becomes
 * of the original. */
void vfork_copied(reference held);

/* Calls `visit` for each of them. */
void vfork_each_copy(void (*visit)(reference held));

#endif
