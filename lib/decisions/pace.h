/* How often the kernel may be asked. For lib's own use.
 *
 * Questions are rate-limited by the CPU time that they take: each one delays the next by a multiple of its own time, so that
 * all together stay under a share of one CPU. A pace is one 64-bit word of shared memory. Its high 40 bits are the time to
 * which the questions so far have moved it, in ticks of PACE_TICK_US of clock_us (they wrap after 8.9 years); its low 24 bits
 * are the slot where the next check goes on. 0 means never asked. A time further ahead than questions can have moved it was
 * written by somebody else, and is ignored. */
#ifndef CONNLIMIT_PACE_H
#define CONNLIMIT_PACE_H

#include "table/layout.h"

#include <stdbool.h>
#include <stdint.h>

enum { PACE_TICK_US = 256 };

struct pace_rule {
	uint32_t factor;       /* microseconds that one microsecond of CPU holds back the next question */
	uint32_t fruitless_us; /* at least so long, if nothing was found */
	uint32_t most_us;      /* at most so long, for one question */
	uint32_t ahead_us;     /* so far ahead of the clock the payments may lie before the next question has to wait */
};

/* Whether a question may be asked at `now` (clock_us). */
bool pace_allows(const struct pace *pace, const struct pace_rule *rule, uint64_t now);

/* The same for a question that can be left out: half of what may lie ahead stays for those that cannot. */
bool pace_allows_more(const struct pace *pace, const struct pace_rule *rule, uint64_t now);

/* Whether none was ever asked, or one could have been for `us` already. */
bool pace_overdue(const struct pace *pace, const struct pace_rule *rule, uint64_t now, uint64_t us);

/* Pays for one. If two pay at the same moment, one of them may go free. */
void pace_pay(struct pace *pace, const struct pace_rule *rule, uint64_t now, uint64_t cpu_us, bool fruitless);

/* Forgets what is still to be paid. */
void pace_forgive(struct pace *pace);

/* Where the next check goes on. */
uint32_t pace_from(const struct pace *pace);
void pace_go_on_at(struct pace *pace, uint32_t slot);

#endif
