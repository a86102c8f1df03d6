/* The table of one daemon: which client has which connections.
 *
 * `struct table` is a process's own view of the shared memory that layout.h describes. A child made by fork inherits it.
 *
 * Unless stated otherwise, functions are thread-safe and async-signal-safe, allocate nothing, wait for no other process, and
 * keep errno on success. */
#ifndef CONNLIMIT_TABLE_H
#define CONNLIMIT_TABLE_H

#include "values/connection.h"
#include "values/hot.h"
#include "table/layout.h"
#include "table/segment.h"
#include "settings/settings.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct table {
	/* Read by each admission and release: one cache line, if aligned. */
	struct table_header *header;
	struct client_entry *entry;
	_Atomic uint32_t *owner;
	struct record *record;
	uint32_t capacity; /* slots; a power of two */
	uint32_t entries;  /* client entries: one and a half times the slots. As many networks' entries follow */
	uint32_t
	    pid; /* of this process; 0 if that is not in the table's pid namespace, where its pid would mean another process */
	uint64_t secret[2]; /* our copy, so that changes of the shared one have no effect on us */

	struct limit_block *blocks;
	struct client_notes *notes; /* only through clients.h */
	_Atomic uint64_t *high;	    /* of clients' addresses, where the entry has the second half and the first is not 0 */
	_Atomic uint32_t *within;
	struct address *named;
	struct segment segment;
	struct event_ring *events;
	/* What this process has paid for its own searches (search.h), as the word in the header is anybody's. It pays no more
	 * than all do, so it has to wait for itself only if somebody else has written there. */
	struct pace own_searches;
};

/* Names a record: slot + 1 and generation. 0 is none. Once the record is freed it names nothing. */
typedef uint64_t reference;

/* Whether a table is in a segment or, as none was available, in anonymous memory. */
enum table_degraded { TABLE_SHARED, TABLE_ANONYMOUS };

/* Attaches this user's table `name`, or makes it with `settings` and the content of their lists (lists.h) as its first limits;
 * *made (if not NULL) says which. With settings NULL it only attaches. May wait up to 0.2 s for another process that is making
 * the table. Not async-signal-safe. Returns false with errno: ENOENT if there is none and settings is NULL; otherwise as
 * segment_make. */
bool table_open_listed(struct table *table, const char *name, const struct settings *settings, const struct rules_index *listed,
		       bool *made);

/* As table_open_listed, in memory that is shared only with later children. */
bool table_open_anonymous_listed(struct table *table, const char *name, const struct settings *settings,
				 const struct rules_index *listed);

/* Without lists. */
static inline bool table_open(struct table *table, const char *name, const struct settings *settings, bool *made)
{
	return table_open_listed(table, name, settings, NULL, made);
}

static inline bool table_open_anonymous(struct table *table, const char *name, const struct settings *settings)
{
	return table_open_anonymous_listed(table, name, settings, NULL);
}

/* Attaches the table in segment `id`. False if it is not a table of this layout. */
bool table_open_id(struct table *table, int id);

/* As table_open_id, on memory that is already mapped, or on a copy of a table: for reading only. No page is written to. Zero
 * pages of a copy look like pages that were never used. The mapping remains the caller's. */
bool table_look_at(struct table *table, void *base, size_t size);

/* Sets `pid` again, in a process that may be in another pid namespace than the one that had the table before. */
void table_know_pid(struct table *table);

/* Whether mapped memory, of at least a page, is a table of another version of connlimit. `version` and `name` are those that
 * the table claims, and may be any texts; *layout is the version of its layout. */
enum { VERSION_TEXT = 17 };
bool table_is_of_another_version(const void *base, char version[VERSION_TEXT], char name[TABLE_NAME_MOST + 1],
				 uint64_t *layout);

/* Whether this user has a table of that name that another version made and that is in use. */
bool table_has_other_version(const char *name, char version[VERSION_TEXT]);

/* The version of our layout. */
uint64_t table_layout(void);

/* Whether a piece of memory of this size can be a table. */
bool table_has_size(size_t size);

/* This process's network namespace, as the inode of /proc/self/ns/net (namespaces(7)); 0 if /proc is not available. */
uint64_t network_namespace(void);

/* Detaches the table. When the last process detaches it, it is gone. */
void table_leave(struct table *table);

/* Removes tables of this user that no process has had attached for ten seconds. */
void table_remove_abandoned(void);

/* Bytes of shared memory for so many slots (rounded up to a power of two). Only pages in use become resident. */
size_t table_size(uint32_t capacity);

/* ---- limits ---- */

/* The limits in effect, without the rules. */
struct limits {
	uint64_t version; /* changes with every publication */
	uint32_t per_ip;
	uint32_t total;
	uint32_t per_uid;
	uint32_t cluster_per_ip;
	struct rate rate;
	uint16_t rules;
	uint8_t refuse;
	uint8_t mode;
	/* These four together say how connections are grouped (regroup.h). */
	uint8_t ipv4_prefix;
	uint8_t ipv6_prefix;
	uint8_t network_ipv4_prefix; /* NETWORKS_OFF: connections are not counted for networks */
	uint8_t network_ipv6_prefix;
	int8_t signal;
	uint8_t balancers; /* how many networks of them are named */
	uint8_t log;
	uint8_t lists;
	uint16_t unused;
	uint16_t keepalive; /* seconds, 0 for none */
};

enum { NETWORKS_OFF = 255 };
_Static_assert(RULES_MOST <= UINT16_MAX, "limits.rules");

/* A consistent copy of the limits in effect. */
void limits_read(const struct table *table, struct limits *limits);

/* Takes a sequence number. Call it before the file is read, so that an older file never replaces a newer one. */
uint64_t limits_turn(struct table *table);

/* Publishes settings and the content of their lists to every process at once; with `listed` NULL, the content of the lists in
 * effect is kept. If a later turn was already published, does nothing and returns true. False if others are publishing right
 * now. For a table that has connections, use regroup_publish. */
bool limits_publish_listed(struct table *table, uint64_t turn, const struct settings *settings,
			   const struct rules_index *listed);

/* Keeps the content of the lists in effect. */
static inline bool limits_publish(struct table *table, uint64_t turn, const struct settings *settings)
{
	return limits_publish_listed(table, turn, settings, NULL);
}

/* limits_keep_start keeps the settings that the daemon was started with, before any file was read, for `connlimit reload`. A
 * new start of the daemon replaces them, and claims the place before if it has more to replace: false if another process has
 * claimed it and lives. limits_start returns them, or the defaults if none were kept; false if a start is
 * writing them right now, or died while doing so. */
void limits_keep_start(struct table *table, const struct settings *settings);
bool limits_claim_start(struct table *table);
bool limits_start(const struct table *table, struct settings *settings);

/* Notes for `status` that a reload failed, and why. If not everyone may read the file, only the position in the file is noted,
 * not its content: a worker can read the table even if it may not read the file. */
void limits_failed(struct table *table, const struct settings_error *error);

/* Copies all settings in effect. False if they changed during each attempt. */
bool limits_copy(const struct table *table, struct settings *settings);

/* The network that an address is counted with, as one client. */
static inline struct network limits_client(const struct limits *limits, const struct address *address)
{
	unsigned prefix = address_is_ipv4(address) ? 96U + limits->ipv4_prefix : limits->ipv6_prefix;

	return (struct network){.address = address_masked(*address, prefix), .prefix = (uint8_t)prefix};
}

static inline bool limits_count_networks(const struct limits *limits)
{
	return __builtin_expect(limits->network_ipv4_prefix != NETWORKS_OFF, 0);
}

/* The network that an address is counted with, if connections are counted for networks. */
static inline struct network limits_network(const struct limits *limits, const struct address *address)
{
	unsigned prefix = address_is_ipv4(address) ? 96U + limits->network_ipv4_prefix : limits->network_ipv6_prefix;

	return (struct network){.address = address_masked(*address, prefix), .prefix = (uint8_t)prefix};
}

/* The limit and rate that apply to a connection. */
struct applied {
	uint32_t limit; /* a count, LIMIT_DENY or LIMIT_NONE */
	bool by_rule;
	struct rate rate;
};
struct applied limits_for(const struct table *table, const struct limits *limits, const struct connection *connection);

/* Whether a rule exempts the connection from limits: no other than the total, and no ban, is for it. */
static inline bool applied_exempts(const struct applied *applied)
{
	return applied->limit == LIMIT_NONE && applied->by_rule;
}

/* How often a client must be refused to be banned, under these limits; seconds 0 for never, and if they are not in effect any
 * more. */
struct ban limits_ban(const struct table *table, const struct limits *limits);

/* What applies to the network of a connection, by the same publication: a count or LIMIT_NONE. If limits were published since,
 * there is no limit; who decides notices that then. */
struct applied limits_for_network(const struct table *table, const struct limits *limits, const struct connection *connection);

/* Reads the limits in effect and finds what applies, both from the same publication. */
struct applied limits_apply(const struct table *table, struct limits *limits, const struct connection *connection);

/* Stores what was last applied in the client's or the network's entry, for `status` and `suggest`. */
void limits_note(struct table *table, uint32_t entry, const struct applied *applied);

/* The client that a connection belongs to. */
static inline struct network limits_client_of(const struct limits *limits, const struct connection *connection)
{
	if (connection_is_unix(connection))
		return (struct network){.address = connection->peer.address, .prefix = NETWORK_UID};
	return limits_client(limits, connection_client(connection));
}

/* Whether a peer is a balancer, by the limits in effect. */
bool limits_name_balancer(const struct table *table, const struct address *peer);

/* The text of CONNLIMIT_REFUSE=text:... */
void limits_refuse_text(const struct table *table, char text[REFUSE_TEXT_MOST + 1]);

/* ---- admission ---- */

enum verdict {
	VERDICT_ADMITTED,  /* counted; *held names the record */
	VERDICT_UNCOUNTED, /* admitted, but not recorded: the table is full, or mode is off; *held is 0 */
	VERDICT_REFUSED,
};

/* Decides on a connection that is open now. Before a client is refused the kernel is asked (check.h); for that, this may open,
 * use and close a descriptor. Otherwise it makes no system call. errno may change. */
enum verdict table_admit(struct table *table, const struct connection *connection, reference *held);

/* As table_admit, and gives the reason. `refusal` is all zero if no limit was reached. In observe mode it is also set for a
 * connection that was admitted but would have been refused. */
struct refusal {
	enum refusal_reason reason;
	bool observed;
	bool uncounted;	 /* admitted without a record: no room in the table, or no time */
	bool unverified; /* the kernel could not be asked in any way: decided by the connections that are certainly open */
	struct network client;
	uint32_t entry;
	uint32_t limit;	 /* the count that was reached; 0 for a rate, a ban, and for deny */
	uint32_t banned; /* seconds: how long the ban lasts for which it is refused, or that begins with this; 0: none */
	uint8_t how;	 /* enum refuse_how */
	uint8_t log;	 /* enum log_to */
	uint16_t spent;	 /* us of the decision's budget (values/budget.h), for who goes on with the next connection */
};
enum verdict table_decide(struct table *table, const struct connection *connection, reference *held, struct refusal *refusal);

/* The same for a connection whose local address may not have been asked for yet (connection_ask_later). It is asked for when a
 * rule may need it, when a record is made, or before the kernel is asked about the client's connections. */
enum verdict table_decide_arrival(struct table *table, struct connection *connection, reference *held, struct refusal *refusal);

/* "per_ip", "rule", ... for enum refusal_reason; "other" for whatever has no word. */
const char *refusal_reason_word(unsigned reason);

/* Whether a refusal for this reason has a number that was reached. */
bool refusal_has_limit(unsigned reason);

/* Whether a client's ban begins with this refusal. */
static inline bool refusal_begins_ban(const struct refusal *refusal)
{
	return refusal->banned != 0 && refusal->reason != REFUSED_BAN;
}

/* Whether this refusal should be logged. Logging is rate-limited: one line per client in LOG_CLIENT_SECONDS, and LOG_LINES per
 * second for all clients together. `client_more` is the number of the client's refusals since its last line, without this one;
 * that line was `seconds` ago. `others` is the number of refusals since the last line that were not logged. */
enum { LOG_CLIENT_SECONDS = 10, LOG_LINES = 10 };
struct refusal_line {
	uint32_t client_more;
	uint32_t seconds;
	uint64_t others;
};
bool refusal_to_log(struct table *table, const struct refusal *refusal, struct refusal_line *line);

/* This process is about to close its descriptor, so it is no longer the known holder. Returns the holder until now, or
 * UINT32_MAX if the record is gone. This and the next three functions keep errno. */
uint32_t table_closing(struct table *table, reference held);

/* Changes the known holder: from this process to a child that it forked for the connection or, with `from` 0, back to a process
 * whose close failed. Pids are as in `struct table`. Does nothing if the holder is another process. */
void table_holds_on(struct table *table, reference held, uint32_t from, uint32_t to);

/* The connection was closed by its only holder: the client's count falls. A record that is doubtful or gone is not changed. */
void table_release(struct table *table, reference held);

/* The holders of the connection are not known any more: from now on only the kernel knows when it is gone. */
void table_doubt(struct table *table, reference held);

/* ---- reading ---- */

/* Connections counted for the client that `address` belongs to. */
uint32_t table_count(const struct table *table, const struct address *address);
uint32_t table_count_user(const struct table *table, uint32_t uid); /* over Unix sockets */

/* Connections counted for the network that `address` is in; 0 if they are not counted for networks. */
uint32_t table_count_network(const struct table *table, const struct address *address);

/* The entry of the client that a connection is counted with by the limits in effect, and its word. False if it has none. */
bool table_find_client(const struct table *table, const struct connection *connection, uint32_t *entry, uint64_t *word);

struct client_facts {
	struct network network;
	uint32_t open;
	uint32_t limit; /* LIMIT_NONE for none */
	bool by_rule;
	uint32_t peak;
	uint64_t refused;
	uint64_t observed; /* would have been refused, mode observe */
	uint32_t banned;   /* seconds that the ban still lasts (bans.h); 0: none */
	uint32_t entry;
};

/* Reads one entry: a client's, 0..entries-1, or a network's, from there on to twice that. False if it has no client or network,
 * or if its address is not known. */
bool table_client(const struct table *table, uint32_t entry, struct client_facts *facts);

#endif
