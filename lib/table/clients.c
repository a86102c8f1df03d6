#include "table/clients.h"

#include "table/ban_word.h"
#include "values/clock.h"
#include "values/point.h"

#include <string.h>

enum { TRIES = 16 }; /* bound on starting again because others were faster */

const struct client_notes client_without_notes;

/* The places where a fingerprint may be: two buckets, given by their first entries. Each is searched from the place `from` on,
 * and a new client takes the first free one. So most are found at once, in one cache line. */
struct places {
	uint32_t first[2];
	uint32_t from;
};

static inline uint32_t bucket(const struct table *table, uint32_t bits)
{
	return (uint32_t)(bits * (uint64_t)(table->entries / BUCKET) >> 32);
}

static inline uint32_t first_place(const struct table *table, uint64_t fingerprint, uint32_t base)
{
	return base + bucket(table, (uint32_t)fingerprint) * BUCKET + (uint32_t)fingerprint % BUCKET;
}

/* A client's, among the first entries, or a network's, among those behind (`base`). There is an even number of buckets. */
static inline struct places places_of(const struct table *table, uint64_t fingerprint, uint32_t base)
{
	uint32_t one = bucket(table, (uint32_t)fingerprint);
	uint32_t other = bucket(table, (uint32_t)(fingerprint >> 32));

	return (struct places){
	    .first = {base + one * BUCKET, base + (other != one ? other : one ^ 1U) * BUCKET},
	    .from = (uint32_t)fingerprint % BUCKET,
	};
}

static inline uint32_t place(const struct places *places, int which, uint32_t n)
{
	return places->first[which] + (places->from + n) % BUCKET;
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

/* Whether the client has the entry, and its word then. */
static inline bool has(const struct table *table, uint32_t entry, uint64_t fingerprint, uint64_t *word)
{
	if (fingerprint_of(table, entry) != fingerprint)
		return false;
	*word = word_of(table, entry);
	return (*word & CLIENT_TENTATIVE) == 0 && fingerprint_of(table, entry) == fingerprint;
}

static bool find_in(const struct table *table, const struct places *places, uint64_t fingerprint, uint32_t *entry,
		    uint64_t *word)
{
	for (int b = 0; b < 2; b++) {
		for (uint32_t n = 0; n < BUCKET; n++) {
			*entry = place(places, b, n);
			if (has(table, *entry, fingerprint, word))
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
	const struct client_notes *notes = client_notes(table, entry);
	if ((client_marks(table, entry) & MARK_BANNED) != 0 && ban_word_left(atomic_load(&notes->ban), fingerprint) != 0)
		return MOST_LOSS;
	uint64_t tokens = atomic_load_explicit(&notes->tokens, memory_order_relaxed);
	if (atomic_load_explicit(&notes->remote, memory_order_relaxed) != 0 || (tokens != 0 && tokens > clock_us()))
		return 2;
	return 1;
}

/* The place in a bucket where least is lost for a new client. */
struct candidate {
	int room; /* entries of count 0; 0: there is no place */
	unsigned lost;
	uint32_t entry;
	uint64_t fingerprint;
	uint64_t word;
};

static struct candidate candidate_in(const struct table *table, const struct places *places, int bucket)
{
	struct candidate best = {.lost = MOST_LOSS + 1};

	for (uint32_t n = 0; n < BUCKET; n++) {
		uint32_t i = place(places, bucket, n);
		uint64_t word = word_of(table, i);
		uint64_t fingerprint = fingerprint_of(table, i);
		if ((word & CLIENT_COUNT) != 0)
			continue;
		best.room++;
		unsigned lost = best.lost != 0 ? loss(table, i, fingerprint) : MOST_LOSS;
		if (lost < best.lost)
			best = (struct candidate){best.room, lost, i, fingerprint, word};
	}
	return best;
}

/* Chooses the place for a new client: one that costs nobody a ban, if there is any. While more than a quarter of the first
 * bucket is free, it is there, as clients there are found faster, unless less is lost in the second. Otherwise it is in the
 * emptier bucket. (With the most clients that a table can have, two thirds of its entries, that fills no bucket.) */
static struct candidate choose_place(const struct table *table, const struct places *places)
{
	enum { FREE = BUCKET / 4 };
	struct candidate first = candidate_in(table, places, 0);

	if (first.room > FREE && first.lost == 0)
		return first;
	struct candidate second = candidate_in(table, places, 1);
	if ((first.lost < MOST_LOSS) != (second.lost < MOST_LOSS))
		return first.lost < MOST_LOSS ? first : second;
	bool less_lost = second.room > FREE && second.lost < first.lost;
	return (first.room > FREE ? less_lost : second.room > first.room) ? second : first;
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

static void clear(struct client_notes *notes)
{
	atomic_store_explicit(&notes->refused, 0, memory_order_relaxed);
	atomic_store_explicit(&notes->observed, 0, memory_order_relaxed);
	atomic_store_explicit(&notes->tokens, 0, memory_order_relaxed);
	atomic_store_explicit(&notes->ban, 0, memory_order_relaxed);
	atomic_store_explicit(&notes->ban_tokens, 0, memory_order_relaxed);
	atomic_store_explicit(&notes->pace.word, 0, memory_order_relaxed);
	atomic_store_explicit(&notes->remote, 0, memory_order_relaxed);
	atomic_store_explicit(&notes->shown_refused, 0, memory_order_relaxed);
	atomic_store_explicit(&notes->shown_at, 0, memory_order_relaxed);
}

/* Whether the entry has the second half of an address with this prefix: all of an IPv4 address. */
static bool has_second_half(uint8_t prefix)
{
	return prefix > 64 && prefix <= 128;
}

static void describe(struct table *table, uint32_t i, const struct network *network)
{
	struct client_entry *entry = &table->entry[i];
	bool second = has_second_half(network->prefix);
	uint64_t words[2];

	memcpy(words, network->address.bytes, sizeof(words));
	if (second && words[0] != 0)
		atomic_store_explicit(&table->high[i], words[0], memory_order_relaxed);
	atomic_store_explicit(&entry->address, words[second], memory_order_relaxed);
	atomic_store_explicit(&entry->peak, (uint32_t)network->prefix << PEAK_PREFIX_SHIFT, memory_order_relaxed);
	if ((atomic_fetch_and(&entry->marks, MARK_NOTED) & MARK_NOTED) != 0)
		clear(&table->notes[i]);
}

bool client_network(const struct table *table, uint32_t entry, uint64_t fingerprint, struct network *network)
{
	uint8_t prefix = (uint8_t)(atomic_load_explicit(&table->entry[entry].peak, memory_order_relaxed) >> PEAK_PREFIX_SHIFT);
	bool second = has_second_half(prefix);
	uint64_t words[2] = {0};

	if (prefix > 128 && (prefix != NETWORK_UID || entry_is_network(table, entry)))
		return false;
	words[second] = atomic_load_explicit(&table->entry[entry].address, memory_order_relaxed);
	network->prefix = prefix;
	memcpy(network->address.bytes, words, sizeof(words));
	if (client_fingerprint(table, network) == fingerprint)
		return true;
	if (!second)
		return false;
	words[0] = atomic_load_explicit(&table->high[entry], memory_order_relaxed);
	memcpy(network->address.bytes, words, sizeof(words));
	return client_fingerprint(table, network) == fingerprint;
}

static COLD bool add(struct table *table, uint64_t fingerprint, const struct network *network, const struct places *places,
		     uint32_t *entry, uint64_t *word)
{
	for (int attempt = 0; attempt < TRIES; attempt++) {
		if (attempt > 0 && find_in(table, places, fingerprint, entry, word))
			return true;
		struct candidate old = choose_place(table, places);
		if (old.room == 0)
			return false;
		uint32_t mine = old.entry;
		uint64_t tentative = (client_generation(old.word) + CLIENT_GENERATION) | CLIENT_TENTATIVE;
		if (!swap_entry(&table->entry[mine], old.fingerprint, old.word, fingerprint, tentative))
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

static __attribute__((noinline)) bool look_further(struct table *table, uint64_t fingerprint, const struct network *network,
						   uint32_t base, uint32_t *entry, uint64_t *word)
{
	struct places places = places_of(table, fingerprint, base);

	return find_in(table, &places, fingerprint, entry, word) || add(table, fingerprint, network, &places, entry, word);
}

HOT bool client_find_or_add(struct table *table, uint64_t fingerprint, const struct network *network, uint32_t *entry,
			    uint64_t *word)
{
	*entry = first_place(table, fingerprint, 0);
	return has(table, *entry, fingerprint, word) || look_further(table, fingerprint, network, 0, entry, word);
}

bool network_find_or_add(struct table *table, uint64_t fingerprint, const struct network *network, uint32_t *entry,
			 uint64_t *word)
{
	return look_further(table, fingerprint, network, table->entries, entry, word);
}

static inline void note_peak(struct table *table, uint32_t entry, uint32_t count)
{
	_Atomic uint32_t *peak = &table->entry[entry].peak;
	uint32_t seen = atomic_load_explicit(peak, memory_order_relaxed);

	for (int swaps = 0; swaps < SWAPS_MOST && (seen & PEAK_COUNT) < count; swaps++)
		if (atomic_compare_exchange_weak_explicit(peak, &seen, (seen & ~PEAK_COUNT) | count, memory_order_relaxed,
							  memory_order_relaxed))
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
