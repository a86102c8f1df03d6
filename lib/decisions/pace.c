#include "decisions/pace.h"

#define SLOT UINT64_C(0xffffff)
#define SLOT_BITS 24

static uint64_t ticks(uint64_t us)
{
	return us / PACE_TICK_US;
}

/* Ticks until the questions so far are paid for. 0 if the word cannot have been written by pace_pay. */
static uint64_t ahead_of(uint64_t word, const struct pace_rule *rule, uint64_t now)
{
	uint64_t paid = word >> SLOT_BITS;
	uint64_t most = ticks(now) + ticks(rule->ahead_us) + ticks(rule->most_us) + 1;

	return paid > ticks(now) && paid <= most ? paid - ticks(now) : 0;
}

static uint64_t word_of(const struct pace *pace)
{
	return atomic_load_explicit(&pace->word, memory_order_relaxed);
}

bool pace_allows(const struct pace *pace, const struct pace_rule *rule, uint64_t now)
{
	return ahead_of(word_of(pace), rule, now) <= ticks(rule->ahead_us);
}

bool pace_allows_more(const struct pace *pace, const struct pace_rule *rule, uint64_t now)
{
	return ahead_of(word_of(pace), rule, now) <= ticks(rule->ahead_us) / 2;
}

bool pace_overdue(const struct pace *pace, const struct pace_rule *rule, uint64_t now, uint64_t us)
{
	uint64_t word = word_of(pace);

	if (word >> SLOT_BITS == 0)
		return true;
	return ahead_of(word, rule, now) == 0 && ticks(now) - (word >> SLOT_BITS) + ticks(rule->ahead_us) >= ticks(us);
}

void pace_pay(struct pace *pace, const struct pace_rule *rule, uint64_t now, uint64_t cpu_us, bool fruitless)
{
	uint64_t word = word_of(pace);
	uint64_t wait = cpu_us * rule->factor;

	if (fruitless && wait < rule->fruitless_us)
		wait = rule->fruitless_us;
	if (wait > rule->most_us)
		wait = rule->most_us;
	uint64_t paid = ticks(now) + ahead_of(word, rule, now) + ticks(wait) + 1;
	uint64_t most = ticks(now) + ticks(rule->ahead_us) + ticks(rule->most_us);
	if (paid > most)
		paid = most;
	atomic_compare_exchange_strong(&pace->word, &word, paid << SLOT_BITS | (word & SLOT));
}

void pace_forgive(struct pace *pace)
{
	uint64_t word = word_of(pace);

	atomic_compare_exchange_strong(&pace->word, &word, word & SLOT);
}

uint32_t pace_from(const struct pace *pace)
{
	return (uint32_t)(word_of(pace) & SLOT);
}

void pace_go_on_at(struct pace *pace, uint32_t slot)
{
	uint64_t word = word_of(pace);

	atomic_compare_exchange_strong(&pace->word, &word, (word & ~SLOT) | (slot & SLOT));
}
