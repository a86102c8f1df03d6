#include "process/log.h"

#include "process/entry.h"
#include "process/limiter.h"
#include "process/report.h"

#include "table/bans.h"
#include "values/clock.h"
#include "values/text.h"

#include <string.h>

static const char *what_was_reached(enum refusal_reason reason)
{
	switch (reason) {
	case REFUSED_PER_IP: return " per client";
	case REFUSED_PER_UID: return " per user";
	case REFUSED_RULE: return " by rule";
	case REFUSED_FLEET: return " per client over the fleet";
	case REFUSED_PER_NETWORK: return " per network";
	case REFUSED_TOTAL: return " for all clients";
	default: return "";
	}
}

/* The network of the client, as the limits have it now. */
static void add_network(struct text *text, const struct connection *connection)
{
	char shown[NETWORK_TEXT];
	struct limits limits;

	limits_read(limiter_table(), &limits);
	if (!limits_count_networks(&limits))
		return;
	struct network network = limits_network(&limits, connection_client(connection));
	network_format(shown, &network);
	text_add(text, ", ");
	text_add(text, shown);
}

/* Adds who was refused: the exact address, whatever part of it identifies the client. For a Unix socket, "uid 1000". */
static void add_place(struct text *text, const struct connection *connection, const char *client)
{
	char address[ADDRESS_TEXT];

	if (connection_is_unix(connection)) {
		text_add(text, client);
	} else {
		address_format(address, connection_client(connection));
		text_add(text, address);
		if (!connection_lacks_port(connection)) {
			text_add(text, " at port ");
			text_add_number(text, connection->local.port);
		}
	}
	text_add(text, " of table ");
	text_add(text, limiter_name);
}

static void add_ban(struct text *text, const char *for_so_long, const char *for_ever, uint32_t seconds)
{
	text_add(text, seconds == BAN_FOREVER ? for_ever : for_so_long);
	if (seconds == BAN_FOREVER)
		return;
	text_add_number(text, seconds);
	text_add(text, " s");
}

void log_refusal(const struct refusal *refusal, const struct connection *connection)
{
	bool begins_ban = refusal_begins_ban(refusal);
	struct connection asked = *connection;
	const struct report_facts facts = {.event = refusal_event(refusal), .refusal = refusal, .connection = &asked};
	struct refusal_line line;
	char client[NETWORK_TEXT];
	char buffer[400];

	if (refusal->log == LOG_TO_NOWHERE || !refusal_to_log(limiter_table(), refusal, &line))
		return;
	if (connection_lacks_port(&asked))
		connection_ask(&asked);
	network_format(client, &refusal->client);
	struct text text = text_begin(buffer, sizeof(buffer));
	text_add(&text, refusal->observed ? "would refuse " : "refused ");
	add_place(&text, &asked, client);
	if (refusal->reason == REFUSED_BAN) {
		add_ban(&text, " (banned for another ", " (banned", refusal->banned);
		text_add(&text, ")");
	} else if (refusal->reason == REFUSED_RATE) {
		text_add(&text, " (over its rate)");
	} else if (refusal->limit == LIMIT_DENY) {
		text_add(&text, " (denied by rule)");
	} else {
		text_add(&text, " (limit ");
		text_add_number(&text, refusal->limit);
		text_add(&text, what_was_reached(refusal->reason));
		if (refusal->reason == REFUSED_PER_NETWORK) {
			add_network(&text, connection);
		} else if (refusal->reason != REFUSED_TOTAL && strchr(client, '/') != NULL) {
			text_add(&text, ", ");
			text_add(&text, client);
		}
		text_add(&text, ")");
	}
	if (begins_ban)
		add_ban(&text, refusal->observed ? " and ban it for " : ", and banned for ", "", refusal->banned);
	if (line.client_more > 0) {
		text_add(&text, "; ");
		text_add_number(&text, line.client_more);
		text_add(&text, " more in the last ");
		text_add_number(&text, line.seconds);
		text_add(&text, " s not shown");
	}
	if (line.others > 0) {
		text_add(&text, "; ");
		text_add_number(&text, line.others);
		text_add(&text, " of other clients not shown");
	}
	report_of(&facts, buffer, NULL);
}

/* Whether a line that is said once in a while may be said now; *not_before is for that line alone. */
static bool may_say(_Atomic uint64_t *not_before)
{
	uint64_t now = clock_ms();
	uint64_t after = atomic_load(not_before);

	return now >= after && atomic_compare_exchange_strong(not_before, &after, now + LOG_CLIENT_SECONDS * UINT64_C(1000));
}

void log_uncounted(void)
{
	static const struct report_facts facts = {.event = EVENT_UNCOUNTED};
	static _Atomic uint64_t not_before;
	struct table *table = limiter_table();
	char buffer[256];

	event_note_degraded(table, EVENT_UNCOUNTED);
	if (!may_say(&not_before))
		return;
	struct text text = text_begin(buffer, sizeof(buffer));
	text_add_number(&text, atomic_load(&table->header->uncounted));
	text_add(&text, " connections admitted uncounted so far: table ");
	text_add(&text, limiter_name);
	text_add(&text, " has room for ");
	text_add_number(&text, table->capacity);
	text_add(&text, " (CONNLIMIT_CAPACITY)");
	report_of(&facts, buffer, NULL);
}

void log_unverified(void)
{
	static const struct report_facts facts = {.event = EVENT_UNVERIFIED};
	static _Atomic bool said;

	if (!atomic_exchange(&said, true))
		report_of(&facts,
			  "the kernel cannot be asked which connections are gone (no descriptor left, or netlink and /proc "
			  "forbidden): "
			  "connections of processes that have forked or ended refuse nobody until it can",
			  NULL);
}

COLD void log_unnamed(const struct connection *connection)
{
	static _Atomic uint64_t not_before;
	char address[ADDRESS_TEXT];
	char buffer[256];

	if (!may_say(&not_before))
		return;
	struct text text = text_begin(buffer, sizeof(buffer));
	address_format(address, &connection->peer.address);
	text_add(&text, "a connection of balancer ");
	text_add(&text, address);
	text_add(&text, " counts as its own: the PROXY header is missing, malformed or late (CONNLIMIT_PROXY; ");
	text_add_number(&text, atomic_load(&limiter_table()->header->unnamed));
	text_add(&text, " so far)");
	report(buffer, NULL);
}

void log_reload_failed(const char *why)
{
	static const struct report_facts facts = {.event = EVENT_RELOAD_FAILED};

	report_of(&facts, "reload failed, the old limits stand: ", why, NULL);
}
