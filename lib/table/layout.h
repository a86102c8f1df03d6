/* What lies in the shared memory of a table, and who may change what.
 *
 * Everything here can be read and written by every process of the daemon, those that dropped privileges included, so nothing
 * here is believed: there are no pointers, sizes and places come from the process's own `struct table`, every index read from
 * here is compared with them, every walk has an end. There are no locks: each change is one atomic instruction on one word (or
 * one 16-byte pair), and a process that dies or is stopped between two of them leaves one of the states below.
 *
 * The invariant that everything keeps:
 *
 *     a client's count >= its slots (the entries of owner[] that name it) >= its open connections that we track
 *
 * An admission raises the count first and takes the slot after; a release frees the slot first and lowers the count after. So
 * a death in between leaves a count too high, never too low, and nobody is admitted past the limit. A count too high refuses
 * no one, because before a refusal check.c compares the count with the slots, and the slots with the kernel.
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
 * A client is an entry in a bucket of eight, in one of the two buckets that its fingerprint chooses. `fingerprint` 0 is an
 * entry that was never used. `word` holds, from the low bits:
 *
 *     count       24 bits  connections counted
 *     tentative    1 bit   being added: counts nothing, and anyone may throw it out
 *     mending      1 bit   somebody compares the count with the slots; every change of the count clears it
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
 * A mend raises the generation before it counts slots, so that an admission which counted itself earlier and takes its slot
 * later finds that out and starts anew; it ends by a swap that any admission or release in between makes fail, as that clears
 * the mark; and it raises the generation again, so that a release whose slot was no longer found does not lower the count a
 * second time.
 *
 * Whoever reads an entry reads `word` before `fingerprint` and acts only by a swap that expects the word it read: as the
 * fingerprint never changes without the generation, success proves that both belonged together. Entries with count 0 stay (they
 * hold the client's history) until another client needs the place. */
struct client_entry {
	_Atomic uint64_t fingerprint;
	_Atomic uint64_t word;
	/* Notes, as struct client_notes below, but those that an admission looks at: so it touches one line of its client. */
	_Atomic uint32_t limit;	  /* the limit that last applied, LIMIT_NONE for none */
	_Atomic uint32_t peak;	  /* most connections counted at once */
	_Atomic uint32_t remote;  /* connections that other nodes of the fleet hold, while header->remote_until is not past */
	_Atomic uint8_t by_rule;  /* the limit came from a rule */
	_Atomic uint8_t doubtful; /* a record of the client may be: set by every mark, cleared by a check that finds none */
	uint8_t unused[2];
} __attribute__((aligned(32)));

enum { BUCKET = 8 };

/* A swap that fails because another was faster is tried again this often. Among honest processes one of them gets on with each
 * failure, so it never comes to that; one that writes to a word without end holds nobody up for longer (some 50 us). Whoever
 * gives up leaves a count or a reference too many, never one too few. */
enum { SWAPS_MOST = 1000 };
enum { ARRIVED = 16 }; /* local addresses remembered */

#define CLIENT_COUNT UINT64_C(0xffffff)
#define CLIENT_TENTATIVE UINT64_C(0x1000000)
#define CLIENT_MENDING UINT64_C(0x2000000)
#define CLIENT_GENERATION UINT64_C(0x4000000) /* one generation */

/* All clients together are counted in a word of the same form, `total` in the header; where a client's has `tentative`, it has
 * `counting`. It is touched only while there is a limit on the total. When one is set, the first admission that sees it turns
 * counting on with the count unknown (TOTAL_UNKNOWN), and a mend then finds the count from the slots; the first that sees
 * no limit any more turns it off. Both raise the generation, by which an admission under way notices and starts anew. */
#define TOTAL_COUNTING CLIENT_TENTATIVE
#define TOTAL_UNKNOWN CLIENT_COUNT

/* Until when what the kernel was asked about a client, or about all, is paid for, and the slot where the next check goes on;
 * see pace.h. 0: never asked. */
struct pace {
	_Atomic uint64_t word;
};

/* What is known of a client beside its count. Advice only: it may belong to the entry's former client for a moment, and is
 * shown only if the address still hashes to the entry's fingerprint. */
struct client_notes {
	_Atomic uint64_t address[2]; /* struct address, masked */
	_Atomic uint64_t refused;
	_Atomic uint64_t observed; /* would have been refused, mode observe */
	_Atomic uint64_t tokens;   /* the rate's bucket (rate.h) */
	struct pace pace;
	_Atomic uint32_t shown_refused; /* low bits of `refused` and `observed` together, when one was last logged */
	_Atomic uint16_t shown_at;	/* seconds of clock_ms, low bits: when that was */
	_Atomic uint8_t prefix;		/* 0..128, as in struct network, or NETWORK_UID */
	uint8_t unused;
};

/* ---- records ------------------------------------------------------------------------------------------------------------
 *
 * A connection's record is a slot: owner[slot] and record[slot]. owner is the client's entry + 1, or 0 for nobody; it lies
 * apart, four bytes a slot, so that all slots of a client are found by running over it. `state` holds, from the low bits:
 *
 *     pid        30 bits  CLAIMED: of the process that is filling or emptying the slot, in the table's pid namespace; 0: it
 *                         is in another one. Otherwise 0
 *     kind        2 bits  FREE, CLAIMED, OPEN, DOUBTFUL
 *     generation 32 bits  raised by every claim; a reference names slot and generation, so an old one finds nothing
 *
 *     FREE -> CLAIMED -> owner set -> fields written -> OPEN    an admission
 *     OPEN -> CLAIMED -> owner cleared -> FREE                  its one holder closed it, and knows that it was the one
 *     OPEN -> DOUBTFUL                                          nobody knows any more who holds it: it was copied, passed on,
 *                                                               or closed by a process that had forked
 *     OPEN or DOUBTFUL -> CLAIMED -> owner cleared -> FREE      the kernel does not know it any more, and `holder` is gone
 *
 * There is no way back from DOUBTFUL to OPEN: whoever holds the connection may let go unseen at any moment. A death leaves a
 * record OPEN or DOUBTFUL, which the kernel decides about later, or CLAIMED. A slot CLAIMED by a pid that no longer exists is
 * set free by mend.c. One that was claimed out of another pid namespace is nobody's to judge: it counts for no client, and is
 * lost if its claimer died in those nanoseconds. Fields are written only between CLAIMED and OPEN; the swap to OPEN fails if
 * the slot was taken away meanwhile, and the admission starts anew.
 *
 * `holder` is the process that is known to hold the connection, by its pid in the table's namespace: the one that accepted it,
 * or the child that it made for it; 0 when nobody is known. While it lives and has not closed, the daemon is at work for the
 * client, whatever the client has done to the connection meanwhile. Written by the holder, and by its parent at the fork.
 *
 * `local` has its port alone, and an address of zeros, where the address was not asked for: at a listener on the wildcard
 * address, while the client held less than half of what it may (admit.c). The kernel is asked about such a connection under the
 * addresses at which others arrived, and if it is not found there, it is searched for among all that the kernel has (check.c).
 */
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
_Static_assert(sizeof(struct client_notes) == 56, "no holes");
_Static_assert(sizeof(struct record) == 64, "one cache line");

/* Why a connection is refused. */
enum refusal_reason {
	REFUSED_NOT,
	REFUSED_PER_IP,
	REFUSED_PER_UID,
	REFUSED_RULE, /* a rule's number, or deny */
	REFUSED_TOTAL,
	REFUSED_RATE,
	REFUSED_FLEET, /* by what other machines hold */
	REASONS
};

enum { ASKED_WAYS = 4 }; /* as many as enum kernel_way has */

/* ---- limits -------------------------------------------------------------------------------------------------------------
 *
 * Limits are published whole. `current` in the header holds (sequence << 2 | block). A reload takes its sequence before it
 * reads the file, claims a block that is not current, writes it, and swaps `current` only if its sequence is still the newest:
 * so an older file never overtakes a newer one, and readers see all of the old or all of the new. A reader copies the block and
 * looks at `current` again. A writer that dies leaves a block claimed by a dead thread, which the next one takes over. */
enum { LIMIT_BLOCKS = 4 };

/* One block more, the last, is never current: it holds what the daemon was started with, without its file, for whoever reads
 * the file again on its behalf. Written by each start, before `started` in the header is set; one that dies over it is replaced
 * by the next. */
enum { START_BLOCK = LIMIT_BLOCKS };
#define START_WRITTEN UINT32_MAX /* no pid */

/* What every admission reads of the settings, struct limits but its version, lies in the header instead, where that has the
 * rest of what it looks at: one for each block, written with it. */
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

/* An address at which connections to wildcard listeners arrived. Only a hint: when there are too many, one takes the place of
 * another, and one that is being replaced is neither. All zero: none. */
struct arrived {
	_Atomic uint64_t word[2];
};

/* A listener of whose connections the kernel does not tell this daemon whether they are gone: its address, and its port in the
 * third word. Written by one swap of the port from 0, the address before it by whoever may have been first. A hint, for people.
 */
enum { UNVERIFIABLE = 4 };
struct unverifiable {
	_Atomic uint64_t word[3];
};

/* ---- header -------------------------------------------------------------------------------------------------------------
 *
 * Written by whoever maps the segment first; each word is set by a swap from 0, so that two at once agree without waiting, and
 * `magic` last. */
struct table_header {
	/* These lie where they do in every version, so that each can name a table of another. `layout` is the layout's version:
	 * a hash that the build makes of all that is declared here (lib/meson.build). */
	_Atomic uint64_t magic;
	_Atomic uint64_t layout;
	char version[16]; /* of connlimit */
	char name[TABLE_NAME_MOST + 1];

	_Atomic uint64_t ticket; /* while it is being made: whose turn it is (table.c); 0 is not known yet */
	_Atomic uint64_t secret[2];
	_Atomic uint64_t born;	  /* ms of clock_ms */
	_Atomic uint64_t network; /* inode of the maker's network namespace, 0 if /proc did not say */
	_Atomic uint64_t pids;	  /* inode of the maker's pid namespace, 0 likewise */
	_Atomic uint32_t maker;	  /* pid */
	char program[64];	  /* basename of what made it, for people */

	/* What every admission reads, and hardly anyone writes. The briefs stand in an order by which the first publication's,
	 * in block 1, is in the same line (limits.c). */
	_Alignas(64) _Atomic uint64_t current; /* limits: sequence << 2 | block */
	_Atomic uint64_t grouped;	       /* the prefixes by which connections are grouped, and how far (regroup.h) */
	_Atomic uint32_t extent;	       /* slots in use lie below this */
	/* When a connection was first seen to have another address or port than its listener (clock_since, and never 0 then): a
	 * program attached to the network namespace (BPF_PROG_TYPE_SK_LOOKUP) gives it what was meant for others too. From then
	 * on no listener's is taken for that of its connections, and what was recorded until then without asking is searched
	 * for by its peer alone. */
	_Atomic uint32_t steered;
	struct limit_brief brief[LIMIT_BLOCKS];

	/* The last token taken (shim's sole holding): every process of the daemon has others. */
	_Alignas(64) _Atomic uint64_t tokens;

	_Alignas(64) _Atomic uint64_t sequence; /* of limits, the last one taken */
	_Atomic uint32_t started;		/* START_WRITTEN, or the pid of the process that is writing the start block */
	_Atomic uint64_t reloaded;		/* ms of the last reload, 0 if there was none */
	_Atomic uint64_t failed;		/* ms of the last reload that failed, 0 if there was none */
	char failure[256];			/* what it said */

	_Alignas(64) _Atomic uint64_t total; /* connections of all clients, see above */
	struct pace total_pace;
	struct pace all_pace;	 /* of all clients' checks together */
	struct pace room_pace;	 /* of the search for slots in a full table */
	struct pace search_pace; /* of searches among all of the kernel's connections */

	/* The fleet, written by `connlimit sync`: until when (ms of clock_ms) the clients' `remote` counts. A sidecar that dies
	 * or hears nothing leaves a time that passes, and then only the machine's own limits hold. */
	_Atomic uint64_t remote_until;
	_Atomic uint64_t remote_heard;	  /* ms when the fleet was last heard, 0 for never */
	_Atomic uint32_t remote_sidecar;  /* pid of who wrote that */
	_Atomic uint32_t remote_evicting; /* 1 while Redis is set up to evict what the fleet keeps there */
	_Atomic uint64_t remote_mended;	  /* counts that were not there as they should be */

	/* Totals of rare events; the frequent one, admissions, is counted in `admitted`, spread so that processes do not share
	 * lines. */
	_Alignas(64) _Atomic uint64_t refused;
	_Atomic uint64_t observed;   /* would have been refused, mode observe */
	_Atomic uint64_t uncounted;  /* admitted without a record: table full or no time */
	_Atomic uint64_t unverified; /* refused on the table's word, the kernel could not be asked */
	_Atomic uint64_t checks;
	_Atomic uint64_t check_us;	       /* CPU spent in them */
	_Atomic uint64_t check_gone;	       /* records they dropped */
	_Atomic uint64_t repaired;	       /* counts they lowered */
	_Atomic uint64_t asked[ASKED_WAYS];    /* questions that the daemon had, by how the kernel was asked: enum kernel_way */
	_Atomic uint64_t refused_for[REASONS]; /* of `refused` and `observed`, by enum refusal_reason */
	_Atomic uint64_t log_tokens;	       /* bucket of lines logged about refusals (rate.h) */
	_Atomic uint64_t log_left_out;	       /* refusals since the last line that got none of their own */

	struct arrived arrived[ARRIVED];
	struct unverifiable unverifiable[UNVERIFIABLE];
};

_Static_assert(offsetof(struct table_header, layout) == 8 && offsetof(struct table_header, version) == 16 &&
		   offsetof(struct table_header, name) == 32 && TABLE_NAME_MOST == 63,
	       "what other versions look at");
_Static_assert(sizeof(struct table_header) <= 4096, "one page: behind a system call, each costs");
_Static_assert(offsetof(struct table_header, brief) % 64 + sizeof(struct limit_brief) == 64, "in the line of `current`");

#endif
