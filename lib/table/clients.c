#include "table/clients.h"

#include "table/bans.h"
#include "values/clock.h"
#include "values/point.h"

#include <string.h>

enum { TRIES = 16 }; /* bound on starting again because others were faster */

/* The places where a fingerprint may be: two buckets, given by their first entries. Each is searched from the place `from` on,
 * and a new client takes the first free one. So most are found at once, in one cache line. */
struct places {
	uint32_t first[2];
	uint32_t from;
};

/* A client's, among the first entries, or a network's, among those behind (`base`). */
static inline struct places places_of(const struct table *table, uint64_t fingerprint, uint32_t base)
{
	uint32_t mask = table->entries / BUCKET - 1;
	uint32_t one = (uint32_t)fingerprint & mask;
	uint32_t other = (uint32_t)(fingerprint >> 32) & mask;

	return (struct places){
	    .first = {base + one * BUCKET, base + (other != one ? other : one ^ 1U) * BUCKET},
	    .from = (uint32_t)(fingerprint >> 61),
	};
}

static inline uint32_t place(const struct places *places, int bucket, uint32_t n)
{
	return places->first[bucket] + (places->from + n) % BUCKET;
}

/* Both words of an entry change together or not at all. The builtin compiles to cmpxchg16b, or casp on aarch64; __atomic would
 * call libatomic. */
static bool swap_entry(struct client_entry *entry, uint64_t fingerprint, uint64_t word, uint64_t new_fingerprint,
		       uint64_t new_word)
{
	unsigned __int128 expected = (unsigned __int128)word << 64 | fingerprint;
	unsigned __int128 wanted = (unsigned __int128)new_word << 64 | new_fingerprint;

	return __sync_bool_compare_and_swap((unsigned __int128 *)(void *)entry, expected, wanted);
}

static inline uint64_t word_of(const struct table *table, uint32_t entry)
{
	return atomic_load_explicit(&table->entry[entry].word, memory_order_acquire);
}

static inline uint64_t fingerprint_of(const struct table *table, uint32_t entry)
{
	return atomic_load_explicit(&table->entry[entry].fingerprint, memory_order_acquire);
}

static inline bool find_in(const struct table *table, const struct places *places, uint64_t fingerprint, uint32_t *entry,
			   uint64_t *word)
{
	for (int b = 0; b < 2; b++) {
		for (uint32_t n = 0; n < BUCKET; n++) {
			uint32_t i = place(places, b, n);

			if (fingerprint_of(table, i) != fingerprint)
				continue;
			uint64_t seen = word_of(table, i);
			if ((seen & CLIENT_TENTATIVE) != 0 || fingerprint_of(table, i) != fingerprint)
				continue;
			*entry = i;
			*word = seen;
			return true;
		}
	}
	return false;
}

bool client_find(const struct table *table, uint64_t fingerprint, uint32_t *entry, uint64_t *word)
{
	struct places places = places_of(table, fingerprint, 0);

	return find_in(table, &places, fingerprint, entry, word);
}

bool network_find(const struct table *table, uint64_t fingerprint, uint32_t *entry, uint64_t *word)
{
	struct places places = places_of(table, fingerprint, table->entries);

	return find_in(table, &places, fingerprint, entry, word);
}

/* What is lost when a new client takes an entry of count 0: nothing, a client's history, or what still decides about it: what
 * the fleet said of it, or tokens that it has taken; and last its ban. */
enum { MOST_LOSS = 3 };

static unsigned loss(const struct table *table, uint32_t entry, uint64_t fingerprint)
{
	if (fingerprint == 0)
		return 0;
	if (atomic_load_explicit(&table->entry[entry].banned, memory_order_relaxed) != 0 &&
	    ban_left(table, entry, fingerprint) != 0)
		return MOST_LOSS;
	uint64_t tokens = atomic_load_explicit(&table->notes[entry].tokens, memory_order_relaxed);
	if (atomic_load_explicit(&table->entry[entry].remote, memory_order_relaxed) != 0 ||
	    (tokens != 0 && tokens > clock_us()))
		return 2;
	return 1;
}

/* Chooses the place for a new client: the one where least is lost, in the emptier bucket. But the first bucket is preferred as
 * long as half of it is free, as clients there are found faster. (With the most clients that a table can have, half of its
 * entries, that fills no bucket.) */
static bool choose_place(const struct table *table, const struct places *places, uint32_t *chosen, uint64_t *fingerprint,
			 uint64_t *word)
{
	int best = 0;

	for (int b = 0; b < 2; b++) {
		int room = 0;
		uint32_t candidate = 0;
		uint64_t candidate_word = 0;
		uint64_t candidate_fingerprint = 0;
		unsigned least = MOST_LOSS + 1;
		for (uint32_t n = 0; n < BUCKET; n++) {
			uint32_t i = place(places, b, n);
			uint64_t seen_word = word_of(table, i);
			uint64_t seen = fingerprint_of(table, i);
			if ((seen_word & CLIENT_COUNT) != 0)
				continue;
			room++;
			unsigned lost = loss(table, i, seen);
			if (lost < least) {
				least = lost;
				candidate = i;
				candidate_word = seen_word;
				candidate_fingerprint = seen;
			}
		}
		if (room > best) {
			best = room;
			*chosen = candidate;
			*word = candidate_word;
			*fingerprint = candidate_fingerprint;
		}
		if (room > BUCKET / 2 && least == 0)
			break;
	}
	return best > 0;
}

/* Called after `mine` was set tentative: does another entry of this fingerprint go first? Tentative entries after ours are
 * thrown out, so that of two adders exactly one continues. With `impatient`, those before ours are thrown out too, as their
 * adder may be stopped. Each adder sets its entry before it looks at the others, so two cannot miss each other. */
static bool others_go_first(struct table *table, uint64_t fingerprint, const struct places *places, uint32_t mine,
			    bool impatient)
{
	if (left_out(ORDERING_ENTER_THEN_LOOK))
		return false;
	for (int b = 0; b < 2; b++) {
		for (uint32_t i = places->first[b]; i < places->first[b] + BUCKET; i++) {
			if (i == mine)
				continue;
			for (int swaps = 0;; swaps++) {
				uint64_t word = atomic_load(&table->entry[i].word);
				if (atomic_load(&table->entry[i].fingerprint) != fingerprint)
					break;
				if ((word & CLIENT_TENTATIVE) == 0 || (i < mine && !impatient))
					return true;
				if (swap_entry(&table->entry[i], fingerprint, word, 0,
					       client_generation(word) + CLIENT_GENERATION))
					break;
				/* It was confirmed or thrown out meanwhile: look again. Each turn means that another process
				 * changed this entry. A hostile one could do so forever, hence the bound. */
				if (word == atomic_load(&table->entry[i].word) || swaps == SWAPS_MOST)
					return true;
				point_reached(POINT_SWAP);
			}
		}
	}
	return false;
}

static void describe(struct table *table, uint32_t entry, const struct network *network)
{
	struct client_notes *notes = &table->notes[entry];
	uint64_t words[2];

	memcpy(words, network->address.bytes, sizeof(words));
	atomic_store_explicit(&notes->address[0], words[0], memory_order_relaxed);
	atomic_store_explicit(&notes->address[1], words[1], memory_order_relaxed);
	atomic_store_explicit(&notes->prefix, network->prefix, memory_order_relaxed);
	atomic_store_explicit(&table->entry[entry].peak, 0, memory_order_relaxed);
	atomic_store_explicit(&notes->refused, 0, memory_order_relaxed);
	atomic_store_explicit(&notes->observed, 0, memory_order_relaxed);
	atomic_store_explicit(&notes->pace.word, 0, memory_order_relaxed);
	atomic_store_explicit(&notes->shown_refused, 0, memory_order_relaxed);
	atomic_store_explicit(&notes->shown_at, 0, memory_order_relaxed);
	atomic_store_explicit(&table->entry[entry].limit, LIMIT_NONE, memory_order_relaxed);
	atomic_store_explicit(&table->entry[entry].by_rule, 0, memory_order_relaxed);
	atomic_store_explicit(&table->entry[entry].doubtful, 0, memory_order_relaxed);
	atomic_store_explicit(&table->entry[entry].banned, 0, memory_order_relaxed);
	atomic_store_explicit(&notes->ban, 0, memory_order_relaxed);
	atomic_store_explicit(&notes->ban_tokens, 0, memory_order_relaxed);
	atomic_store_explicit(&table->entry[entry].remote, 0, memory_order_relaxed);
	atomic_store_explicit(&notes->tokens, 0, memory_order_relaxed);
}

static COLD bool add(struct table *table, uint64_t fingerprint, const struct network *network, const struct places *places,
		     uint32_t *entry, uint64_t *word)
{
	for (int attempt = 0; attempt < TRIES; attempt++) {
		uint32_t mine = 0;
		uint64_t old_word = 0;
		uint64_t old = 0;

		if (attempt > 0 && find_in(table, places, fingerprint, entry, word))
			return true;
		if (!choose_place(table, places, &mine, &old, &old_word))
			return false;
		uint64_t tentative = (client_generation(old_word) + CLIENT_GENERATION) | CLIENT_TENTATIVE;
		if (!swap_entry(&table->entry[mine], old, old_word, fingerprint, tentative))
			continue;
		point_reached(POINT_CLIENT_TENTATIVE);
		if (others_go_first(table, fingerprint, places, mine, attempt > TRIES / 2)) {
			swap_entry(&table->entry[mine], fingerprint, tentative, 0,
				   client_generation(tentative) + CLIENT_GENERATION);
			continue;
		}
		uint64_t confirmed = tentative & ~CLIENT_TENTATIVE;
		describe(table, mine, network);
		if (!atomic_compare_exchange_strong(&table->entry[mine].word, &tentative, confirmed))
			continue;
		point_reached(POINT_CLIENT_CONFIRMED);
		*entry = mine;
		*word = confirmed;
		return true;
	}
	return false;
}

HOT bool client_find_or_add(struct table *table, uint64_t fingerprint, const struct network *network, uint32_t *entry,
			    uint64_t *word)
{
	struct places places = places_of(table, fingerprint, 0);

	/* In a large table this is a cache miss: start it early. */
	__builtin_prefetch(&table->entry[place(&places, 0, 0)]);
	return find_in(table, &places, fingerprint, entry, word) || add(table, fingerprint, network, &places, entry, word);
}

bool network_find_or_add(struct table *table, uint64_t fingerprint, const struct network *network, uint32_t *entry,
			 uint64_t *word)
{
	struct places places = places_of(table, fingerprint, table->entries);

	return find_in(table, &places, fingerprint, entry, word) || add(table, fingerprint, network, &places, entry, word);
}

static inline void note_peak(struct table *table, uint32_t entry, uint32_t count)
{
	_Atomic uint32_t *peak = &table->entry[entry].peak;
	uint32_t seen = atomic_load_explicit(peak, memory_order_relaxed);

	for (int swaps = 0; swaps < SWAPS_MOST && seen < count; swaps++)
		if (atomic_compare_exchange_weak_explicit(peak, &seen, count, memory_order_relaxed, memory_order_relaxed))
			return;
}

static inline __attribute__((always_inline)) enum counted raise_count(struct table *table, uint32_t entry, uint64_t fingerprint,
								      uint64_t word, uint32_t limit, uint64_t *generation,
								      uint32_t *raised)
{
	uint64_t before = client_generation(word);

	if (limit > CLIENT_COUNT - 1)
		limit = CLIENT_COUNT - 1;
	for (int swaps = 0; swaps < SWAPS_MOST; swaps++) {
		if (client_generation(word) != before || (word & CLIENT_TENTATIVE) != 0) {
			/* The count was mended, or the entry given to another client, since it was found. */
			if (fingerprint_of(table, entry) != fingerprint || (word & CLIENT_TENTATIVE) != 0)
				return COUNT_LOST;
			before = client_generation(word);
			if (word_of(table, entry) != word)
				return COUNT_LOST;
		}
		uint32_t count = (uint32_t)(word & CLIENT_COUNT);
		if (count >= limit)
			return COUNT_FULL;
		point_reached(POINT_SWAP);
		if (atomic_compare_exchange_weak(&table->entry[entry].word, &word, (word & ~CLIENT_MENDING) + 1)) {
			*raised = count + 1;
			*generation = before;
			return COUNTED;
		}
	}
	return COUNT_LOST;
}

HOT enum counted client_count(struct table *table, uint32_t entry, uint64_t fingerprint, uint64_t word, uint32_t limit,
			      uint64_t *generation)
{
	uint32_t count = 0;
	enum counted counted = raise_count(table, entry, fingerprint, word, limit, generation, &count);

	if (counted == COUNTED)
		note_peak(table, entry, count);
	return counted;
}

enum counted client_raise(struct table *table, uint32_t entry, uint64_t fingerprint, uint64_t word, uint32_t limit,
			  uint64_t *generation, uint32_t *count)
{
	return raise_count(table, entry, fingerprint, word, limit, generation, count);
}

void client_note_peak(struct table *table, uint32_t entry, uint32_t count)
{
	note_peak(table, entry, count);
}

HOT void client_uncount(struct table *table, uint32_t entry, uint64_t generation)
{
	uint64_t word = word_of(table, entry);

	for (int swaps = 0; swaps < SWAPS_MOST && client_generation(word) == generation && (word & CLIENT_COUNT) != 0;
	     swaps++) {
		point_reached(POINT_SWAP);
		if (atomic_compare_exchange_weak(&table->entry[entry].word, &word, (word & ~CLIENT_MENDING) - 1))
			return;
	}
}

/* By itself: the limits lie on no stack while the kernel is asked. */
__attribute__((noinline)) bool table_find_client(const struct table *table, const struct connection *connection,
						 uint32_t *entry, uint64_t *word)
{
	struct limits limits;

	limits_read(table, &limits);
	struct network network = limits_client_of(&limits, connection);
	return client_find(table, client_fingerprint(table, &network), entry, word);
}
