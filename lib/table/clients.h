/* Finding and counting clients; see layout.h for the states of an entry. For lib's own use. */
#ifndef CONNLIMIT_CLIENTS_H
#define CONNLIMIT_CLIENTS_H

#include "values/fingerprint.h"
#include "table/table.h"

#include <string.h>

/* The fingerprint of a network under this table's secret. */
static inline uint64_t client_fingerprint(const struct table *table, const struct network *network)
{
	uint64_t words[2];

	memcpy(words, network->address.bytes, sizeof(words));
	return fingerprint(table->secret, words[0], words[1], network->prefix);
}

/* What is marked of a client, MARK_. Marks are set and cleared in one order with all else that is atomic: whoever takes a mark
 * away and then looks for what it is for, finds it or has it marked again. */
static inline uint32_t client_marks(const struct table *table, uint32_t entry)
{
	return atomic_load_explicit(&table->entry[entry].marks, memory_order_relaxed);
}

static inline void client_mark(struct table *table, uint32_t entry, uint32_t mark)
{
	_Atomic uint32_t *marks = &table->entry[entry].marks;

	if ((atomic_load(marks) & mark) == 0)
		atomic_fetch_or(marks, mark);
}

static inline void client_unmark(struct table *table, uint32_t entry, uint32_t mark)
{
	atomic_fetch_and(&table->entry[entry].marks, ~mark);
}

/* The notes of a client or a network: to read them, zeros if there are none; and to write them. */
extern const struct client_notes client_without_notes;

static inline const struct client_notes *client_notes(const struct table *table, uint32_t entry)
{
	return (client_marks(table, entry) & MARK_NOTED) != 0 ? &table->notes[entry] : &client_without_notes;
}

static inline struct client_notes *client_noted(struct table *table, uint32_t entry)
{
	client_mark(table, entry, MARK_NOTED);
	return &table->notes[entry];
}

/* Who has the entry whose fingerprint this is. False if that is not known. */
bool client_network(const struct table *table, uint32_t entry, uint64_t fingerprint, struct network *network);

/* Finds the client's entry, and returns the word that was read. False if there is none. */
bool client_find(const struct table *table, uint64_t fingerprint, uint32_t *entry, uint64_t *word);

/* Finds the client's entry or adds one with count 0. False if both of its buckets are full of clients with open connections, or
 * if other processes interfered too often. */
bool client_find_or_add(struct table *table, uint64_t fingerprint, const struct network *network, uint32_t *entry,
			uint64_t *word);

/* The same for a network, which is counted like a client. Its entry is one of those behind the clients', so that the number of
 * an entry says which of the two it is. */
bool network_find(const struct table *table, uint64_t fingerprint, uint32_t *entry, uint64_t *word);
bool network_find_or_add(struct table *table, uint64_t fingerprint, const struct network *network, uint32_t *entry,
			 uint64_t *word);

#define NO_NETWORK UINT32_MAX /* no entry */

static inline bool entry_is_network(const struct table *table, uint32_t entry)
{
	return entry >= table->entries && entry / 2 < table->entries;
}

/* Raises the count by one if it stays at or below `limit` (LIMIT_NONE: always). A later change of *generation shows that the
 * count was repaired. */
enum counted { COUNTED, COUNT_FULL, COUNT_LOST };
enum counted client_count(struct table *table, uint32_t entry, uint64_t fingerprint, uint64_t word, uint32_t limit,
			  uint64_t *generation);

/* As client_count, but a new peak is left to be noted with client_note_peak(*count), when it is certain that the connection is
 * admitted: before that, another limit may refuse it. */
enum counted client_raise(struct table *table, uint32_t entry, uint64_t fingerprint, uint64_t word, uint32_t limit,
			  uint64_t *generation, uint32_t *count);
void client_note_peak(struct table *table, uint32_t entry, uint32_t count);

/* Lowers the count by one that was counted under `generation`. Does nothing if the count was repaired since then: the repair
 * set it to the number of slots. */
void client_uncount(struct table *table, uint32_t entry, uint64_t generation);

static inline uint64_t client_generation(uint64_t word)
{
	return word & ~(CLIENT_COUNT | CLIENT_TENTATIVE | CLIENT_MENDING);
}

#endif
