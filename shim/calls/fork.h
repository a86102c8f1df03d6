/* A new process by whatever call: it holds what its parent holds. */
#ifndef CONNLIMIT_FORK_H
#define CONNLIMIT_FORK_H

#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>

/* Around any call that may make a process with memory of its own: before it, and after it in both processes (pid 0 in the
 * child, -1 if there is none). */
void fork_begins(void);
void fork_ended(pid_t pid);

/* Points to a word that is not 0, except in a child that was made behind our back (by a system call in assembly, by a call that
 * we do not know): its page is wiped on fork, madvise(2), MADV_WIPEONFORK. */
extern _Atomic uint32_t *fork_mark;

/* In such a child, before the first use of the map: takes references of its own for what it inherited. */
void fork_unseen(void);

static inline void fork_look(void)
{
	if (__builtin_expect(atomic_load_explicit(fork_mark, memory_order_relaxed) == 0, 0))
		fork_unseen();
}

/* From now on forks are looked for: there is a table. Not async-signal-safe only in that it maps a page. */
void fork_watch(void);

#endif
