#include "table/events.h"

#include "table/rate.h"
#include "values/clock.h"

#include <string.h>

const char *event_word(unsigned event)
{
	static const char *const words[EVENTS] = {
	    [EVENT_OTHER] = "other",	       [EVENT_REFUSED] = "refused",   [EVENT_OBSERVED] = "observed",
	    [EVENT_BANNED] = "banned",	       [EVENT_UNBANNED] = "unbanned", [EVENT_UNCOUNTED] = "uncounted",
	    [EVENT_UNVERIFIED] = "unverified", [EVENT_RELOADED] = "reloaded", [EVENT_RELOAD_FAILED] = "reload_failed",
	    [EVENT_STARTED] = "started",       [EVENT_ENDED] = "ended",
	};

	return event < EVENTS && words[event] != NULL ? words[event] : words[EVENT_OTHER];
}

/* The slot's words behind the first. */
enum { AT, HEAD, CLIENT, ADDRESS = CLIENT + 2, NUMBERS = ADDRESS + 2, WORDS };
_Static_assert(WORDS == EVENT_WORDS - 1, "a slot is one cache line");

COLD void event_note(struct table *table, const struct event_facts *facts)
{
	uint64_t position = atomic_fetch_add(&table->events->end, 1);
	struct event_slot *slot = &table->events->slot[position % EVENTS_KEPT];
	uint64_t words[WORDS] = {
	    [AT] = clock_ms(),
	    [HEAD] = facts->event | (uint64_t)facts->reason << 8 | (uint64_t)facts->client.prefix << 16 |
		     (uint64_t)facts->port << 32 | (uint64_t)facts->left_out << 48,
	    [NUMBERS] = facts->limit | (uint64_t)facts->banned << 32,
	};

	memcpy(&words[CLIENT], &facts->client.address, sizeof(facts->client.address));
	memcpy(&words[ADDRESS], &facts->address, sizeof(facts->address));
	atomic_store(&slot->word[0], position << 1 | 1);
	for (int i = 0; i < WORDS; i++)
		atomic_store_explicit(&slot->word[1 + i], words[i], memory_order_release);
	atomic_store(&slot->word[0], position << 1);
}

COLD void event_note_seldom(struct table *table, struct event_facts *facts)
{
	static const struct rate rate = {.every_us = 1000000 / EVENTS_RATE, .burst = EVENTS_BURST};
	struct event_ring *ring = table->events;

	if (!rate_take(&ring->tokens, &rate, clock_us())) {
		atomic_fetch_add_explicit(&ring->left_out, 1, memory_order_relaxed);
		return;
	}
	uint64_t left_out = atomic_load_explicit(&ring->left_out, memory_order_relaxed);
	if (left_out != 0)
		left_out = atomic_exchange_explicit(&ring->left_out, 0, memory_order_relaxed);
	facts->left_out = left_out < UINT16_MAX ? (uint16_t)left_out : UINT16_MAX;
	event_note(table, facts);
}

COLD void event_note_degraded(struct table *table, enum event event)
{
	event_note_seldom(table, &(struct event_facts){.event = (uint8_t)event, .client.prefix = EVENT_WITHOUT_CLIENT});
}

uint64_t events_end(const struct table *table)
{
	return atomic_load(&table->events->end);
}

bool event_read(const struct table *table, uint64_t position, struct event_facts *facts)
{
	const struct event_slot *slot = &table->events->slot[position % EVENTS_KEPT];
	uint64_t words[WORDS];

	if (atomic_load(&slot->word[0]) != position << 1)
		return false;
	for (int i = 0; i < WORDS; i++)
		words[i] = atomic_load_explicit(&slot->word[1 + i], memory_order_acquire);
	if (atomic_load(&slot->word[0]) != position << 1)
		return false;
	*facts = (struct event_facts){
	    .at = words[AT],
	    .event = (uint8_t)words[HEAD],
	    .reason = (uint8_t)(words[HEAD] >> 8),
	    .client.prefix = (uint8_t)(words[HEAD] >> 16),
	    .port = (uint16_t)(words[HEAD] >> 32),
	    .left_out = (uint16_t)(words[HEAD] >> 48),
	    .limit = (uint32_t)words[NUMBERS],
	    .banned = (uint32_t)(words[NUMBERS] >> 32),
	};
	memcpy(&facts->client.address, &words[CLIENT], sizeof(facts->client.address));
	memcpy(&facts->address, &words[ADDRESS], sizeof(facts->address));
	/* The first slot of a ring that was never written to says position 0 as well. */
	if (facts->at == 0)
		return false;
	if (facts->event >= EVENT_ENDED)
		facts->event = EVENT_OTHER;
	if (facts->client.prefix > 128 && facts->client.prefix != NETWORK_UID)
		facts->client.prefix = EVENT_WITHOUT_CLIENT;
	return true;
}
