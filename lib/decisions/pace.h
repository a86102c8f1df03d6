/* How often the kernel may be asked. For lib's own use.
 *
 * Questions are rate-limited by the CPU time that they take: each delays the next by a multiple of its own time, so that all
 * together stay below a share of one CPU. A pace is one 64-bit word of shared memory. Its high 40 bits are a time in ticks of
 * PACE_TICK_US of clock_us (they wrap after 8.9 years), which each question moves forward; its low 24 bits are the slot where
 * the next check continues. 0 means never asked. A time further ahead than questions can have moved it was written by somebody
 * else, and is ignored. */
#ifndef CONNLIMIT_PACE_H
#define CONNLIMIT_PACE_H

#include "table/layout.h"

#include <stdbool.h>
#include <stdint.h>

enum { PACE_TICK_US = 256 };

struct pace_rule {
	uint32_t factor;       /* microseconds of delay for one microsecond of CPU */
	uint32_t fruitless_us; /* the least delay, if nothing was found */
	uint32_t most_us;      /* the largest delay for one question */
	uint32_t ahead_us;     /* how far ahead of the clock the time may be before the next question has to wait */
};

/* Whether a question may be asked at `now` (clock_us). */
bool pace_allows(const struct pace *pace, const struct pace_rule *rule, uint64_t now);

/* The same for an optional question: half of ahead_us is left for the others. */
bool pace_allows_more(const struct pace *pace, const struct pace_rule *rule, uint64_t now);

/* Whether no question was ever asked, or one has been allowed for at least `us`. */
bool pace_overdue(const struct pace *pace, const struct pace_rule *rule, uint64_t now, uint64_t us);

/* Charges a question. If two do so at the same moment, one of them may be free. */
void pace_pay(struct pace *pace, const struct pace_rule *rule, uint64_t now, uint64_t cpu_us, bool fruitless);

/* Forgets what was charged. */
void pace_forgive(struct pace *pace);

/* Where the next check continues. */
uint32_t pace_from(const struct pace *pace);
void pace_go_on_at(struct pace *pace, uint32_t slot);

#endif
