#include "process/entry.h"

#include "table/bans.h"
#include "values/text.h"

#include <string.h>
#include <time.h>

/* One kind of message each, by which journalctl finds it and a catalogue explains it (sd-id128(3)). */
static const char *const message_ids[EVENTS] = {
    [EVENT_REFUSED] = "fed597dbf1ca4848a7cf7c0bf7f4870b",    [EVENT_OBSERVED] = "ee43b843fa3047c68256d485e50d321b",
    [EVENT_BANNED] = "f3d9550c8a544c5db62a8c7a88ee2aee",     [EVENT_UNCOUNTED] = "264ace2090594294812ddb13969234b3",
    [EVENT_UNVERIFIED] = "9afa461704e94e5dba4ed0b8d0809dc9", [EVENT_RELOAD_FAILED] = "e6263dd0b1c44375add3cd36e0be7e1f",
};

enum { LONGEST_ESCAPE = 6, END = 3 /* "}, and a line end */ };

/* RFC 8259, 7. What is not printable ASCII is escaped by its byte's value. */
static void add_json(struct text *text, const char *from, size_t length)
{
	static const char hex[] = "0123456789abcdef";

	for (size_t i = 0; i < length && text->left > LONGEST_ESCAPE; i++) {
		unsigned char c = (unsigned char)from[i];
		const char coded[] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15], '\0'};
		const char quoted[] = {'\\', (char)c, '\0'};
		text_add(text, c < ' ' || c >= 127 ? coded : c == '"' || c == '\\' ? quoted : quoted + 1);
	}
}

static void add_digits(struct text *text, unsigned number, unsigned digits, const char *end)
{
	for (unsigned each = digits == 4 ? 1000 : digits == 3 ? 100 : 10; each > 0; each /= 10)
		text_add_number(text, number / each % 10);
	text_add(text, end);
}

/* RFC 3339, in UTC. gmtime(3) takes a lock. Days are counted from the first of March of a year that 400 divides, so that a leap
 * day is the last of its year. */
static void add_time(struct text *text)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	unsigned days = (unsigned)(now.tv_sec / 86400) + 719468;
	unsigned second = (unsigned)(now.tv_sec % 86400);
	unsigned day = days % 146097;
	unsigned year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
	day -= 365 * year + year / 4 - year / 100;
	unsigned month = (5 * day + 2) / 153; /* 0 is March */
	add_digits(text, days / 146097 * 400 + year + (month >= 10 ? 1 : 0), 4, "-");
	add_digits(text, month < 10 ? month + 3 : month - 9, 2, "-");
	add_digits(text, day - (153 * month + 2) / 5 + 1, 2, "T");
	add_digits(text, second / 3600, 2, ":");
	add_digits(text, second / 60 % 60, 2, ":");
	add_digits(text, second % 60, 2, ".");
	add_digits(text, (unsigned)(now.tv_nsec / 1000000), 3, "Z");
}

/* A field is NAME=VALUE on a line of its own in the journal's form, and a member in JSON's. */
struct entry {
	struct text text;
	bool json;
};

static void begin_field(struct entry *entry, const char *name, bool quoted)
{
	if (entry->json) {
		text_add(&entry->text, ",\"");
		text_add(&entry->text, name);
		text_add(&entry->text, quoted ? "\":\"" : "\":");
		return;
	}
	text_add(&entry->text, "CONNLIMIT_");
	for (; *name != '\0'; name++) {
		char letter[] = {*name >= 'a' && *name <= 'z' ? (char)(*name - 'a' + 'A') : *name, '\0'};
		text_add(&entry->text, letter);
	}
	text_add(&entry->text, "=");
}

/* Of many parts, or one. No line end is in them, which would begin another field. */
static void add_text(struct entry *entry, const char *from, size_t length)
{
	if (entry->json)
		add_json(&entry->text, from, length);
	else
		text_add_escaped(&entry->text, from, length);
}

static void add_word(struct entry *entry, const char *name, const char *word)
{
	begin_field(entry, name, true);
	add_text(entry, word, strlen(word));
	text_add(&entry->text, entry->json ? "\"" : "\n");
}

static void add_number(struct entry *entry, const char *name, uint64_t number)
{
	begin_field(entry, name, false);
	text_add_number(&entry->text, number);
	text_add(&entry->text, entry->json ? "" : "\n");
}

static void add_refusal(struct entry *entry, const struct refusal *refusal, const struct connection *connection)
{
	char client[NETWORK_TEXT];

	network_format(client, &refusal->client);
	add_word(entry, "client", client);
	if (!connection_is_unix(connection)) {
		address_format(client, connection_client(connection));
		add_word(entry, "address", client);
		if (!connection_lacks_port(connection) && connection->local.port != 0)
			add_number(entry, "port", connection->local.port);
	}
	add_word(entry, "reason", refusal_reason_word(refusal->reason));
	if (refusal_has_limit(refusal->reason))
		add_number(entry, "limit", refusal->limit);
	if (refusal->banned != 0 && refusal->banned != BAN_FOREVER)
		add_number(entry, "banned_seconds", refusal->banned);
}

static void add_head(struct entry *entry, enum event event)
{
	if (entry->json) {
		text_add(&entry->text, "{\"time\":\"");
		add_time(&entry->text);
		text_add(&entry->text, "\"");
		return;
	}
	/* A warning of facility daemon, as for syslog. */
	text_add(&entry->text, "PRIORITY=4\nSYSLOG_FACILITY=3\nSYSLOG_IDENTIFIER=connlimit\n");
	if (message_ids[event] != NULL) {
		text_add(&entry->text, "MESSAGE_ID=");
		text_add(&entry->text, message_ids[event]);
		text_add(&entry->text, "\n");
	}
}

size_t entry_format(char buffer[ENTRY_MOST], enum log_to to, const char *table, const struct report_facts *facts,
		    const struct iovec *part, unsigned parts)
{
	static const struct report_facts none;
	struct entry entry = {.text = text_begin(buffer, ENTRY_MOST - END), .json = to == LOG_TO_JSON};

	if (facts == NULL)
		facts = &none;

	add_head(&entry, facts->event);
	add_word(&entry, "event", event_word(facts->event));
	if (table[0] != '\0')
		add_word(&entry, "table", table);
	if (facts->refusal != NULL)
		add_refusal(&entry, facts->refusal, facts->connection);
	text_add(&entry.text, entry.json ? ",\"message\":\"" : "MESSAGE=");
	for (unsigned i = 0; i < parts; i++)
		add_text(&entry, part[i].iov_base, part[i].iov_len);
	size_t length = (size_t)(entry.text.at - buffer);
	size_t end = entry.json ? END : 1;
	memcpy(buffer + length, entry.json ? "\"}\n" : "\n", end);
	return length + end;
}
