#include "decisions/regroup.h"

#include "decisions/check.h"
#include "table/clients.h"
#include "values/budget.h"
#include "values/point.h"
#include "table/records.h"
#include "table/total.h"

enum { TRIES = 16 };

/* Counts one more for the client, whatever its limit. */
static bool count_for(struct table *table, const struct network *network, uint32_t *entry, uint64_t *generation)
{
	uint64_t fingerprint = client_fingerprint(table, network);
	uint64_t word;

	for (int i = 0; i < TRIES; i++)
		if (client_find_or_add(table, fingerprint, network, entry, &word) &&
		    client_count(table, *entry, fingerprint, word, LIMIT_NONE, generation) == COUNTED)
			return true;
	return false;
}

static void move(struct table *table, const struct limits *limits, uint32_t slot)
{
	struct connection connection;
	uint64_t generation;
	uint64_t state;
	uint64_t after;
	uint32_t entry;

	uint32_t owner = atomic_load(&table->owner[slot]);
	if (owner == 0 || owner > table->entries || !record_read(table, slot, &state, &connection))
		return;
	struct network network = limits_client_of(limits, &connection);
	if (atomic_load(&table->entry[owner - 1].fingerprint) == client_fingerprint(table, &network))
		return;
	uint64_t old_generation = client_generation(atomic_load(&table->entry[owner - 1].word));
	if (!count_for(table, &network, &entry, &generation))
		return;
	struct applied applied = limits_for(table, limits, &connection);
	limits_note(table, entry, &applied);
	point_reached(POINT_REGROUP_COUNTED);
	uint32_t expected = owner;
	if (!atomic_compare_exchange_strong(&table->owner[slot], &expected, entry + 1)) {
		client_uncount(table, entry, generation);
		return;
	}
	point_reached(POINT_REGROUP_MOVED);
	client_uncount(table, owner - 1, old_generation);
	/* Freed meanwhile and taken by another connection of the same former client: that one is moved back. */
	after = atomic_load(&table->record[slot].state);
	if (record_generation(after) != record_generation(state)) {
		expected = entry + 1;
		if (atomic_compare_exchange_strong(&table->owner[slot], &expected, owner))
			client_uncount(table, entry, generation);
		return;
	}
	/* A mend between our two steps did not find the slot: it is counted again, once too often rather than never. */
	for (int i = 0; i < TRIES && client_generation(atomic_load(&table->entry[entry].word)) != generation; i++)
		if (!count_for(table, &network, &entry, &generation))
			return;
}

/* In steps, each of which is charged. */
static uint32_t next_to_move(const struct table *table, uint32_t from, uint32_t extent)
{
	enum { STEP = 1024 };

	for (uint32_t slot = from; slot < extent;) {
		uint32_t end = extent - slot < STEP ? extent : slot + STEP;

		slot = record_next(table, ANY_CLIENT, slot, end);
		if (slot < end || !budget_spend(walk_ns(STEP)))
			return slot;
	}
	return extent;
}

COLD void regroup(struct table *table, const struct limits *limits)
{
	uint64_t done = regroup_key(limits);
	uint64_t seen = atomic_load(&table->header->grouped);

	/* As in mend.c: an admission whose slot is not found here finds that the limits have changed. */
	atomic_thread_fence(memory_order_seq_cst);
	uint32_t extent = record_extent(table);
	uint32_t slot = (uint32_t)seen == (uint32_t)done ? (uint32_t)(seen >> 32) : 0;
	for (slot = next_to_move(table, slot, extent); slot < extent && budget_spend(REGROUPED_NS);
	     slot = next_to_move(table, slot + 1, extent)) {
		move(table, limits, slot);
		/* Newer limits: what we moved last may be wrong by them, so it is for the next one to do it all. */
		if (atomic_load(&table->header->current) != limits->version) {
			atomic_store(&table->header->grouped, 0);
			return;
		}
	}
	uint64_t reached = slot >= extent ? done : (done & ~REGROUPED) | (uint64_t)slot << 32;
	atomic_compare_exchange_strong(&table->header->grouped, &seen, reached);
}

static void apply_to_all(struct table *table)
{
	struct limits limits;
	uint64_t generation;

	limits_read(table, &limits);
	regroup_look(table, &limits);
	/* A decision would begin to count as well, but in a very large table it may not take as long as that does. */
	if (limits.total != LIMIT_NONE && (atomic_load(&table->header->total) & TOTAL_COUNTING) == 0) {
		if (total_count(table, limits.total, &generation) == COUNTED)
			total_uncount(table, generation);
		check_total_unknown(table);
	}
}

bool regroup_publish_listed(struct table *table, uint64_t turn, const struct settings *settings,
			    const struct rules_index *listed)
{
	if (!limits_publish_listed(table, turn, settings, listed))
		return false;
	/* Also in a handler that has interrupted a decision, or that did and never came back to it. */
	int64_t outer = budget_set(BUDGET_NONE);
	apply_to_all(table);
	budget_set(outer);
	return true;
}
