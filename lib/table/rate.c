#include "table/rate.h"

#include "table/layout.h"
#include "values/point.h"

enum { LATE_US = 1000000 };

bool rate_take(_Atomic uint64_t *bucket, const struct rate *rate, uint64_t now)
{
	uint64_t depth = (uint64_t)rate->every_us * (rate->burst > 0 ? rate->burst : 1);
	uint64_t seen = atomic_load_explicit(bucket, memory_order_relaxed);

	for (int swaps = 0; swaps < SWAPS_MOST; swaps++) {
		uint64_t full = seen > now ? seen : now;
		if (full > now + depth + LATE_US)
			full = now + depth;
		if (full + rate->every_us > now + depth) {
			/* If it was too far ahead, write back the corrected time. Otherwise it would be cut off each time and
			 * never get closer. */
			if (full == seen || atomic_compare_exchange_weak_explicit(bucket, &seen, full, memory_order_relaxed,
										  memory_order_relaxed))
				return false;
			continue;
		}
		point_reached(POINT_SWAP);
		if (atomic_compare_exchange_weak_explicit(bucket, &seen, full + rate->every_us, memory_order_relaxed,
							  memory_order_relaxed))
			return true;
	}
	return true; /* others keep changing the word: do not refuse this client for that */
}

void rate_give_back(_Atomic uint64_t *bucket, const struct rate *rate)
{
	uint64_t seen = atomic_load_explicit(bucket, memory_order_relaxed);

	for (int swaps = 0; swaps < SWAPS_MOST && seen >= rate->every_us; swaps++)
		if (atomic_compare_exchange_weak_explicit(bucket, &seen, seen - rate->every_us, memory_order_relaxed,
							  memory_order_relaxed))
			return;
}
