/* The count of all clients' connections, for the limit on the total; see layout.h. For lib's own use. */
#ifndef CONNLIMIT_TOTAL_H
#define CONNLIMIT_TOTAL_H

#include "table/clients.h"

/* Raises the total by one if it stays at or below `limit`. With LIMIT_NONE nothing is counted, and no shared memory is written.
 * A later change of *generation shows that the count was mended, or that counting was turned on or off. Then the admission
 * starts over, as with COUNT_LOST. */
enum counted total_count_limited(struct table *table, uint32_t limit, uint64_t *generation);

static inline enum counted total_count(struct table *table, uint32_t limit, uint64_t *generation)
{
	uint64_t word = atomic_load(&table->header->total);

	if (__builtin_expect(limit != LIMIT_NONE || (word & TOTAL_COUNTING) != 0, 0))
		return total_count_limited(table, limit, generation);
	*generation = client_generation(word);
	return COUNTED;
}

/* Lowers the total by one that was counted under `generation`. */
void total_uncount_limited(struct table *table, uint64_t generation);

static inline void total_uncount(struct table *table, uint64_t generation)
{
	if (__builtin_expect((atomic_load(&table->header->total) & TOTAL_COUNTING) != 0, 0))
		total_uncount_limited(table, generation);
}

/* Whether counting was turned on and the count was not found yet. */
bool total_is_unknown(const struct table *table);

static inline uint64_t total_generation(const struct table *table)
{
	return client_generation(atomic_load(&table->header->total));
}

#endif
