#include "table/bans.h"

#include "table/ban_word.h"
#include "table/clients.h"
#include "table/events.h"
#include "table/rate.h"
#include "values/clock.h"
#include "values/point.h"

enum { TRIES = 16 };

uint32_t ban_left(const struct table *table, uint32_t entry, uint64_t fingerprint)
{
	return ban_word_left(atomic_load(&client_notes(table, entry)->ban), fingerprint);
}

COLD uint32_t ban_look(struct table *table, uint32_t entry, uint64_t fingerprint)
{
	uint32_t left = ban_left(table, entry, fingerprint);

	if (left != 0)
		return left;
	point_reached(POINT_BAN_NOT_FOUND);
	client_unmark(table, entry, MARK_BANNED);
	left = ban_left(table, entry, fingerprint);
	if (left != 0)
		client_mark(table, entry, MARK_BANNED);
	return left;
}

/* In place of `seen`. Of several processes that refuse the client at this moment, one begins the ban. */
static bool begin(struct table *table, uint32_t entry, uint64_t fingerprint, uint64_t seen, uint32_t seconds)
{
	uint64_t until = seconds == BAN_FOREVER ? BAN_UNTIL_FOREVER : clock_ms() + (uint64_t)seconds * 1000;
	struct client_notes *notes = client_noted(table, entry);

	if (!atomic_compare_exchange_strong(&notes->ban, &seen, ban_word(fingerprint, until)))
		return false;
	point_reached(POINT_BAN_WRITTEN);
	client_mark(table, entry, MARK_BANNED);
	atomic_store_explicit(&notes->ban_tokens, 0, memory_order_relaxed);
	atomic_fetch_add_explicit(&table->header->bans, 1, memory_order_relaxed);
	return true;
}

/* Whether this refusal is one too many. What lies further ahead than refusals can have moved it is of another setting, or
 * somebody else's writing: nobody is banned for that. */
static bool is_too_often(_Atomic uint64_t *bucket, const struct rate *rate)
{
	const struct rate before = {.every_us = rate->every_us, .burst = rate->burst - 1};
	uint64_t now = clock_us();
	uint64_t seen = atomic_load_explicit(bucket, memory_order_relaxed);

	if (before.burst == 0)
		return true;
	if (seen > now + (uint64_t)before.every_us * before.burst + 1000000)
		atomic_compare_exchange_strong(bucket, &seen, 0);
	return !rate_take(bucket, &before, now);
}

COLD uint32_t ban_count(struct table *table, uint32_t entry, uint64_t fingerprint, const struct ban *ban)
{
	struct client_notes *notes = client_noted(table, entry);
	uint64_t seen = atomic_load(&notes->ban);

	if (ban_word_left(seen, fingerprint) != 0) {
		client_mark(table, entry, MARK_BANNED);
		return 0;
	}
	if (!is_too_often(&notes->ban_tokens, &ban->rate) || !begin(table, entry, fingerprint, seen, ban->seconds))
		return 0;
	return ban->seconds;
}

static void note(struct table *table, enum event event, const struct network *client, uint32_t seconds)
{
	event_note(table, &(struct event_facts){.event = (uint8_t)event, .client = *client, .banned = seconds});
}

bool ban_begin(struct table *table, const struct network *client, uint32_t seconds)
{
	uint64_t fingerprint = client_fingerprint(table, client);
	uint32_t entry;
	uint64_t word;

	/* Anew if another process bans it at this moment, or the entry has gone to another client. */
	for (int i = 0; i < TRIES; i++) {
		if (!client_find_or_add(table, fingerprint, client, &entry, &word))
			return false;
		if (begin(table, entry, fingerprint, atomic_load(&client_notes(table, entry)->ban), seconds) &&
		    atomic_load(&table->entry[entry].fingerprint) == fingerprint) {
			note(table, EVENT_BANNED, client, seconds);
			return true;
		}
	}
	return false;
}

enum ban_begun ban_address(struct table *table, const struct address *address, uint32_t seconds)
{
	const struct connection from = {.peer.address = *address};
	struct limits limits;

	struct applied applied = limits_apply(table, &limits, &from);
	if (applied_exempts(&applied))
		return BAN_EXEMPT;
	struct network client = limits_client(&limits, address);
	return ban_begin(table, &client, seconds) ? BAN_BEGUN : BAN_NO_ROOM;
}

bool ban_end(struct table *table, const struct network *client)
{
	uint64_t fingerprint = client_fingerprint(table, client);
	uint32_t entry;
	uint64_t word;

	if (!client_find(table, fingerprint, &entry, &word))
		return false;
	struct client_notes *notes = client_noted(table, entry);
	uint64_t seen = atomic_load(&notes->ban);
	for (int i = 0; i < TRIES && ban_word_left(seen, fingerprint) != 0; i++)
		if (atomic_compare_exchange_strong(&notes->ban, &seen, 0)) {
			atomic_store_explicit(&notes->ban_tokens, 0, memory_order_relaxed);
			ban_look(table, entry, fingerprint);
			note(table, EVENT_UNBANNED, client, 0);
			return true;
		}
	return false;
}

uint32_t ban_of(const struct table *table, const struct network *client)
{
	uint64_t fingerprint = client_fingerprint(table, client);
	uint32_t entry;
	uint64_t word;

	return client_find(table, fingerprint, &entry, &word) ? ban_left(table, entry, fingerprint) : 0;
}
