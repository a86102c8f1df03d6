/* Slots: claiming, publishing, doubting and freeing; see layout.h for their states. For lib's own use. */
#ifndef CONNLIMIT_RECORDS_H
#define CONNLIMIT_RECORDS_H

#include "table/table.h"

static inline unsigned record_kind(uint64_t state)
{
	return (unsigned)(state >> RECORD_KIND_SHIFT) & 3U;
}

static inline uint32_t record_generation(uint64_t state)
{
	return (uint32_t)(state >> RECORD_GENERATION_SHIFT);
}

static inline uint64_t record_state(uint32_t generation, enum record_kind kind, uint64_t low)
{
	return (uint64_t)generation << RECORD_GENERATION_SHIFT | (uint64_t)kind << RECORD_KIND_SHIFT | low;
}

/* Whether there is a connection, certain or doubtful. */
static inline bool record_is_held(uint64_t state)
{
	return record_kind(state) >= RECORD_OPEN;
}

/* Whether records may name networks, now or from the time before a limit on networks was removed. While there never was one,
 * nobody looks at within[], so that it takes no memory. */
static inline bool networks_are_named(const struct table *table)
{
	return __builtin_expect(atomic_load_explicit(&table->header->networks, memory_order_acquire) != 0, 0);
}

/* Whether records may name clients of balancers, now or from the time before the balancers were removed. While there never was
 * one, nobody looks at named[], so that it takes no memory. */
static inline bool clients_are_named(const struct table *table)
{
	return __builtin_expect(atomic_load_explicit(&table->header->balanced, memory_order_acquire) != 0, 0);
}

/* The network's entry that a record names; NO_NETWORK if none, or if what stands there is not valid (a hostile write). */
uint32_t network_of_record(const struct table *table, uint32_t slot);

/* Slots at and past this one were never used. */
uint32_t record_extent(const struct table *table);

/* Finds a free slot and claims it. False if the table is full. */
bool record_claim(struct table *table, uint32_t *slot, uint64_t *claimed);

/* Frees a claimed slot that was not used. */
void record_unclaim(struct table *table, uint32_t slot, uint64_t claimed);

/* Fills a claimed slot and publishes it as OPEN, held by this process. False if the slot was taken from us meanwhile. */
bool record_publish(struct table *table, uint32_t slot, uint64_t claimed, uint32_t entry, const struct connection *connection,
		    reference *held);

/* Frees the slot if its state is still `state`. Exactly one caller gets true. *freed has then what owner[] and within[] said at
 * that moment: entries + 1, or anything (a hostile write). */
struct freed {
	uint32_t owner;
	uint32_t within;
};
bool record_free(struct table *table, uint32_t slot, uint64_t state, struct freed *freed);

/* As record_free, and lowers the client's count, its network's and the total. True if this call freed it. */
bool record_release(struct table *table, uint32_t slot, uint64_t state);

/* Makes an OPEN record of this generation DOUBTFUL. True if this call did. */
bool record_doubt(struct table *table, uint32_t slot, uint32_t generation);

/* For record_next: any client's slot. */
#define ANY_CLIENT UINT32_MAX

/* Whether the slot belongs to the client, or to the network, that has this entry. */
bool record_belongs(const struct table *table, uint32_t slot, uint32_t entry);

/* The next slot at or after `from` that belongs to the client or to the network, up to `end`; `end` if there is none. */
uint32_t record_next(const struct table *table, uint32_t entry, uint32_t from, uint32_t end);

/* How many slots from `from` up to `end` belong to it. */
uint32_t record_number(const struct table *table, uint32_t entry, uint32_t from, uint32_t end);

/* A published slot's connection, as the kernel knows it: without a client that a balancer named. False if there is none or it
 * changed while it was copied. */
bool record_read(const struct table *table, uint32_t slot, uint64_t *state, struct connection *connection);

/* The same with the client, for which there is room at *client. */
bool record_read_with_client(const struct table *table, uint32_t slot, uint64_t *state, struct connection *connection,
			     struct address *client);

#endif
