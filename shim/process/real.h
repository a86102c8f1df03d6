/* The calls that we interpose: libc's, or those of another preload that comes after us. */
#ifndef CONNLIMIT_REAL_H
#define CONNLIMIT_REAL_H

#include "process/calls.h"

struct real_calls {
#define MEMBER(result, name, parameters) result(*name) parameters;
	INTERPOSED_CALLS(MEMBER)
#undef MEMBER
};

extern struct real_calls real_calls;

/* Finds them all. Idempotent; cheap when done. */
void real_find(void);

/* A real call. Calls may come before our constructor ran, from other objects' constructors: then this finds them. */
#define REAL(name) (__builtin_expect(real_calls.name != NULL, 1) ? real_calls.name : (real_find(), real_calls.name))

/* Marks a definition as one of the exported, interposing calls. */
#define INTERPOSE __attribute__((visibility("default")))

#endif
