#include "decisions/mend.h"

#include "values/alive.h"
#include "values/budget.h"
#include "table/clients.h"
#include "values/point.h"
#include "table/records.h"

enum { LOOKS = 3 }; /* before a count is mended: the chances that others get to finish their second step */

/* The slot is claimed first: then only one of those who found it acts, and nobody else takes it meanwhile. */
void mend_slot(struct table *table, uint32_t slot, uint64_t state)
{
	uint64_t claimed = record_state(record_generation(state) + 1, RECORD_CLAIMED, table->pid & RECORD_PID);

	if (atomic_compare_exchange_strong(&table->record[slot].state, &state, claimed))
		record_unclaim(table, slot, claimed);
}

/* A claimer outside the table's pid namespace has written 0 for its pid; and a process outside of it cannot see who lives in
 * it. */
bool mend_claimed_by_dead(struct table *table, uint32_t slot, uint64_t state)
{
	uint32_t pid = (uint32_t)(state & RECORD_PID);

	if (record_kind(state) != RECORD_CLAIMED || pid == 0 || table->pid == 0 || !budget_spend(PROCESS_NS) ||
	    process_alive(pid))
		return false;
	mend_slot(table, slot, state);
	return true;
}

/* Counts the slots that owner[] gives to a client, or to any, and frees those whose claimer has died. Stops at `enough`. Slots
 * that the budget does not cover count as held: a count that is too high is on the safe side. */
static uint32_t count_slots(struct table *table, uint32_t entry, uint32_t enough)
{
	uint32_t extent = record_extent(table);
	uint32_t slots = 0;

	for (uint32_t slot = record_next(table, entry, 0, extent); slot < extent && slots < enough;
	     slot = record_next(table, entry, slot + 1, extent)) {
		if (!budget_spend(RECORD_NS))
			return slots + record_number(table, entry, slot, extent);
		uint64_t state = atomic_load(&table->record[slot].state);

		if (record_kind(state) == RECORD_FREE)
			mend_slot(table, slot, state);
		else if (record_is_held(state) || (!mend_claimed_by_dead(table, slot, state) && (state & RECORD_PID) != 0))
			slots++;
	}
	return slots;
}

/* A count can be higher than the number of slots because an admission or a release is between its two steps, or because a
 * process died there. The former takes less time than the looks below, unless the process is stopped; so first we only look.
 * Then the count is mended as described in layout.h, which is correct whoever is still active. True if the count fell, by us or
 * by others. */
bool mend_count(struct table *table, _Atomic uint64_t *word, uint32_t entry)
{
	uint64_t seen = atomic_load(word);

	/* In a large table, one walk over the owners takes longer than those two steps. */
	int64_t walk = walk_ns(record_extent(table));
	for (int look = 0; look < LOOKS && budget_has(2 * walk); look++) {
		budget_spend(walk);
		uint32_t slots = count_slots(table, entry, (uint32_t)(seen & CLIENT_COUNT));

		if (slots >= (seen & CLIENT_COUNT))
			return false;
		uint64_t now = atomic_load(word);
		if (now != seen)
			return (now & CLIENT_COUNT) < (seen & CLIENT_COUNT);
	}
	if (!budget_spend(walk))
		return false;
	uint64_t marked =
	    (client_generation(seen) + CLIENT_GENERATION) | (seen & (CLIENT_COUNT | CLIENT_TENTATIVE)) | CLIENT_MENDING;
	if (left_out(ORDERING_RAISE_THEN_COUNT))
		marked = seen;
	if (!atomic_compare_exchange_strong(word, &seen, marked))
		return (seen & CLIENT_COUNT) < (marked & CLIENT_COUNT);
	/* The mark must be visible to everyone before a slot is looked at. Without this fence, arm64 without LSE may read slots
	 * before the swap is visible. An admission whose slot we miss then sees the new generation. */
	atomic_thread_fence(memory_order_seq_cst);
	point_reached(POINT_MEND_MARKED);
	uint32_t slots = count_slots(table, entry, (uint32_t)(marked & CLIENT_COUNT));
	point_reached(POINT_MEND_COUNTED);
	if (slots >= (marked & CLIENT_COUNT))
		return false;
	uint64_t mended = (client_generation(marked) + CLIENT_GENERATION) | (marked & CLIENT_TENTATIVE) | slots;
	uint64_t expected = marked;
	if (!atomic_compare_exchange_strong(word, &expected, mended))
		return (expected & CLIENT_COUNT) < (marked & CLIENT_COUNT);
	atomic_fetch_add_explicit(&table->header->repaired, 1, memory_order_relaxed);
	return true;
}
