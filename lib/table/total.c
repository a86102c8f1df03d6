#include "table/total.h"

#include "values/point.h"

COLD enum counted total_count_limited(struct table *table, uint32_t limit, uint64_t *generation)
{
	_Atomic uint64_t *total = &table->header->total;
	uint64_t word = atomic_load(total);

	if (limit > CLIENT_COUNT - 2)
		limit = limit == LIMIT_NONE ? LIMIT_NONE : (uint32_t)CLIENT_COUNT - 2;
	for (int swaps = 0; swaps < SWAPS_MOST; swaps++) {
		bool counting = (word & TOTAL_COUNTING) != 0;
		uint64_t next;

		*generation = client_generation(word);
		if (!counting && limit == LIMIT_NONE)
			return COUNTED;
		if (!counting)
			next = (client_generation(word) + CLIENT_GENERATION) | TOTAL_COUNTING | TOTAL_UNKNOWN;
		else if (limit == LIMIT_NONE)
			next = client_generation(word) + CLIENT_GENERATION;
		else if ((word & CLIENT_COUNT) >= limit)
			return COUNT_FULL;
		else
			next = (word & ~CLIENT_MENDING) + 1;
		bool counts = counting && limit != LIMIT_NONE;
		point_reached(POINT_SWAP);
		if (atomic_compare_exchange_weak(total, &word, next)) {
			if (counts)
				return COUNTED;
			word = next;
		}
	}
	return COUNT_LOST;
}

COLD void total_uncount_limited(struct table *table, uint64_t generation)
{
	_Atomic uint64_t *total = &table->header->total;
	uint64_t word = atomic_load(total);

	/* Nothing is subtracted from an unknown count: the mend that follows finds our slot free. */
	for (int swaps = 0; swaps < SWAPS_MOST && (word & TOTAL_COUNTING) != 0 && client_generation(word) == generation &&
			    (word & CLIENT_COUNT) != 0 && (word & CLIENT_COUNT) != TOTAL_UNKNOWN;
	     swaps++) {
		point_reached(POINT_SWAP);
		if (atomic_compare_exchange_weak(total, &word, (word & ~CLIENT_MENDING) - 1))
			return;
	}
}

COLD bool total_is_unknown(const struct table *table)
{
	uint64_t word = atomic_load(&table->header->total);

	return (word & TOTAL_COUNTING) != 0 && (word & CLIENT_COUNT) == TOTAL_UNKNOWN;
}
