/* What happens to a daemon's limits, for whoever follows it (connlimit events): the last EVENTS_KEPT events lie in a ring in
 * the table. An admission writes none.
 *
 * Each event takes the next position, and with that a slot: its first word is the position's number, shifted left, with the
 * lowest bit set while the rest is written. A process that dies in between leaves that bit, and readers pass over the slot. One
 * that is so slow that the ring has gone round meanwhile writes over a newer event: both may then be read as a mixture. It is
 * for display only.
 *
 * Refusals, and what else clients can cause without end, are noted EVENTS_BURST at once and then EVENTS_RATE a second, and how
 * many were left out with the next. So a flood costs little more, and takes most of a minute to wash out the rest. Hence
 * nothing here is a count; those are in the header. */
#ifndef CONNLIMIT_EVENTS_H
#define CONNLIMIT_EVENTS_H

#include "table/table.h"

enum event {
	EVENT_OTHER,
	EVENT_REFUSED,
	EVENT_OBSERVED, /* would have been refused, mode observe */
	EVENT_BANNED,	/* a client was refused, and with that its ban has begun; or by hand, then without a reason */
	EVENT_UNBANNED, /* by hand */
	EVENT_UNCOUNTED,
	EVENT_UNVERIFIED,
	EVENT_RELOADED, /* limits were published, by `connlimit set` also */
	EVENT_RELOAD_FAILED,
	EVENT_STARTED,
	EVENT_ENDED, /* nobody writes that: the table is gone */
	EVENTS
};

/* "refused", ...; "other" for whatever has no word. */
const char *event_word(unsigned event);

enum { EVENTS_RATE = 10, EVENTS_BURST = 50, EVENT_WITHOUT_CLIENT = 254 };

struct event_facts {
	uint64_t at; /* ms of clock_ms */
	uint8_t event;
	uint8_t reason;	   /* enum refusal_reason */
	uint16_t port;	   /* the daemon's, 0 if that is not known */
	uint16_t left_out; /* refusals since the last event of one, UINT16_MAX for more */
	uint32_t limit;
	uint32_t banned;	/* seconds, as in struct refusal */
	struct network client;	/* prefix EVENT_WITHOUT_CLIENT: none */
	struct address address; /* of a refused connection; all zero if there is none */
};

/* Notes an event; `at` is now. Lock-free, async-signal-safe. */
void event_note(struct table *table, const struct event_facts *facts);

/* The same for what clients can cause without end: not, where that was too often lately. */
void event_note_seldom(struct table *table, struct event_facts *facts);

/* An event that is of no client. */
static inline void event_note_plain(struct table *table, enum event event)
{
	event_note(table, &(struct event_facts){.event = (uint8_t)event, .client.prefix = EVENT_WITHOUT_CLIENT});
}

/* Of what does not work as it should, of no client, in the same way. */
void event_note_degraded(struct table *table, enum event event);

/* The position behind the last event. What is kept is from EVENTS_KEPT before that. */
uint64_t events_end(const struct table *table);

/* Reads the event at a position. False if it is not there any more, or not whole. Whatever lay there is within its ranges. */
bool event_read(const struct table *table, uint64_t position, struct event_facts *facts);

/* Which event a refusal is. */
enum event refusal_event(const struct refusal *refusal);

/* Notes a refusal among the events but not each one of a flood. */
void refusal_note_event(struct table *table, const struct refusal *refusal, const struct connection *connection);

#endif
