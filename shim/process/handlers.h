/* Handlers for the reload signal. The signal is taken where the daemon itself takes it, and otherwise only where that does no
 * harm.
 *
 * The kernel keeps what the program set for the signal, except for the address of its handler: that is replaced by a handler of
 * ours, which reloads and then calls the program's. So flags, masks, siginterrupt(3), SA_RESETHAND, the settings of a vfork
 * child and what an executed program inherits are as without us. If the program left the signal at its default, it is handled
 * only in the daemon's topmost process (topmost.h), and still ends that process if it was not meant for a reload. If the
 * program ignores it, it stays ignored, unless the operator named it. */
#ifndef CONNLIMIT_HANDLERS_H
#define CONNLIMIT_HANDLERS_H

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>

extern _Atomic int handlers_signal; /* 0 for none */
extern bool handlers_by_hand;

/* From now on handlers that the program sets for `signal` are seen; `by_hand`: the operator named it. */
void handlers_watch(int signal, bool by_hand);

static inline bool handlers_watch_over(int signal)
{
	return signal != 0 && signal == atomic_load_explicit(&handlers_signal, memory_order_relaxed);
}

/* Called when the table is open: takes over what the program has set until now, or left at its default. */
void handlers_arm(void);

/* handlers_put and handlers_entry replace the program's handler by ours, before the kernel gets it. handlers_show replaces ours
 * by the program's, in what the kernel returned. */
void handlers_put(struct sigaction *action);
sighandler_t handlers_entry(sighandler_t theirs);
void handlers_show(struct sigaction *action);

/* After the program has set one. */
void handlers_were_set(int signal, sighandler_t handler);

/* Called before and after the start of a program. It inherits that a signal is ignored, but not that we handle it. `beside`:
 * the program runs in a new process, and does not replace this one. errno is kept. */
void handlers_inherit(bool beside);
void handlers_inherited(bool beside);

static inline void handlers_program_begins(bool beside)
{
	if (__builtin_expect(handlers_by_hand, 0))
		handlers_inherit(beside);
}

static inline void handlers_program_began(bool beside)
{
	if (__builtin_expect(handlers_by_hand, 0))
		handlers_inherited(beside);
}

/* Called when the program has received a signal: reloads if it is the reload signal. Returns it. */
int handlers_passed(int signal);

#endif
