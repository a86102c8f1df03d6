/* How a process knows that it is the only holder of a connection that it accepted ("sole").
 *
 * There is one 64-bit word: a token, and the number of calls in progress that copy the process's descriptors. It is in a page
 * that a fork wipes (madvise(2), MADV_WIPEONFORK), so no child ever has its parent's token, however it was made.
 *
 *     fork, vfork, spawn     the token is given up and one more is under way, before the real call; one less, behind it, in the
 *                            parent alone
 *     exec                   the same; one less if it fails
 *     accept                 takes the token before the real call, a new one if there is none; with a call under way, none
 *     close                  compares behind the real call: the same word as at accept, and nothing can have copied the
 *                            descriptor in between
 *
 * So a call that copies the descriptors ends sole holding for all connections that were accepted before, at the cost of one
 * swap. Each of the four orderings is needed (tests/faults/test_schedule.c leaves out each). Without such a page, no process is
 * ever sole. All functions are thread-safe and async-signal-safe, wait for no other thread, and keep errno. */
#ifndef CONNLIMIT_SOLE_H
#define CONNLIMIT_SOLE_H

#include "values/hot.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* The low bits count the calls under way. */
enum { SOLE_UNDER_WAY_BITS = 16 };
#define SOLE_UNDER_WAY ((UINT64_C(1) << SOLE_UNDER_WAY_BITS) - 1)

/* In the page that a fork wipes. */
struct sole {
	_Atomic uint64_t word;
	_Atomic bool accepted; /* this process has taken a token, or there was none: it may have accepted something */
	_Atomic bool known;    /* we noticed that this process is a new one; false in a child whose fork we did not see */
};
extern struct sole *_Atomic sole_of_process;
extern _Atomic bool sole_has_ended;

static inline struct sole *sole_here(void)
{
	return atomic_load_explicit(&sole_of_process, memory_order_acquire);
}

/* Call this when the table is open, before anything is accepted. */
void sole_begin(void);

static inline uint64_t sole_word(void)
{
	return atomic_load(&sole_here()->word);
}

static inline bool sole_is_token(uint64_t word)
{
	return word != 0 && (word & SOLE_UNDER_WAY) == 0;
}

/* False in a child that was made in a way that we did not see. */
static inline bool sole_is_known(void)
{
	return atomic_load(&sole_here()->known);
}

/* The token, a new one if there is none; 0 if there can be none. Accepts go through accept_token (children.h). */
COLD uint64_t sole_take_token(void);

/* Whether this process is still the only holder of what it accepted with this token. Call this after the real close. */
static inline bool sole_still(uint64_t token)
{
	return token != 0 && sole_word() == token;
}

/* Called before and after a call that copies the process's descriptors; the second only in the parent. */
void sole_ends(void);
void sole_may_begin_again(void);

/* Memory or descriptors are shared with another process from now on, or are copied by a call after which none of our code runs.
 */
void sole_ends_for_good(void);

/* Whether this process may have accepted anything since it was made. */
static inline bool sole_has_accepted(void)
{
	return atomic_load_explicit(&sole_here()->accepted, memory_order_relaxed);
}

/* Whether it has copied its descriptors. Then most of its connections are closed by a process that cannot release them. */
static inline bool sole_has_forked(void)
{
	return atomic_load_explicit(&sole_has_ended, memory_order_relaxed);
}

/* Called in a child whose memory is a copy. */
void sole_in_child(void);

#endif
