#include "decisions/mend.h"

#include "values/alive.h"
#include "values/budget.h"
#include "table/clients.h"
#include "values/point.h"
#include "table/records.h"

enum { LOOKS = 3 }; /* before a count is mended: others get this often the chance to end what they are at */

/* First the slot is claimed, so that of several who find it one acts, and nobody is given it meanwhile. */
void mend_slot(struct table *table, uint32_t slot, uint64_t state)
{
	uint64_t claimed = record_state(record_generation(state) + 1, RECORD_CLAIMED, table->pid & RECORD_PID);

	if (atomic_compare_exchange_strong(&table->record[slot].state, &state, claimed))
		record_unclaim(table, slot, claimed);
}

/* A claimer in another pid namespace than the table's has put 0 for its pid, and one of another is not told what lives in it.
 */
bool mend_claimed_by_dead(struct table *table, uint32_t slot, uint64_t state)
{
	uint32_t pid = (uint32_t)(state & RECORD_PID);

	if (record_kind(state) != RECORD_CLAIMED || pid == 0 || table->pid == 0 || !budget_spend(PROCESS_NS) ||
	    process_alive(pid))
		return false;
	mend_slot(table, slot, state);
	return true;
}

/* Slots that owner[] gives to a client, or to any, on the way freeing those whose claimer died; no further than to `enough`.
 * What the budget does not suffice to look at counts as held: a count that is too high is on the safe side. */
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

/* A count can exceed the slots because an admission or a release is between its two steps, or because one died there. The first
 * is over in less than the looks below take, unless it was stopped; so at first we only look. Then the count is mended as
 * layout.h says, which is right whoever is under way. True if the count fell, by us or by others. */
bool mend_count(struct table *table, _Atomic uint64_t *word, uint32_t entry)
{
	uint64_t seen = atomic_load(word);

	/* In a large table once over the owners takes longer than that. */
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
	/* Before a slot is looked at, everyone sees the mark: what is read behind a swap may be read before it is seen, on
	 * arm64 without LSE. An admission whose slot is not found then finds the generation raised. */
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
