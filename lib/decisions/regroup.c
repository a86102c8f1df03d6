#include "decisions/regroup.h"

#include "decisions/check.h"
#include "table/clients.h"
#include "values/budget.h"
#include "values/point.h"
#include "table/records.h"
#include "table/total.h"

enum { TRIES = 16 };

/* What a slot is to be counted for: a client, a network, or no network (NULL). */
struct goal {
	const struct network *network;
	uint64_t fingerprint;
	bool (*find_or_add)(struct table *table, uint64_t fingerprint, const struct network *network, uint32_t *entry,
			    uint64_t *word);
};

/* Counts one more, whatever the limit. */
static bool count_for(struct table *table, const struct goal *goal, uint32_t *entry, uint64_t *generation)
{
	uint64_t word;

	for (int i = 0; i < TRIES; i++)
		if (goal->find_or_add(table, goal->fingerprint, goal->network, entry, &word) &&
		    client_count(table, *entry, goal->fingerprint, word, LIMIT_NONE, generation) == COUNTED)
			return true;
	return false;
}

static bool are_in_force(const struct table *table, const struct limits *limits)
{
	return atomic_load(&table->header->current) == limits->version;
}

/* Moves a slot, whose state was `state`, from the entry that `name` (of owner[] or within[]) has named until now to that of the
 * goal. `from` is that entry + 1, or 0. False if another process moved it meanwhile, perhaps under other limits: look again. */
static bool move(struct table *table, const struct limits *limits, uint32_t slot, uint64_t state, _Atomic uint32_t *name,
		 uint32_t from, const struct goal *goal, const struct applied *applied)
{
	uint64_t old_generation = from != 0 ? client_generation(atomic_load(&table->entry[from - 1].word)) : 0;
	uint64_t generation = 0;
	uint32_t entry = 0;
	uint32_t to = 0;

	if (goal->network != NULL) {
		if (!count_for(table, goal, &entry, &generation))
			return true;
		to = entry + 1;
		limits_note(table, entry, applied);
	}
	point_reached(POINT_REGROUP_COUNTED);
	uint32_t expected = from;
	if (!atomic_compare_exchange_strong(name, &expected, to)) {
		if (to != 0)
			client_uncount(table, entry, generation);
		return false;
	}
	point_reached(POINT_REGROUP_MOVED);
	/* Freed meanwhile, and perhaps taken by another connection. Whether who freed it has lowered the old count, or will, is
	 * not known, and who took it will start anew under these limits: both counts stay too high until they are mended. */
	uint64_t after = atomic_load(&table->record[slot].state);
	if (record_generation(after) != record_generation(state) || !record_is_held(after))
		return true;
	/* By newer limits it may belong to whom it was taken from. Before that count falls, all is to be regrouped. */
	if (!are_in_force(table, limits))
		atomic_store(&table->header->grouped, 0);
	if (from != 0)
		client_uncount(table, from - 1, old_generation);
	if (to != 0 && record_kind(after) == RECORD_DOUBTFUL)
		client_mark(table, entry, MARK_DOUBTFUL);
	/* A mend between our two steps missed the slot. Count it again: once too often is better than not at all. */
	for (int i = 0; i < TRIES && to != 0 && client_generation(atomic_load(&table->entry[entry].word)) != generation; i++)
		if (!count_for(table, goal, &entry, &generation))
			break;
	return true;
}

static COLD bool move_within(struct table *table, const struct limits *limits, uint32_t slot, uint64_t state,
			     const struct connection *connection)
{
	uint32_t from = atomic_load(&table->within[slot]);
	bool counts = limits_count_networks(limits) && !connection_is_unix(connection);
	struct network network = limits_network(limits, connection_client(connection));
	struct goal goal = {.network = counts ? &network : NULL, .find_or_add = network_find_or_add};

	if (from != 0 && !entry_is_network(table, from - 1)) { /* a hostile write */
		atomic_compare_exchange_strong(&table->within[slot], &from, 0);
		from = 0;
	}
	if (counts)
		goal.fingerprint = client_fingerprint(table, &network);
	bool stands = from == 0 ? !counts : counts && atomic_load(&table->entry[from - 1].fingerprint) == goal.fingerprint;
	if (stands)
		return true;
	budget_spend(REGROUPED_NS);
	struct applied applied = limits_for_network(table, limits, connection);
	return move(table, limits, slot, state, &table->within[slot], from, &goal, &applied);
}

static bool move_slot(struct table *table, const struct limits *limits, uint32_t slot)
{
	struct connection connection;
	struct address client;
	uint64_t state;

	point_reached(POINT_REGROUP_SLOT);
	uint32_t owner = atomic_load(&table->owner[slot]);
	if (owner == 0 || owner > table->entries || !record_read_with_client(table, slot, &state, &connection, &client))
		return true;
	struct network network = limits_client_of(limits, &connection);
	struct goal goal = {
	    .network = &network, .fingerprint = client_fingerprint(table, &network), .find_or_add = client_find_or_add};
	if (atomic_load(&table->entry[owner - 1].fingerprint) != goal.fingerprint) {
		struct applied applied = limits_for(table, limits, &connection);
		if (!move(table, limits, slot, state, &table->owner[slot], owner, &goal, &applied))
			return false;
	}
	return !networks_are_named(table) || move_within(table, limits, slot, state, &connection);
}

/* Walks in steps, so that each can be charged to the budget. */
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

	/* Before a slot names a network, everyone who frees one looks for that. */
	if (limits_count_networks(limits) && atomic_load(&table->header->networks) == 0)
		atomic_store(&table->header->networks, 1);
	/* As in mend.c: an admission whose slot is not found here finds that the limits have changed. */
	atomic_thread_fence(memory_order_seq_cst);
	uint32_t extent = record_extent(table);
	uint32_t slot = (uint32_t)seen == (uint32_t)done ? (uint32_t)(seen >> 32) : 0;
	/* From the first that is moved on, nothing is grouped as it was before. */
	uint64_t begun = (done & ~REGROUPED) | (uint64_t)slot << 32;
	if (atomic_compare_exchange_strong(&table->header->grouped, &seen, begun))
		seen = begun;
	for (slot = next_to_move(table, slot, extent); slot < extent && budget_spend(REGROUPED_NS);
	     slot = next_to_move(table, slot + 1, extent)) {
		for (int i = 0; i < TRIES && !move_slot(table, limits, slot) && budget_spend(REGROUPED_NS); i++)
			;
		point_reached(POINT_REGROUP_SLOT);
		/* There are newer limits, so what we moved last may be wrong. Whoever regroups next starts from the beginning.
		 */
		if (!are_in_force(table, limits)) {
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
	/* A decision would start counting too, but in a very large table counting may take longer than a decision may. */
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
	/* A signal handler may have interrupted a decision, and may never return to it. */
	int64_t outer = budget_set(BUDGET_NONE);
	apply_to_all(table);
	budget_set(outer);
	return true;
}
