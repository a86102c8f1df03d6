/* Admission and release: what the interposed calls and the C library do with a connection. */
#include "check.h"
#include "clients.h"
#include "clock.h"
#include "point.h"
#include "records.h"

#include <errno.h>
#include <string.h>

enum {
	TRIES = 16,  /* times that an admission starts anew because others changed the client under it */
	CHECKS = 8, /* times that the kernel is asked for one decision: each frees at least one place, but others may take it */
};

static uint32_t slot_of(reference held)
{
	return (uint32_t)held - 1;
}

static uint32_t generation_of(reference held)
{
	return (uint32_t)(held >> 32);
}

/* Counts and records. COUNT_LOST: start anew. */
static enum counted record_under(struct table *table, const struct connection *connection, uint32_t entry, uint64_t fingerprint,
				 uint64_t word, uint32_t limit, reference *held)
{
	uint64_t generation;
	uint64_t claimed;
	uint32_t slot;

	enum counted counted = client_count(table, entry, fingerprint, word, limit, &generation);
	if (counted != COUNTED)
		return counted;
	point_reached(POINT_COUNTED);
	*held = 0;
	if (!record_claim(table, &slot, &claimed)) {
		client_uncount(table, entry, generation);
		return COUNTED;
	}
	if (!record_publish(table, slot, claimed, entry, connection, held))
		return COUNT_LOST;
	/* If the count was mended between our two steps, it may not include us: give the slot back and ask again. */
	if (client_generation(atomic_load(&table->entry[entry].word)) != generation) {
		record_free(table, slot, record_state(record_generation(claimed), RECORD_OPEN, 1), &entry);
		*held = 0;
		return COUNT_LOST;
	}
	return COUNTED;
}

static void note_limit(struct table *table, uint32_t entry, uint32_t limit)
{
	_Atomic uint32_t *noted = &table->notes[entry].limit;

	if (atomic_load_explicit(noted, memory_order_relaxed) != limit)
		atomic_store_explicit(noted, limit, memory_order_relaxed);
}

enum verdict table_admit(struct table *table, const struct connection *connection, reference *held)
{
	struct limits limits;
	enum checked checked = CHECK_FREED;
	int checks = 0;

	*held = 0;
	limits_read(table, &limits);
	if (limits.mode == MODE_OFF)
		return VERDICT_UNCOUNTED;
	struct network network = limits_client(&limits, &connection->peer.address);
	uint32_t limit = limits_for(table, &limits, connection);
	uint64_t fingerprint = client_fingerprint(table, &network);

	for (int tries = 0; tries < TRIES; tries++) {
		uint32_t entry;
		uint64_t word;

		if (!client_find_or_add(table, fingerprint, &network, &entry, &word))
			break;
		note_limit(table, entry, limit);
		enum counted counted = record_under(table, connection, entry, fingerprint, word, limit, held);
		if (counted == COUNTED) {
			if (*held != 0)
				return VERDICT_ADMITTED;
			break;
		}
		if (counted == COUNT_LOST)
			continue;
		if (limits.mode == MODE_OBSERVE) {
			atomic_fetch_add_explicit(&table->header->observed, 1, memory_order_relaxed);
			atomic_fetch_add_explicit(&table->notes[entry].refused, 1, memory_order_relaxed);
			limit = LIMIT_NONE;
			continue;
		}
		if (limit != LIMIT_DENY && checks++ < CHECKS && (checked = check_client(table, entry, connection)) == CHECK_FREED) {
			tries = 0;
			continue;
		}
		if (checked == CHECK_BLIND)
			atomic_fetch_add_explicit(&table->header->unverified, 1, memory_order_relaxed);
		atomic_fetch_add_explicit(&table->header->refused, 1, memory_order_relaxed);
		atomic_fetch_add_explicit(&table->notes[entry].refused, 1, memory_order_relaxed);
		return VERDICT_REFUSED;
	}
	atomic_fetch_add_explicit(&table->header->uncounted, 1, memory_order_relaxed);
	return VERDICT_UNCOUNTED;
}

/* The state of a held record. False if it is gone. */
static bool still_held(const struct table *table, reference held, uint64_t *state)
{
	if (held == 0 || slot_of(held) >= table->capacity)
		return false;
	*state = atomic_load(&table->record[slot_of(held)].state);
	return record_kind(*state) == RECORD_OPEN && record_generation(*state) == generation_of(held);
}

bool table_hold(struct table *table, reference held)
{
	uint64_t state;

	while (still_held(table, held, &state)) {
		/* At the most that fits, the number stays: the record is then dropped by the kernel's word alone. */
		if ((state & RECORD_REFERENCES) == RECORD_REFERENCES)
			return true;
		if (atomic_compare_exchange_weak(&table->record[slot_of(held)].state, &state, state + 1))
			return true;
	}
	return false;
}

void table_drop(struct table *table, reference held)
{
	uint64_t state;

	while (still_held(table, held, &state)) {
		uint64_t references = state & RECORD_REFERENCES;

		if (references == RECORD_REFERENCES)
			return;
		if (references > 1) {
			if (atomic_compare_exchange_weak(&table->record[slot_of(held)].state, &state, state - 1))
				return;
			continue;
		}
		uint32_t owner = atomic_load_explicit(&table->owner[slot_of(held)], memory_order_acquire);
		if (owner == 0 || owner > table->entries)
			return;
		/* Read before the slot is freed: a mend that comes between has counted the slot or not, and by the changed
		 * generation we know that the count is its business. */
		uint64_t generation = client_generation(atomic_load(&table->entry[owner - 1].word));
		uint32_t entry;
		if (record_free(table, slot_of(held), state, &entry)) {
			if (entry == owner - 1)
				client_uncount(table, entry, generation);
			return;
		}
	}
}

void table_let_fly(struct table *table, reference held)
{
	const uint64_t one = UINT64_C(1) << RECORD_FLIGHT_SHIFT;
	uint64_t state;

	while (still_held(table, held, &state)) {
		if ((state & RECORD_FLIGHT) == RECORD_FLIGHT)
			return;
		if (atomic_compare_exchange_weak(&table->record[slot_of(held)].state, &state, state + one))
			return;
	}
}

bool table_drop_unless_last(struct table *table, reference held)
{
	uint64_t state;

	while (still_held(table, held, &state) && (state & RECORD_REFERENCES) > 1) {
		if ((state & RECORD_REFERENCES) == RECORD_REFERENCES)
			return true;
		if (atomic_compare_exchange_weak(&table->record[slot_of(held)].state, &state, state - 1))
			return true;
	}
	return false;
}

bool table_land(struct table *table, reference held)
{
	const uint64_t one = UINT64_C(1) << RECORD_FLIGHT_SHIFT;
	uint64_t state;

	while (still_held(table, held, &state) && (state & RECORD_FLIGHT) != 0)
		if (atomic_compare_exchange_weak(&table->record[slot_of(held)].state, &state, state - one))
			return true;
	return false;
}

static bool same_connection(const struct connection *a, const struct connection *b)
{
	return a->peer.port == b->peer.port && a->local.port == b->local.port &&
	       memcmp(&a->peer.address, &b->peer.address, sizeof(a->peer.address)) == 0 &&
	       memcmp(&a->local.address, &b->local.address, sizeof(a->local.address)) == 0;
}

reference table_adopt(struct table *table, const struct connection *connection)
{
	const uint64_t one = UINT64_C(1) << RECORD_FLIGHT_SHIFT;
	uint32_t extent = record_extent(table);
	struct limits limits;
	uint32_t entry;
	uint64_t word;

	limits_read(table, &limits);
	struct network network = limits_client(&limits, &connection->peer.address);
	if (!client_find(table, client_fingerprint(table, &network), &entry, &word))
		return 0;
	for (uint32_t slot = record_next(table, entry, 0, extent); slot < extent; slot = record_next(table, entry, slot + 1, extent)) {
		struct connection found;
		uint64_t state;

		if (!record_read(table, slot, &state, &found) || !same_connection(&found, connection))
			continue;
		reference held = (reference)record_generation(state) << 32 | (slot + 1);
		while (still_held(table, held, &state)) {
			bool flying = (state & RECORD_FLIGHT) != 0;
			if (!flying && (state & RECORD_REFERENCES) == RECORD_REFERENCES)
				return held;
			if (atomic_compare_exchange_weak(&table->record[slot].state, &state, flying ? state - one : state + 1))
				return held;
		}
	}
	return 0;
}

uint32_t table_count(const struct table *table, const struct address *address)
{
	struct limits limits;
	uint32_t entry;
	uint64_t word;

	limits_read(table, &limits);
	struct network network = limits_client(&limits, address);
	if (!client_find(table, client_fingerprint(table, &network), &entry, &word))
		return 0;
	return (uint32_t)(word & CLIENT_COUNT);
}

bool table_client(const struct table *table, uint32_t entry, struct client_facts *facts)
{
	const struct client_notes *notes = &table->notes[entry];
	uint64_t words[2];

	uint64_t word = atomic_load(&table->entry[entry].word);
	uint64_t fingerprint = atomic_load(&table->entry[entry].fingerprint);
	if (fingerprint == 0 || (word & CLIENT_TENTATIVE) != 0)
		return false;
	words[0] = atomic_load_explicit(&notes->address[0], memory_order_relaxed);
	words[1] = atomic_load_explicit(&notes->address[1], memory_order_relaxed);
	memcpy(facts->network.address.bytes, words, sizeof(words));
	facts->network.prefix = (uint8_t)atomic_load_explicit(&notes->prefix, memory_order_relaxed);
	facts->open = (uint32_t)(word & CLIENT_COUNT);
	facts->limit = atomic_load_explicit(&notes->limit, memory_order_relaxed);
	facts->peak = atomic_load_explicit(&notes->peak, memory_order_relaxed);
	facts->refused = atomic_load_explicit(&notes->refused, memory_order_relaxed);
	facts->entry = entry;
	/* The notes are advice: they belong to this entry only if the address is the one that the fingerprint was made of. */
	return facts->network.prefix <= 128 && client_fingerprint(table, &facts->network) == fingerprint;
}
