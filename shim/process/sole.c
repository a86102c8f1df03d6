#include "process/sole.h"

#include "process/limiter.h"

#include "values/door.h"
#include "values/near.h"
#include "values/point.h"

#include <errno.h>

/* Used if there is no page that a fork wipes: as if a call were always in progress. */
NEAR static struct sole never = {.word = 1, .accepted = true, .known = true};
NEAREST struct sole *_Atomic sole_of_process = &never;
NEAREST _Atomic bool sole_has_ended;

/* Unlike the word, this is copied by a fork, so that a child made by a call after which we have no frame finds it. */
NEAR static _Atomic bool for_good;

void sole_begin(void)
{
	int kept = errno;

	if (atomic_load(&sole_of_process) != &never)
		return;
	struct sole *page = door_mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	if (page != MAP_FAILED && door_madvise(page, sizeof(*page), MADV_WIPEONFORK) == 0) {
		atomic_store(&page->known, true);
		atomic_store(&sole_of_process, page);
		/* Another thread is in such a call now. We might miss its end, so nothing is ever sole. */
		if (atomic_load(&never.word) != 1)
			atomic_store(&page->word, SOLE_UNDER_WAY);
	}
	errno = kept;
}

COLD uint64_t sole_take_token(void)
{
	struct sole *sole = atomic_load(&sole_of_process);
	uint64_t seen = atomic_load(&sole->word);

	atomic_store_explicit(&sole->accepted, true, memory_order_relaxed);
	if (seen != 0 || atomic_load(&for_good))
		return (seen & SOLE_UNDER_WAY) == 0 ? seen : 0;
	point_reached(POINT_NO_TOKEN);
	uint64_t token = (atomic_fetch_add(&limiter_table()->header->tokens, 1) + 1) << SOLE_UNDER_WAY_BITS;
	if (token == 0 || atomic_compare_exchange_strong(&sole->word, &seen, token))
		return token;
	return (seen & SOLE_UNDER_WAY) == 0 ? seen : 0;
}

/* If the count reaches its maximum, it stays there, and nothing is sole any more. */
void sole_ends(void)
{
	struct sole *sole;

	atomic_store_explicit(&sole_has_ended, true, memory_order_relaxed);
	if (left_out(ORDERING_END_THEN_COPY))
		return;
	do {
		sole = atomic_load(&sole_of_process);
		uint64_t seen = atomic_load(&sole->word);
		uint64_t next;
		do
			next = (seen & SOLE_UNDER_WAY) < SOLE_UNDER_WAY ? (seen & SOLE_UNDER_WAY) + 1 : seen;
		while (!atomic_compare_exchange_weak(&sole->word, &seen, next));
	} while (sole != atomic_load(&sole_of_process));
}

void sole_may_begin_again(void)
{
	struct sole *sole = atomic_load(&sole_of_process);
	uint64_t seen = atomic_load(&sole->word);
	uint64_t least = sole == &never ? 1 : 0;

	while ((seen & SOLE_UNDER_WAY) > least && (seen & SOLE_UNDER_WAY) != SOLE_UNDER_WAY &&
	       !atomic_compare_exchange_weak(&sole->word, &seen, seen - 1))
		;
}

void sole_ends_for_good(void)
{
	atomic_store(&for_good, true);
	atomic_store(&atomic_load(&sole_of_process)->word, SOLE_UNDER_WAY);
}

void sole_in_child(void)
{
	atomic_store_explicit(&sole_has_ended, false, memory_order_relaxed);
	struct sole *sole = atomic_load(&sole_of_process);
	atomic_store(&sole->word, sole == &never ? 1 : 0);
	if (sole == &never)
		return;
	atomic_store(&sole->accepted, false);
	atomic_store(&sole->known, true);
}
