#include "table/records.h"

#include "values/budget.h"
#include "values/clock.h"
#include "table/clients.h"
#include "values/point.h"
#include "table/total.h"

#include <string.h>

enum {
	GROUP = 16, /* slots whose owners share a cache line */
	NEARBY = 2, /* groups tried in a row before jumping elsewhere */
	GROW_AFTER = 8,
	GIVE_UP_AFTER = 64,
	GROW_MOST = 24, /* bound, in case somebody keeps lowering the extent */
};

/* Where this thread looks first: at the slot that it freed last (still in its cache), then near the last one it found. Threads
 * start at different places, so that they rarely share a cache line. */
static _Thread_local uint32_t freed_last; /* slot + 1 */
static _Thread_local uint32_t look_at;
static _Thread_local uint32_t dice;

static uint32_t roll(void)
{
	if (dice == 0)
		dice = (uint32_t)((uintptr_t)&dice >> 4) ^ (uint32_t)clock_us() ^ 0x9e3779b9U;
	dice ^= dice << 13;
	dice ^= dice >> 17;
	dice ^= dice << 5;
	return dice;
}

uint32_t record_extent(const struct table *table)
{
	uint32_t extent = atomic_load_explicit(&table->header->extent, memory_order_relaxed);

	return extent < GROUP ? GROUP : extent <= table->capacity ? extent / GROUP * GROUP : table->capacity;
}

static void grow_extent(struct table *table, uint32_t from)
{
	uint32_t seen = atomic_load_explicit(&table->header->extent, memory_order_relaxed);
	uint32_t wanted = from < table->capacity / 2 ? from * 2 : table->capacity;

	for (int swaps = 0; swaps < SWAPS_MOST && seen < wanted; swaps++)
		if (atomic_compare_exchange_weak(&table->header->extent, &seen, wanted))
			return;
}

static inline bool try_claim(struct table *table, uint32_t slot, uint64_t *claimed)
{
	if (atomic_load_explicit(&table->owner[slot], memory_order_relaxed) != 0)
		return false;
	uint64_t state = atomic_load_explicit(&table->record[slot].state, memory_order_relaxed);
	if (record_kind(state) != RECORD_FREE) {
		budget_spend(APART_NS);
		return false;
	}
	*claimed = record_state(record_generation(state) + 1, RECORD_CLAIMED, table->pid & RECORD_PID);
	return atomic_compare_exchange_strong(&table->record[slot].state, &state, *claimed);
}

/* Tries the slots of a group, starting with `from`. */
static bool claim_in_group(struct table *table, uint32_t from, uint32_t *slot, uint64_t *claimed)
{
	uint32_t group = from / GROUP * GROUP;

	for (uint32_t n = 0; n < GROUP; n++) {
		uint32_t i = group + (from + n) % GROUP;
		if (try_claim(table, i, claimed)) {
			*slot = i;
			return true;
		}
	}
	return false;
}

/* The last resort in a nearly full table: group after group, continuing where the last call stopped. The budget bounds the
 * number of groups. */
static bool claim_anywhere(struct table *table, uint32_t *slot, uint64_t *claimed)
{
	enum { ONE_BY_ONE = 4 }; /* cost of trying slots, relative to a walk over owners */
	static _Thread_local uint32_t group;

	for (uint32_t slots = 0; slots < table->capacity && budget_spend(ONE_BY_ONE * walk_ns(GROUP));
	     slots += GROUP, group += GROUP) {
		if (group >= table->capacity)
			group = 0;
		if (claim_in_group(table, group, slot, claimed))
			return true;
	}
	return false;
}

static COLD bool search(struct table *table, uint32_t *slot, uint64_t *claimed)
{
	static _Thread_local uint64_t full_since; /* ms: a full table is not walked for every connection */

	uint32_t extent = record_extent(table);
	int grown = 0;
	uint32_t group = dice == 0 ? roll() % (extent / GROUP) * GROUP : look_at;

	for (int tried = 0; tried < GIVE_UP_AFTER; tried++) {
		if (group >= extent)
			group = 0;
		if (claim_in_group(table, group, slot, claimed)) {
			look_at = *slot;
			return true;
		}
		if (tried == GROW_AFTER && extent < table->capacity && grown++ < GROW_MOST) {
			group = extent;
			grow_extent(table, extent);
			extent = record_extent(table);
			tried = 0;
		} else if (tried < NEARBY) {
			group = group / GROUP * GROUP + GROUP;
		} else {
			group = roll() % (extent / GROUP) * GROUP;
		}
	}
	uint64_t now = clock_ms();
	if (full_since == now)
		return false;
	full_since = now;
	return claim_anywhere(table, slot, claimed);
}

HOT bool record_claim(struct table *table, uint32_t *slot, uint64_t *claimed)
{
	uint32_t last = freed_last;

	/* The slot may have been in another table. Beyond this table's extent, a record would be missed when the client's slots
	 * are counted. */
	if (last != 0 && last <= record_extent(table) && try_claim(table, last - 1, claimed)) {
		*slot = last - 1;
		freed_last = 0;
	} else if (!search(table, slot, claimed)) {
		return false;
	}
	point_reached(POINT_SLOT_CLAIMED);
	return true;
}

void record_unclaim(struct table *table, uint32_t slot, uint64_t claimed)
{
	atomic_store_explicit(&table->owner[slot], 0, memory_order_relaxed);
	if (networks_are_named(table))
		atomic_store_explicit(&table->within[slot], 0, memory_order_relaxed);
	atomic_compare_exchange_strong(&table->record[slot].state, &claimed,
				       record_state(record_generation(claimed), RECORD_FREE, 0));
}

static COLD void name_client(struct table *table, uint32_t slot, const struct connection *connection)
{
	table->named[slot] = connection->client != NULL ? *connection->client : (struct address){0};
}

HOT bool record_publish(struct table *table, uint32_t slot, uint64_t claimed, uint32_t entry,
			const struct connection *connection, reference *held)
{
	struct record *record = &table->record[slot];
	uint32_t generation = record_generation(claimed);

	atomic_store_explicit(&table->owner[slot], entry + 1, memory_order_release);
	point_reached(POINT_SLOT_OWNED);
	record->since = clock_since();
	record->interface = connection->peer.interface;
	record->peer = connection->peer.address;
	record->local = connection->local.address;
	record->peer_port = connection->peer.port;
	record->local_port = connection->local.port;
	atomic_store_explicit(&record->holder, table->pid, memory_order_relaxed);
	record->network = connection->network;
	record->mptcp = connection->mptcp;
	/* Whoever named one in this slot had seen that clients are named, and so do we, who have the slot after them. */
	if (clients_are_named(table))
		name_client(table, slot, connection);
	point_reached(POINT_SLOT_WRITTEN);
	if (!atomic_compare_exchange_strong(&record->state, &claimed, record_state(generation, RECORD_OPEN, 0)))
		return false;
	point_reached(POINT_PUBLISHED);
	*held = (reference)generation << 32 | (slot + 1);
	return true;
}

uint32_t network_of_record(const struct table *table, uint32_t slot)
{
	uint32_t named = atomic_load_explicit(&table->within[slot], memory_order_acquire);

	return named != 0 && entry_is_network(table, named - 1) ? named - 1 : NO_NETWORK;
}

static inline __attribute__((always_inline)) bool free_slot(struct table *table, uint32_t slot, uint64_t state,
							    struct freed *freed, bool networks)
{
	uint32_t generation = record_generation(state);
	uint64_t claimed = record_state(generation, RECORD_CLAIMED, table->pid & RECORD_PID);
	struct record *record = &table->record[slot];

	if (!atomic_compare_exchange_strong(&record->state, &state, claimed))
		return false;
	point_reached(POINT_RELEASE_CLAIMED);
	freed->owner = atomic_load_explicit(&table->owner[slot], memory_order_relaxed);
	freed->within = networks ? atomic_exchange(&table->within[slot], 0) : 0;
	atomic_store_explicit(&table->owner[slot], 0, memory_order_relaxed);
	point_reached(POINT_RELEASE_DISOWNED);
	atomic_compare_exchange_strong(&record->state, &claimed, record_state(generation, RECORD_FREE, 0));
	point_reached(POINT_RELEASE_FREED);
	freed_last = slot + 1;
	return true;
}

bool record_free(struct table *table, uint32_t slot, uint64_t state, struct freed *freed)
{
	return free_slot(table, slot, state, freed, networks_are_named(table));
}

static inline __attribute__((always_inline)) bool release(struct table *table, uint32_t slot, uint64_t state, bool networks)
{
	uint32_t owner = atomic_load_explicit(&table->owner[slot], memory_order_acquire);
	uint32_t network = networks ? network_of_record(table, slot) : NO_NETWORK;
	uint64_t of_network = 0;
	struct freed freed;

	if (owner == 0 || owner > table->entries)
		return false;
	/* The generation is read before the slot is freed. If a mend comes in between, it may or may not have counted the slot;
	 * we see that the generation changed and leave the count to it. */
	uint64_t generation = client_generation(atomic_load(&table->entry[owner - 1].word));
	uint64_t total = total_generation(table);
	if (network != NO_NETWORK)
		of_network = client_generation(atomic_load(&table->entry[network].word));
	point_reached(POINT_RELEASE_SEEN);
	if (!free_slot(table, slot, state, &freed, networks))
		return false;
	if (left_out(ORDERING_LOOK_THEN_FREE)) {
		generation = client_generation(atomic_load(&table->entry[owner - 1].word));
		if (network != NO_NETWORK)
			of_network = client_generation(atomic_load(&table->entry[network].word));
	}
	if (freed.owner == owner)
		client_uncount(table, owner - 1, generation);
	if (networks) {
		point_reached(POINT_RELEASE_NETWORK);
		if (network != NO_NETWORK && freed.within == network + 1)
			client_uncount(table, network, of_network);
	}
	total_uncount(table, total);
	return true;
}

static __attribute__((noinline)) bool release_in_network(struct table *table, uint32_t slot, uint64_t state)
{
	return release(table, slot, state, true);
}

HOT bool record_release(struct table *table, uint32_t slot, uint64_t state)
{
	return networks_are_named(table) ? release_in_network(table, slot, state) : release(table, slot, state, false);
}

bool record_doubt(struct table *table, uint32_t slot, uint32_t generation)
{
	uint64_t open = record_state(generation, RECORD_OPEN, 0);
	uint32_t owner = atomic_load_explicit(&table->owner[slot], memory_order_relaxed);
	bool doubted =
	    atomic_compare_exchange_strong(&table->record[slot].state, &open, record_state(generation, RECORD_DOUBTFUL, 0));

	/* Only after the record is marked: whoever clears this flag looks for marked records afterwards. */
	if (doubted && owner != 0 && owner <= table->entries)
		client_mark(table, owner - 1, MARK_DOUBTFUL);
	uint32_t network = doubted && networks_are_named(table) ? network_of_record(table, slot) : NO_NETWORK;
	if (network != NO_NETWORK)
		client_mark(table, network, MARK_DOUBTFUL);
	return doubted;
}

enum { AHEAD = 512 }; /* slots: how far ahead a walk prefetches */

static uint32_t next_of_any(const uint32_t *owner, uint32_t from, uint32_t end)
{
	for (; from < end && (from % GROUP != 0 || from + GROUP > end); from++)
		if (owner[from] != 0)
			return from;
	for (; from + GROUP <= end; from += GROUP) {
		uint32_t found = 0;
		__builtin_prefetch(&owner[from + AHEAD]);
		for (uint32_t i = 0; i < GROUP; i++)
			found |= owner[from + i];
		if (found != 0)
			break;
	}
	while (from < end && owner[from] == 0)
		from++;
	return from;
}

/* Where the slots of a client, or of a network, are named. */
static _Atomic uint32_t *names_of(const struct table *table, uint32_t entry)
{
	return entry_is_network(table, entry) ? table->within : table->owner;
}

bool record_belongs(const struct table *table, uint32_t slot, uint32_t entry)
{
	return atomic_load_explicit(&names_of(table, entry)[slot], memory_order_relaxed) == entry + 1;
}

uint32_t record_next(const struct table *table, uint32_t entry, uint32_t from, uint32_t end)
{
	/* Plain reads, so that the compiler can vectorize: an owner that changes meanwhile may be found or not, and whoever
	 * acts on a slot checks its state with a compare-and-swap. */
	const uint32_t *owner = (const uint32_t *)(const void *)names_of(table, entry);
	uint32_t wanted = entry + 1;

	if (entry == ANY_CLIENT)
		return next_of_any(owner, from, end);
	while (from < end && from % GROUP != 0) {
		if (owner[from] == wanted)
			return from;
		from++;
	}
	for (; from + GROUP <= end; from += GROUP) {
		uint32_t found = 0;
		__builtin_prefetch(&owner[from + AHEAD]);
		for (uint32_t i = 0; i < GROUP; i++)
			found |= owner[from + i] == wanted ? 1U : 0U;
		if (found != 0)
			break;
	}
	for (; from < end; from++)
		if (owner[from] == wanted)
			return from;
	return end;
}

uint32_t record_number(const struct table *table, uint32_t entry, uint32_t from, uint32_t end)
{
	const uint32_t *owner = (const uint32_t *)(const void *)names_of(table, entry);
	uint32_t wanted = entry + 1;
	uint32_t number = 0;

	if (entry == ANY_CLIENT)
		for (; from < end; from++)
			number += owner[from] != 0 ? 1 : 0;
	for (; from < end; from++)
		number += owner[from] == wanted ? 1 : 0;
	return number;
}

bool record_read(const struct table *table, uint32_t slot, uint64_t *state, struct connection *connection)
{
	const struct record *record = &table->record[slot];

	*state = atomic_load_explicit(&record->state, memory_order_acquire);
	if (!record_is_held(*state))
		return false;
	*connection = (struct connection){
	    .peer = {.address = record->peer, .port = record->peer_port, .interface = record->interface},
	    .local = {.address = record->local, .port = record->local_port, .interface = record->interface},
	    .network = record->network,
	    .mptcp = record->mptcp,
	};
	atomic_thread_fence(memory_order_acquire);
	uint64_t after = atomic_load_explicit(&record->state, memory_order_relaxed);
	return record_is_held(after) && record_generation(after) == record_generation(*state);
}

bool record_read_with_client(const struct table *table, uint32_t slot, uint64_t *state, struct connection *connection,
			     struct address *client)
{
	if (!record_read(table, slot, state, connection))
		return false;
	if (!clients_are_named(table))
		return true;
	*client = table->named[slot];
	if (!address_is_unspecified(client))
		connection->client = client;
	atomic_thread_fence(memory_order_acquire);
	uint64_t after = atomic_load_explicit(&table->record[slot].state, memory_order_relaxed);
	return record_is_held(after) && record_generation(after) == record_generation(*state);
}
