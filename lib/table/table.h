/* The table of one daemon: who holds how many connections, and which.
 *
 * `struct table` is a process's own view of the shared memory that layout.h describes. A child made by fork inherits it.
 *
 * Unless a function says otherwise it is thread-safe, async-signal-safe, allocates nothing, waits for nobody, and leaves errno
 * as it was on success. */
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
	/* What each admission and release looks at: one cache line, where it is aligned. */
	struct table_header *header;
	struct client_entry *entry;
	_Atomic uint32_t *owner;
	struct record *record;
	uint32_t capacity; /* slots; a power of two */
	uint32_t entries;  /* client entries; a power of two, twice the slots */
	uint32_t pid; /* of this process; 0 where that is not in the table's pid namespace, and nobody there could judge it */
	uint64_t secret[2]; /* our copy: changes in the shared one do not concern us */

	struct limit_block *blocks;
	struct client_notes *notes;
	struct segment segment;
};

/* Names a record: slot + 1 and generation. 0 is none. Once the record is freed it names nothing. */
typedef uint64_t reference;

/* Where a table could not be had as asked. */
enum table_degraded { TABLE_SHARED, TABLE_ANONYMOUS };

/* Attaches this user's table `name`, or makes it with `settings`, and what their lists have (lists.h), as its first limits
 * (`made`, if not NULL, tells). With
 * settings NULL it is only attached. May wait for another process that is making it, up to 0.2 s. Not async-signal-safe. False
 * with errno: ENOENT there is none and settings is NULL; otherwise as segment_make. */
bool table_open_listed(struct table *table, const char *name, const struct settings *settings, const struct rules_index *listed,
		       bool *made);

/* As table_open_listed on memory shared with later children only. */
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

/* Attaches the table in segment `id` for looking at. False if it is not a table of this layout. */
bool table_open_id(struct table *table, int id);

/* As table_open_id on memory that is mapped already, or on a copy of a table: for looking only. None of its pages is written
 * to, and those of the copy that are zero look as if they were never used. The mapping stays the caller's. */
bool table_look_at(struct table *table, void *base, size_t size);

/* Sets `pid` anew, in a process that may be in another pid namespace than the one that had the table before. */
void table_know_pid(struct table *table);

/* Whether memory that is mapped, of at least a page, is a table of another version of connlimit. `version` is what that says of
 * itself, and may be any text; *layout its layout's version. */
enum { VERSION_TEXT = 17 };
bool table_is_of_another_version(const void *base, char version[VERSION_TEXT], uint64_t *layout);

/* Whether this user has a table of that name that another version made and that is in use. */
bool table_has_other_version(const char *name, char version[VERSION_TEXT]);

/* The version of our layout. */
uint64_t table_layout(void);

/* Whether a piece of memory of this size can be a table. */
bool table_has_size(size_t size);

/* The network namespace that this process is in, as stat(2) of /proc/self/ns/net gives it (namespaces(7)); 0 if /proc is not
 * there. */
uint64_t network_namespace(void);

/* Leaves the table; with the last process that leaves it is gone. */
void table_leave(struct table *table);

/* Removes tables of this user that nobody has had attached for ten seconds. */
void table_remove_abandoned(void);

/* Bytes of shared memory for so many slots (rounded up to a power of two). Only pages in use become resident. */
size_t table_size(uint32_t capacity);

/* ---- limits ---- */

/* The limits in force, without the rules. */
struct limits {
	uint64_t version; /* changes with every publication */
	uint32_t per_ip;
	uint32_t total;
	uint32_t per_uid;
	uint32_t cluster_per_ip;
	struct rate rate;
	uint32_t rules;
	uint8_t ipv4_prefix;
	uint8_t ipv6_prefix;
	uint8_t refuse;
	uint8_t mode;
	int32_t signal;
	uint8_t log;
	uint8_t lists;
	uint16_t keepalive; /* seconds, 0 for none */
};

/* A consistent copy of the limits in force. */
void limits_read(const struct table *table, struct limits *limits);

/* Takes a place in the order of reloads; to be taken before the file is read, so that an older file never overtakes. */
uint64_t limits_turn(struct table *table);

/* Publishes settings to every process at once, unless a later turn was published already (true: nothing to do), and what their
 * lists have; NULL: what those in force have. False when others are publishing right now. For a table that has connections
 * there is regroup_publish. */
bool limits_publish_listed(struct table *table, uint64_t turn, const struct settings *settings,
			   const struct rules_index *listed);

/* With what is in force of lists. */
static inline bool limits_publish(struct table *table, uint64_t turn, const struct settings *settings)
{
	return limits_publish_listed(table, turn, settings, NULL);
}

/* Keeps what the daemon was started with, before any file was read, for `connlimit reload`; and gives it back, or the defaults
 * if nobody kept it. A new start of the daemon replaces it; false if one does so at this moment, or died over it. */
void limits_keep_start(struct table *table, const struct settings *settings);
bool limits_start(const struct table *table, struct settings *settings);

/* Notes for `status` that a reload failed, and why; where in the file, but not what stands there, if that is not for everyone:
 * a worker may read the table that may not read the file. */
void limits_failed(struct table *table, const struct settings_error *error);

/* Copies the whole settings in force. False if they changed under us each time. */
bool limits_copy(const struct table *table, struct settings *settings);

/* The part of an address that is one client, and its length in bits (0..128). */
static inline struct network limits_client(const struct limits *limits, const struct address *address)
{
	unsigned prefix = address_is_ipv4(address) ? 96U + limits->ipv4_prefix : limits->ipv6_prefix;

	return (struct network){.address = address_masked(*address, prefix), .prefix = (uint8_t)prefix};
}

/* What applies to a connection. */
struct applied {
	uint32_t limit; /* a count, LIMIT_DENY or LIMIT_NONE */
	bool by_rule;
	struct rate rate;
};
struct applied limits_for(const struct table *table, const struct limits *limits, const struct connection *connection);

/* Reads the limits in force and finds what applies, both of the same publication. */
struct applied limits_apply(const struct table *table, struct limits *limits, const struct connection *connection);

/* Notes at a client's entry, for `status` and `suggest`, what was applied last. */
void limits_note(struct table *table, uint32_t entry, const struct applied *applied);

/* The client that a connection belongs to. */
static inline struct network limits_client_of(const struct limits *limits, const struct connection *connection)
{
	if (connection_is_unix(connection))
		return (struct network){.address = connection->peer.address, .prefix = NETWORK_UID};
	return limits_client(limits, &connection->peer.address);
}

/* The text of CONNLIMIT_REFUSE=text:... */
void limits_refuse_text(const struct table *table, char text[REFUSE_TEXT_MOST + 1]);

/* ---- admission ---- */

enum verdict {
	VERDICT_ADMITTED,  /* counted; *held names the record */
	VERDICT_UNCOUNTED, /* admitted, but not recorded: no room in the table, or mode off; *held is 0 */
	VERDICT_REFUSED,
};

/* Decides on a connection that is open now. The kernel is asked before anyone is refused (check.h), for which this may open,
 * use and close a descriptor; otherwise it makes no system call. errno may change. */
enum verdict table_admit(struct table *table, const struct connection *connection, reference *held);

/* As table_admit, and tells why. `refusal` is all zero when nothing stood against the connection; in observe mode it is set for
 * one that was admitted but would not have been. */
struct refusal {
	enum refusal_reason reason;
	bool observed;
	bool uncounted;	 /* admitted without a record: no room in the table, or no time */
	bool unverified; /* the kernel could not be asked in any way: decided by the connections that are open for certain */
	struct network client;
	uint32_t entry;
	uint32_t limit; /* the count that was reached; 0 for a rate, and for deny */
	uint8_t how;	/* enum refuse_how */
	uint8_t log;	/* enum log_to */
};
enum verdict table_decide(struct table *table, const struct connection *connection, reference *held, struct refusal *refusal);

/* The same for a connection whose local address may not have been asked for (connection_ask_later); it is as soon as a rule may
 * want it, a record is made, or the kernel is to be asked about the client's connections. */
enum verdict table_decide_arrival(struct table *table, struct connection *connection, reference *held, struct refusal *refusal);

/* Whether a line should be logged about this refusal, so that a flood makes few: a client gets one in LOG_CLIENT_SECONDS, all
 * together LOG_LINES in a second. `client_more` are the refusals of the client since its last line, which was `seconds` ago,
 * not counting this one; `others` those of clients that got no line since the last. */
enum { LOG_CLIENT_SECONDS = 10, LOG_LINES = 10 };
struct refusal_line {
	uint32_t client_more;
	uint32_t seconds;
	uint64_t others;
};
bool refusal_to_log(struct table *table, const struct refusal *refusal, struct refusal_line *line);

/* This process is about to close its descriptor: from now on it is not known to hold the connection. Returns who was, before;
 * UINT32_MAX if the record is gone. errno is kept by this and the next three. */
uint32_t table_closing(struct table *table, reference held);

/* Passes the known holder on: from this process to a child that it made for the connection, or, `from` 0, back to one whose
 * close failed. Pids as in `struct table`. Nothing if the holder is another one. */
void table_holds_on(struct table *table, reference held, uint32_t from, uint32_t to);

/* The connection is closed, and whoever closed it was its one holder: the client's count falls. A record that is doubtful, or
 * gone, stays as it is. */
void table_release(struct table *table, reference held);

/* Who holds the connection is not known any more: from now on only the kernel tells when it is gone. */
void table_doubt(struct table *table, reference held);

/* ---- looking ---- */

/* Connections counted for the client that `address` belongs to. */
uint32_t table_count(const struct table *table, const struct address *address);
uint32_t table_count_user(const struct table *table, uint32_t uid); /* over Unix sockets */

struct client_facts {
	struct network network;
	uint32_t open;
	uint32_t limit; /* LIMIT_NONE for none */
	bool by_rule;
	uint32_t peak;
	uint64_t refused;
	uint64_t observed; /* would have been refused, mode observe */
	uint32_t entry;
};

/* Reads entry 0..entries-1; false if no client is there or its address is not known. */
bool table_client(const struct table *table, uint32_t entry, struct client_facts *facts);

#endif
