/* Which refusals get a line in the log: a client's first one, then few. */
#include "values/clock.h"
#include "table/clients.h"
#include "table/events.h"
#include "table/rate.h"
#include "table/table.h"

const char *refusal_reason_word(unsigned reason)
{
	static const char *const names[REASONS] = {
	    [REFUSED_NOT] = "none",	 [REFUSED_PER_IP] = "per_ip", [REFUSED_PER_UID] = "per_uid",
	    [REFUSED_RULE] = "rule",	 [REFUSED_TOTAL] = "total",   [REFUSED_RATE] = "rate",
	    [REFUSED_FLEET] = "cluster", [REFUSED_BAN] = "ban",	      [REFUSED_PER_NETWORK] = "per_network",
	};

	return reason < REASONS && names[reason] != NULL ? names[reason] : "other";
}

bool refusal_has_limit(unsigned reason)
{
	return reason != REFUSED_NOT && reason != REFUSED_RATE && reason != REFUSED_BAN;
}

COLD enum event refusal_event(const struct refusal *refusal)
{
	return refusal->observed ? EVENT_OBSERVED : refusal_begins_ban(refusal) ? EVENT_BANNED : EVENT_REFUSED;
}

COLD void refusal_note_event(struct table *table, const struct refusal *refusal, const struct connection *connection)
{
	struct event_facts facts = {
	    .event = (uint8_t)refusal_event(refusal),
	    .reason = (uint8_t)refusal->reason,
	    .port = connection_lacks_port(connection) ? 0 : connection->local.port,
	    .limit = refusal->limit,
	    .banned = refusal->banned,
	    .client = refusal->client,
	};

	if (!connection_is_unix(connection))
		facts.address = *connection_client(connection);
	event_note_seldom(table, &facts);
}

static const struct rate lines = {.every_us = 1000000 / LOG_LINES, .burst = LOG_LINES};

/* A bucket of this process alone: others with access to the table can fill the shared one. */
static _Atomic uint64_t own_tokens;

bool refusal_to_log(struct table *table, const struct refusal *refusal, struct refusal_line *line)
{
	struct client_notes *notes = client_noted(table, refusal->entry);
	struct table_header *header = table->header;
	uint16_t now = (uint16_t)(clock_ms() / 1000);
	uint16_t at = atomic_load_explicit(&notes->shown_at, memory_order_relaxed);
	uint32_t refused = (uint32_t)(atomic_load_explicit(&notes->refused, memory_order_relaxed) +
				      atomic_load_explicit(&notes->observed, memory_order_relaxed));
	uint32_t shown = atomic_load_explicit(&notes->shown_refused, memory_order_relaxed);
	bool first = shown == 0;

	if (!first && !refusal_begins_ban(refusal) && (uint16_t)(now - at) < LOG_CLIENT_SECONDS)
		return false;
	/* If several processes refuse this client now, one of them continues. */
	if (!atomic_compare_exchange_strong(&notes->shown_refused, &shown, refused))
		return false;
	atomic_store_explicit(&notes->shown_at, now, memory_order_relaxed);
	uint64_t us = clock_us();
	if (!rate_take(&header->log_tokens, &lines, us) || !rate_take(&own_tokens, &lines, us)) {
		atomic_fetch_add_explicit(&header->log_left_out, first ? 1 : refused - shown, memory_order_relaxed);
		return false;
	}
	line->client_more = first || refused - shown == 0 ? 0 : refused - shown - 1;
	line->seconds = first ? 0 : now == at ? 1 : (uint16_t)(now - at);
	line->others = atomic_exchange_explicit(&header->log_left_out, 0, memory_order_relaxed);
	return true;
}
