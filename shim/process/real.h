/* The calls that we interpose: libc's, or those of another preload that comes after us. Each is looked up when it is first
 * called, without the loader's lock: a call may come from a signal handler, or from a thread that a dlopen(3) waits for. */
#ifndef CONNLIMIT_REAL_H
#define CONNLIMIT_REAL_H

#include "process/calls.h"

#include "values/hot.h"

/* NULL until it is called. Any thread may set one, and all set the same. */
struct real_calls {
#define MEMBER(result, name, parameters) result(*name) parameters;
	INTERPOSED_CALLS(MEMBER)
#undef MEMBER
};

extern struct real_calls real_calls;

/* Looks up one of them, and keeps it. Takes no lock and makes no system call. Without a parameter, so that a call that has its
 * own in registers need not move them in case it must be looked up. */
#define FINDER(result, name, parameters) COLD result(*real_find_##name(void)) parameters;
INTERPOSED_CALLS(FINDER)
#undef FINDER

/* A real call. Calls may come before our constructor ran, from other objects' constructors. */
#define REAL(name)                                                                                                             \
	({                                                                                                                     \
		__typeof__(real_calls.name) found_ = __atomic_load_n(&real_calls.name, __ATOMIC_RELAXED);                      \
		__builtin_expect(found_ != NULL, 1) ? found_ : real_find_##name();                                             \
	})

/* Marks a definition as one of the exported, interposing calls. */
#define INTERPOSE __attribute__((visibility("default")))

#endif
