/* The reload signal's handlers: taken where the daemon itself takes it, and else only where nobody is the worse for it.
 *
 * What the kernel keeps for the signal is what the program set, in all but the address of its handler: there stands one of
 * ours, which reloads and goes on to the program's. So flags, masks, siginterrupt(3), SA_RESETHAND, what a vfork child sets and
 * what a program that is executed gets are as they would be without us. Left at its default, the signal is taken in the
 * daemon's topmost process alone (topmost.h), and ends that as ever where it was not meant for a reload. Ignored, it stays
 * ignored, unless the operator named it. */
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

/* The table is open: what the program has set until now, or left, is taken as well. */
void handlers_arm(void);

/* Puts ours in the place of the program's handler, before the kernel gets it, and the program's in the place of ours, in what
 * the kernel said. */
void handlers_put(struct sigaction *action);
sighandler_t handlers_entry(sighandler_t theirs);
void handlers_show(struct sigaction *action);

/* After the program has set one. */
void handlers_were_set(int signal, sighandler_t handler);

/* Around the start of a program, which inherits that a signal is ignored but not that we handle it; `beside` us, or in our
 * place. errno is kept. */
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

/* A signal was taken from the kernel: reloads if it is the one. Returns it. */
int handlers_passed(int signal);

#endif
