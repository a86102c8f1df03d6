/* The shared memory of a table: what is in it, and who may change what.
 *
 * Every process of the daemon can read and write everything here, even a process that dropped its privileges. So nothing here
 * is trusted. There are no pointers. Sizes and positions come from the process's own `struct table`, and every index that is
 * read from here is compared with them. Every loop is bounded. There are no locks: each change is one atomic instruction on one
 * word (or one 16-byte pair). A process that dies or is stopped between two changes leaves one of the states below.
 *
 * The invariant:
 *
 *     a client's count >= its slots (the entries of owner[] that name it) >= its open connections that we track
 *
 * and the same for a network, if connections are counted for networks as well: there the slots are the entries of within[].
 *
 * An admission first raises the counts, then takes the slot. A release first frees the slot, then lowers the counts. So a death
 * in between leaves a count that is too high, never too low, and nobody is admitted past the limit. A count that is too high
 * refuses no one: before a refusal, check.c compares the count with the slots, and the slots with the kernel.
 */
#ifndef CONNLIMIT_LAYOUT_H
#define CONNLIMIT_LAYOUT_H

#include "settings/rules.h"
#include "settings/settings.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define TABLE_MAGIC UINT64_C(0x3a746d6c6e6e6f63) /* "connlmt:" */

/* ---- clients ------------------------------------------------------------------------------------------------------------
 *
 * Entries lie in buckets of sixteen. A client has one entry, in one of the two buckets that its fingerprint selects.
 * `fingerprint` is 0 in an entry that was never used. `word` has these fields, from the low bits:
 *
 *     count       24 bits  connections counted
 *     tentative    1 bit   being added: counts nothing, and anyone may remove it
 *     mending      1 bit   a process is comparing the count with the slots; every change of the count clears this bit
 *     generation  38 bits  raised whenever the entry changes hands, and twice when its count is mended
 *
 * States of an entry, and the only ways between them (each one compare-and-swap):
 *
 *     unused or count 0   -> tentative for another fingerprint   16-byte swap of both words, generation + 1
 *     tentative           -> confirmed, count 0                  by the one who added it, after it saw no other entry with the
 *                                                                same fingerprint
 *     tentative           -> unused                              by anyone (the adder sees its confirmation fail and retries)
 *     confirmed, count n  -> n + 1, n - 1                        generation unchanged
 *     confirmed, count n  -> n, mending, generation + 1          a mend begins, and then counts the slots
 *     mending, count n    -> s, generation + 1                   it ends: s slots were found, n > s
 *
 * A mend raises the generation before it counts slots. Suppose an admission raised the count before that, and takes its slot
 * after it: it finds the generation changed and starts over. The mend ends with a swap. That fails if there was any admission
 * or release in between, because these clear the mending bit. The swap raises the generation again. So a release that freed its
 * slot before the slots were counted does not lower the count a second time.
 *
 * A reader reads `word` before `fingerprint`, and changes the entry only by a swap that expects the word it read. The
 * fingerprint never changes without the generation, so a successful swap proves that both belong together. Entries with count 0
 * stay until another client needs the place, since they have the client's history.
 *
 * An entry is all that most clients have: the rest is in client_notes, for those that need it. What follows the two words is
 * written by who adds the client, before it confirms the entry, and later by anyone. It is for display, but for the marks: for
 * a moment it may belong to the entry's former client. */
struct client_entry {
	_Atomic uint64_t fingerprint;
	_Atomic uint64_t word;
	_Atomic uint64_t address; /* half of it: the first, or of a prefix above 64 the second. The other half is mostly 0 */
	_Atomic uint32_t peak;	  /* PEAK_COUNT: most connections counted at once; above: prefix, 0..128 or NETWORK_UID */
	_Atomic uint32_t marks;	  /* MARKS_LIMIT: the limit that last applied + 1, 0 for none; above: MARK_ */
} __attribute__((aligned(32)));

#define PEAK_COUNT UINT32_C(0xffffff)
#define MARKS_LIMIT UINT32_C(0xffffff)
#define MARK_BY_RULE UINT32_C(0x1000000)  /* the limit came from a rule */
#define MARK_DOUBTFUL UINT32_C(0x2000000) /* a record may be doubtful: set with each, cleared by a check that finds none */
#define MARK_BANNED UINT32_C(0x4000000)	  /* the client may be banned (bans.h) */
#define MARK_NOTED UINT32_C(0x8000000)	  /* the entry's client_notes may not be zeros */

enum { BUCKET = 16, PEAK_PREFIX_SHIFT = 24 };

/* How often a swap is attempted that fails because another process was faster. Among honest processes, each failure means that
 * another one succeeded, so the limit is never reached. A process that writes to a word in an endless loop delays others by no
 * more than this (some 50 us). A process that gives up leaves a count too high or a record too many, never too few. */
enum { SWAPS_MOST = 1000 };
enum { ARRIVED = 16 }; /* local addresses remembered */

#define CLIENT_COUNT UINT64_C(0xffffff)
#define CLIENT_TENTATIVE UINT64_C(0x1000000)
#define CLIENT_MENDING UINT64_C(0x2000000)
#define CLIENT_GENERATION UINT64_C(0x4000000) /* one generation */

/* ---- networks -----------------------------------------------------------------------------------------------------------
 *
 * With a limit on networks, a connection counts for its client and for the network that the client is in. A network has an
 * entry and notes like a client, with the same states. The networks' entries follow those of the clients, as many. A record
 * names its network in within[slot], which is like owner[slot]: the network's entry + 1, or 0 for none.
 *
 * The two counts are independent: each is raised, lowered and mended by itself, and each is compared with its own slots. So a
 * process that dies between the two leaves one count that is too high, and the next refusal by it mends it.
 *
 * `networks` in the header is set before the first slot names a network, and stays. Until then nobody touches within[] and the
 * networks' entries, so that they take no memory. When the limit is set, all open connections are counted for their networks
 * by the code that regroups them after a prefix was changed (regroup.h), and likewise when it is removed. */

/* `total` in the header counts all clients together. It has the same format as a client's word, but the bit `tentative` is
 * `counting` here. It is written only while there is a limit on the total. When a limit is set, the first admission that sees
 * it turns counting on, with the count unknown (TOTAL_UNKNOWN); a mend then finds the count from the slots. When the limit is
 * removed, the first admission that sees this turns counting off. Both raise the generation, so that admissions in progress
 * notice and start over. */
#define TOTAL_COUNTING CLIENT_TENTATIVE
#define TOTAL_UNKNOWN CLIENT_COUNT

/* Until when what the kernel was asked about a client, or about all, is paid for, and the slot where the next check goes on;
 * see pace.h. 0: never asked. */
struct pace {
	_Atomic uint64_t word;
};

/* What few clients have: who was refused or checked, has a rate, a ban, or connections on other nodes of the fleet. Until an
 * entry is marked as MARK_NOTED nobody looks at its notes, not even to read, so that they take no memory: they are zeros. The
 * mark is set before the first write and stays, also when the entry changes hands; who adds a client then writes zeros. A
 * process that dies in between leaves notes that are zeros, or an entry that is tentative. One that was stopped before it wrote
 * may write when the entry has another client, as may one that adds: so nothing here is certain. A ban says whose it is; the
 * rest costs a client a token, a wait for a check, or a wrong display. */
struct client_notes {
	_Atomic uint64_t refused;
	_Atomic uint64_t observed; /* would have been refused, mode observe */
	_Atomic uint64_t tokens;   /* the rate's bucket (rate.h) */
	/* The end of the client's ban, 40 bits in ms of clock_ms (all ones: none), and below that 24 bits that say whose ban it
	 * is (bans.h). 0: none. */
	_Atomic uint64_t ban;
	_Atomic uint64_t ban_tokens; /* bucket of refusals (rate.h): none left, and the client is banned */
	struct pace pace;
	_Atomic uint32_t remote;	/* connections on other nodes of the fleet; valid until header->remote_until */
	_Atomic uint32_t shown_refused; /* low bits of `refused` and `observed` together, when one was last logged */
	_Atomic uint16_t shown_at;	/* seconds of clock_ms, low bits: when that was */
} __attribute__((aligned(64)));

/* ---- records ------------------------------------------------------------------------------------------------------------
 *
 * A connection's record is a slot: owner[slot], record[slot] and, for networks, within[slot]. owner is the client's entry + 1,
 * or 0 for none. It is a separate array, four bytes per slot, so that finding all slots of a client reads little memory.
 * `state` has these fields, from the low bits:
 *
 *     pid        30 bits  CLAIMED: of the process that is filling or emptying the slot, in the table's pid namespace; 0: it
 *                         is in another one. Otherwise 0
 *     kind        2 bits  FREE, CLAIMED, OPEN, DOUBTFUL
 *     generation 32 bits  raised by every claim; a reference names slot and generation, so an old one finds nothing
 *
 *     FREE -> CLAIMED -> owner set -> fields written -> OPEN    an admission (within is set and cleared next to owner)
 *     OPEN -> CLAIMED -> owner cleared -> FREE                  its only holder closed it, and knows that it was the only one
 *     OPEN -> DOUBTFUL                                          its holders are not known any more: it was copied, passed on,
 *                                                               or closed by a process that had forked
 *     OPEN or DOUBTFUL -> CLAIMED -> owner cleared -> FREE      the kernel does not know it any more, and `holder` is gone
 *
 * A DOUBTFUL record never becomes OPEN again: any holder may close the connection unseen at any moment. A process that dies
 * leaves its records OPEN or DOUBTFUL, and the kernel is asked about them later. It may also leave one CLAIMED. If the
 * claimer's pid no longer exists, mend.c frees the slot. If the claimer was in another pid namespace, that cannot be found out:
 * the slot counts for no client, and is lost if the claimer died in those nanoseconds. Fields are written only between CLAIMED
 * and OPEN. The swap to OPEN fails if the slot was taken away in the meantime; then the admission starts over.
 *
 * `holder` is the process that is known to have the connection open, by its pid in the table's namespace: the process that
 * accepted it, or the child that was forked for it. It is 0 if that is not known. While this process lives and has not closed
 * the connection, the daemon is busy with it, even if the client has reset it. Written by the holder, and by its parent at the
 * fork.
 *
 * named[slot] is the client that a balancer named for the connection (CONNLIMIT_PROXY), or zeros if the peer is the client
 * itself. It is written like the fields. `balanced` in the header is set before balancers are first named, and stays. Until
 * then nobody touches named[], so that it takes no memory: it is zeros.
 *
 * `local` may have a port but only zeros as its address: the address of a connection to a wildcard listener is not asked for
 * while the client has less than half of its limit (admit.c). To check such a connection, the kernel is asked about it under
 * the addresses at which others arrived. If it is not found there, it is searched for among all of the kernel's connections
 * (check.c). */
struct record {
	_Atomic uint64_t state;
	uint32_t since; /* clock_since when accepted */
	uint32_t interface;
	struct address peer;
	struct address local;
	uint16_t peer_port;
	uint16_t local_port;
	_Atomic uint32_t holder;
	uint32_t network; /* as in struct connection, by which the kernel is asked */
	uint32_t mptcp;
} __attribute__((aligned(64)));

enum record_kind { RECORD_FREE, RECORD_CLAIMED, RECORD_OPEN, RECORD_DOUBTFUL };

#define RECORD_PID UINT64_C(0x3fffffff)
#define RECORD_KIND_SHIFT 30
#define RECORD_GENERATION_SHIFT 32

_Static_assert(sizeof(struct client_entry) == 32, "two are one cache line");
_Static_assert(offsetof(struct client_entry, word) == 8, "both words are swapped at once");
_Static_assert(sizeof(struct client_notes) == 64, "one cache line");
_Static_assert(LIMIT_MOST < MARKS_LIMIT, "a limit + 1 fits beside the marks");
_Static_assert(sizeof(struct record) == 64, "one cache line");

/* Why a connection is refused. */
enum refusal_reason {
	REFUSED_NOT,
	REFUSED_PER_IP,
	REFUSED_PER_UID,
	REFUSED_RULE, /* a rule's number, or deny */
	REFUSED_TOTAL,
	REFUSED_RATE,
	REFUSED_FLEET, /* the limit over many machines */
	REFUSED_BAN,
	REFUSED_PER_NETWORK,
	REASONS
};

enum { ASKED_WAYS = 4 }; /* as many as enum kernel_way has */

/* ---- limits -------------------------------------------------------------------------------------------------------------
 *
 * Limits are published as a whole. `current` in the header is (sequence << 2 | block). A reload takes its sequence number
 * before it reads the file, claims a block that is not current, and writes it. It swaps `current` only if its sequence number
 * is still the newest, so an older file never replaces a newer one. A reader copies the block and then checks that `current`
 * has not changed, so it sees either all old limits or all new ones. A writer that dies leaves a block claimed by a dead
 * thread; the next writer takes it over. */
enum { LIMIT_BLOCKS = 4 };

/* There is one more block, the last, which is never current. It has the settings that the daemon was started with, without its
 * file, for commands that read the file again on its behalf. Each start writes it before it sets `started` in the header. If a
 * start dies while writing it, the next one replaces it. */
enum { START_BLOCK = LIMIT_BLOCKS };
#define START_WRITTEN UINT32_MAX /* no pid */

/* The settings that every admission reads: struct limits without its version. They are in the header, next to the other fields
 * that an admission reads. There is one for each block, written together with it. */
enum { LIMIT_WORDS = 5 };
struct limit_brief {
	_Atomic uint64_t word[LIMIT_WORDS];
};

/* With room for all rules and lists: 3.8 MB each, of which what is in use is resident. */
struct limit_block {
	_Atomic uint32_t writer; /* thread id, 0 for none */
	uint32_t reserved;
	struct settings settings;
	struct rules_index rules;
} __attribute__((aligned(4096)));

/* An address at which connections to wildcard listeners arrived. Only a hint: if there are too many, a new one replaces an old
 * one, and while that happens it may be read as a mixture of both. All zero: none. */
struct arrived {
	_Atomic uint64_t word[2];
};

/* A listener whose connections cannot be verified with the kernel: its address, and its port in the third word. The address is
 * written first; one swap of the port from 0 then claims the place. If two processes write at once, the address may be
 * either's. A hint, for display only. */
enum { UNVERIFIABLE = 4 };
struct unverifiable {
	_Atomic uint64_t word[3];
};

/* The last events (events.h). */
enum { EVENTS_KEPT = 512, EVENT_WORDS = 8 };
struct event_slot {
	_Atomic uint64_t word[EVENT_WORDS];
};
struct event_ring {
	_Atomic uint64_t end;	   /* position of the next event */
	_Atomic uint64_t tokens;   /* bucket of events that clients cause (rate.h) */
	_Atomic uint64_t left_out; /* of them, since the last that was noted */
	_Alignas(64) struct event_slot slot[EVENTS_KEPT];
};

/* ---- header -------------------------------------------------------------------------------------------------------------
 *
 * Written by the process that maps the segment first. Each word is set by a swap from 0, so that two processes that do so at
 * once agree without waiting. `magic` is set last. */
struct table_header {
	/* These have the same offsets in every version, so that each version can name tables of the others. `layout` is the
	 * version of the layout: a hash that the build makes of everything declared here (lib/table/meson.build). */
	_Atomic uint64_t magic;
	_Atomic uint64_t layout;
	char version[16]; /* of connlimit */
	char name[TABLE_NAME_MOST + 1];

	_Atomic uint64_t ticket; /* while the table is being made: whose turn it is (table.c); 0: not known yet */
	_Atomic uint64_t secret[2];
	_Atomic uint64_t born;	  /* ms of clock_ms */
	_Atomic uint64_t network; /* inode of the maker's network namespace, 0 if /proc did not say */
	_Atomic uint64_t pids;	  /* inode of the maker's pid namespace, 0 likewise */
	_Atomic uint32_t maker;	  /* pid of what made it or, when that had ended, of the next start that took it over */
	char program[64];	  /* basename of what made it, for people */

	/* Read by every admission, rarely written. The order of the briefs puts that of the first publication, in block 1, into
	 * the same cache line as `current` (limits.c). */
	_Alignas(64) _Atomic uint64_t current; /* limits: sequence << 2 | block */
	_Atomic uint64_t grouped;	       /* the prefixes by which connections are grouped, and how far (regroup.h) */
	_Atomic uint32_t extent;	       /* slots in use lie below this */
	/* When a connection was first seen to have another address or port than its listener (clock_since; never 0 then). That
	 * happens if a program attached to the network namespace (BPF_PROG_TYPE_SK_LOOKUP) redirects connections to a listener.
	 * From then on a listener's address is not assumed to be that of its connections. Connections that were recorded before
	 * without asking for it are searched for by their peer alone. */
	_Atomic uint32_t steered;
	struct limit_brief brief[LIMIT_BLOCKS];

	/* The last token taken (shim/process/sole.h). No two processes of the daemon have the same token. */
	_Alignas(64) _Atomic uint64_t tokens;

	_Alignas(64) _Atomic uint64_t sequence; /* of limits, the last one taken */
	_Atomic uint32_t started;		/* START_WRITTEN, or the pid of the process that is writing the start block */
	_Atomic uint64_t start;			/* id of the start whose limits these are; 0 if a library made the table */
	_Atomic uint64_t start_before;		/* of the one that it took over from: programs of that may still be executed */
	_Atomic uint64_t reloaded;		/* ms of the last reload, 0 if there was none */
	_Atomic uint64_t failed;		/* ms of the last reload that failed, 0 if there was none */
	char failure[256];			/* its error message */

	_Alignas(64) _Atomic uint64_t total; /* connections of all clients, see above */
	struct pace total_pace;
	struct pace all_pace;	   /* of all clients' checks together */
	struct pace room_pace;	   /* of the search for slots in a full table */
	struct pace search_pace;   /* of searches among all of the kernel's connections */
	_Atomic uint32_t networks; /* 1: records may name networks; read by each release */
	_Atomic uint32_t balanced; /* 1: records may name clients of balancers; read by each admission */

	/* The fleet, written by `connlimit sync`: until when (ms of clock_ms) the clients' `remote` is valid. If the sidecar
	 * dies or hears nothing, this time passes, and then only the machine's own limits apply. */
	_Atomic uint64_t remote_until;
	_Atomic uint64_t remote_heard;	  /* ms when the fleet was last heard, 0 for never */
	_Atomic uint32_t remote_sidecar;  /* pid of the process that wrote that */
	_Atomic uint32_t remote_evicting; /* 1 while Redis is configured to evict the fleet's keys */
	_Atomic uint64_t remote_mended;	  /* counts in Redis that differed from what was sent */

	/* Totals of rare events; the frequent one, admissions, is counted in `admitted`, spread so that processes do not share
	 * lines. */
	_Alignas(64) _Atomic uint64_t refused;
	_Atomic uint64_t observed;   /* would have been refused, mode observe */
	_Atomic uint64_t uncounted;  /* admitted without a record: table full or no time */
	_Atomic uint64_t unnamed;    /* came from a balancer without a header that says for whom */
	_Atomic uint64_t unverified; /* decided by the table alone, as the kernel could not be asked */
	_Atomic uint64_t checks;
	_Atomic uint64_t check_us;	       /* CPU spent in them */
	_Atomic uint64_t check_gone;	       /* records they dropped */
	_Atomic uint64_t repaired;	       /* counts they lowered */
	_Atomic uint64_t asked[ASKED_WAYS];    /* the daemon's questions to the kernel, by enum kernel_way */
	_Atomic uint64_t refused_for[REASONS]; /* of `refused` and `observed`, by enum refusal_reason */
	_Atomic uint64_t bans;		       /* that have begun */
	_Atomic uint64_t log_tokens;	       /* bucket of lines logged about refusals (rate.h) */
	_Atomic uint64_t log_left_out;	       /* refusals since the last line that were not logged */

	struct arrived arrived[ARRIVED];
	struct unverifiable unverifiable[UNVERIFIABLE];
};

_Static_assert(offsetof(struct table_header, layout) == 8 && offsetof(struct table_header, version) == 16 &&
		   offsetof(struct table_header, name) == 32 && TABLE_NAME_MOST == 63,
	       "what other versions look at");
_Static_assert(sizeof(struct table_header) <= 4096, "one page: behind a system call, each costs");
_Static_assert(offsetof(struct table_header, brief) % 64 + sizeof(struct limit_brief) == 64, "in the line of `current`");

#endif
