/* Bans: a client that was refused too often, or that an operator banned, is refused for a time, whatever it holds.
 *
 * A ban is one word of the client's notes (layout.h, `ban`): until when, and for which client. So an entry that has gone to
 * another client meanwhile has no ban, whoever wrote there last, and in which order. MARK_BANNED in the entry is beside
 * what an admission reads anyway: without it nobody looks at the word, and a client that has no ban costs no instruction.
 *
 * The word is written before the mark. A process that dies in between leaves a ban that is not in force; the client's next
 * refusal puts it in force. Who finds a mark and no ban takes the mark away, and then looks at the word again: so of one that
 * begins a ban at this moment and one that ends another, the second always sees the word, or the first marks it later.
 *
 * There are at most as many bans as the table has entries. A new client takes the place of one that is banned only where no
 * other is to be had (clients.c). */
#ifndef CONNLIMIT_BANS_H
#define CONNLIMIT_BANS_H

#include "table/ban_word.h"
#include "table/table.h"

/* For how many seconds the client in `entry` is still banned, as ban_word_left. Async-signal-safe. */
uint32_t ban_left(const struct table *table, uint32_t entry, uint64_t fingerprint);

/* The same in an admission, for an entry that is marked: takes the mark away if there is no ban. */
uint32_t ban_look(struct table *table, uint32_t entry, uint64_t fingerprint);

/* Notes that the client was refused. Returns for how many seconds it is banned if that was once too often, else 0. The count is
 * a bucket as of a rate (rate.h): the last refusal that finds a token is the one before the ban. A client that is banned
 * already is not banned anew, nor longer. Async-signal-safe. */
uint32_t ban_count(struct table *table, uint32_t entry, uint64_t fingerprint, const struct ban *ban);

/* Bans a client for so many seconds, at most BAN_MOST, or BAN_FOREVER, in place of a ban that it has. False if there is no room
 * for it, where all entries that it may have are taken by clients with connections. */
bool ban_begin(struct table *table, const struct network *client, uint32_t seconds);

/* As ban_begin, for the client that an address belongs to under the limits in effect; not if a rule exempts it from limits on
 * every port. */
enum ban_begun { BAN_BEGUN, BAN_EXEMPT, BAN_NO_ROOM };
enum ban_begun ban_address(struct table *table, const struct address *address, uint32_t seconds);

/* Ends a client's ban, and forgets what it was refused until then. False if it was not banned. */
bool ban_end(struct table *table, const struct network *client);

/* As ban_left, for a client by its network. */
uint32_t ban_of(const struct table *table, const struct network *client);

#endif
