/* The limits in force: published to all processes at once, read by each without waiting. */
#include "values/alive.h"
#include "values/clock.h"
#include "values/point.h"
#include "values/text.h"
#include "table/events.h"
#include "table/table.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

enum {
	READS = 4, /* copies tried before we take the last one: each would have to meet a publication */
	APPLIES = 16,
};

static const struct settings *block_of(const struct table *table, uint64_t current)
{
	return &table->blocks[current % LIMIT_BLOCKS].settings;
}

static uint64_t version_of(const struct table *table)
{
	return atomic_load_explicit(&table->header->current, memory_order_acquire);
}

static bool unchanged(const struct table *table, uint64_t current)
{
	atomic_thread_fence(memory_order_acquire);
	return atomic_load_explicit(&table->header->current, memory_order_relaxed) == current;
}

_Static_assert(sizeof(struct limits) == sizeof(uint64_t) * (1 + LIMIT_WORDS), "the brief is all but the version");

/* Limits are usually published only once, into block 1. */
static inline struct limit_brief *brief_of(const struct table *table, uint64_t block)
{
	return &table->header->brief[(block ^ 1) % LIMIT_BLOCKS];
}

static void write_brief(struct limit_brief *brief, const struct settings *from)
{
	uint64_t words[1 + LIMIT_WORDS];
	bool networks = settings_count_networks(from);
	struct limits limits = {
	    .per_ip = from->per_ip,
	    .total = from->total,
	    .per_uid = from->per_uid,
	    .cluster_per_ip = from->cluster_per_ip,
	    .rate = from->rate,
	    .rules = (uint16_t)(from->rules <= RULES_MOST ? from->rules : 0),
	    .ipv4_prefix = from->ipv4_prefix,
	    .ipv6_prefix = from->ipv6_prefix,
	    .network_ipv4_prefix = networks ? from->network_ipv4_prefix : NETWORKS_OFF,
	    .network_ipv6_prefix = networks ? from->network_ipv6_prefix : NETWORKS_OFF,
	    .refuse = from->refuse,
	    .mode = from->mode,
	    .log = from->log,
	    .signal = (int8_t)from->signal,
	    .lists = (uint8_t)(from->lists <= LISTS_MOST ? from->lists : 0),
	    .balancers = (uint8_t)(from->balancers <= BALANCERS_MOST ? from->balancers : 0),
	    .keepalive = from->keepalive <= KEEPALIVE_MOST ? (uint16_t)from->keepalive : 0,
	};

	memcpy(words, &limits, sizeof(words));
	for (int i = 0; i < LIMIT_WORDS; i++)
		atomic_store_explicit(&brief->word[i], words[1 + i], memory_order_relaxed);
}

/* What was read is consistent if `current` has not changed since. */
static inline void read_brief(const struct table *table, struct limits *limits)
{
	uint64_t current = version_of(table);
	const struct limit_brief *brief = brief_of(table, current);
	char *to = (char *)limits;

	limits->version = current;
#pragma GCC unroll 8
	for (int i = 0; i < LIMIT_WORDS; i++) {
		uint64_t word = atomic_load_explicit(&brief->word[i], memory_order_relaxed);
		memcpy(to + sizeof(word) * (size_t)(1 + i), &word, sizeof(word));
	}
	/* Shared memory is not trusted: values out of range are cut off. */
	if (limits->ipv4_prefix > 32)
		limits->ipv4_prefix = 32;
	if (limits->ipv6_prefix > 128)
		limits->ipv6_prefix = 128;
	if (limits->rules > RULES_MOST)
		limits->rules = 0;
}

void limits_read(const struct table *table, struct limits *limits)
{
	int attempt = 0;

	do
		read_brief(table, limits);
	while (!unchanged(table, limits->version) && ++attempt < READS);
}

uint64_t limits_turn(struct table *table)
{
	uint64_t last = version_of(table) >> 2;
	uint64_t turn = atomic_fetch_add(&table->header->sequence, 1) + 1;

	/* Whatever was published had its turn before. If the table says otherwise, somebody wrote over it, and no limits could
	 * ever be published again. */
	if (turn <= last) {
		turn = last + 1;
		atomic_store(&table->header->sequence, turn);
	}
	return turn;
}

/* Claims a block that is not the current one, for this thread: other threads may be publishing too, and so may the code that a
 * signal handler interrupted. */
static struct limit_block *claim_block(struct table *table)
{
	uint32_t thread = thread_self();

	for (unsigned i = 0; i < LIMIT_BLOCKS; i++) {
		struct limit_block *block = &table->blocks[i];
		uint32_t writer = atomic_load(&block->writer);

		if (i == version_of(table) % LIMIT_BLOCKS)
			continue;
		if (writer != 0 && process_alive(writer))
			continue;
		if (!atomic_compare_exchange_strong(&block->writer, &writer, thread))
			continue;
		/* It may have become the current one after we looked. */
		if (i != version_of(table) % LIMIT_BLOCKS)
			return block;
		atomic_store(&block->writer, 0);
	}
	return NULL;
}

/* The part of the settings that is in use. The rules come last, and there are usually few. */
static size_t bytes_in_use(uint32_t rules)
{
	return offsetof(struct settings, rule) + sizeof(struct rule) * (rules <= RULES_MOST ? rules : 0);
}

bool limits_publish_listed(struct table *table, uint64_t turn, const struct settings *settings,
			   const struct rules_index *listed)
{
	uint64_t from = version_of(table);
	struct limit_block *block = claim_block(table);
	bool ours = false;

	if (block == NULL)
		return false;
	point_reached(POINT_LIMITS_CLAIMED);
	uint32_t rules = settings->rules <= RULES_MOST ? settings->rules : 0;
	memcpy(&block->settings, settings, bytes_in_use(rules));
	rules_sort(block->settings.rule, rules);
	rules_build(&block->rules, block->settings.rule, rules,
		    listed != NULL ? listed : &table->blocks[from % LIMIT_BLOCKS].rules,
		    settings->lists <= LISTS_MOST ? settings->lists : 0);
	if (listed == NULL && settings->lists > 0 && version_of(table) != from) {
		/* The lists were taken from a block that may have been overwritten meanwhile. */
		atomic_store(&block->writer, 0);
		return false;
	}
	/* Before a record names a client, everyone who makes or reads one looks for that. */
	if (settings->balancers > 0)
		atomic_store(&table->header->balanced, 1);
	write_brief(brief_of(table, (uint64_t)(block - table->blocks)), settings);
	point_reached(POINT_LIMITS_WRITTEN);
	uint64_t current = version_of(table);
	uint64_t next = turn << 2 | (uint64_t)(block - table->blocks);
	for (int swaps = 0; swaps < SWAPS_MOST && !ours && current >> 2 < turn; swaps++) {
		point_reached(POINT_SWAP);
		ours = atomic_compare_exchange_weak(&table->header->current, &current, next);
	}
	point_reached(POINT_LIMITS_CURRENT);
	atomic_store(&block->writer, 0);
	atomic_store(&table->header->reloaded, clock_ms());
	if (ours && from != 0)
		event_note_plain(table, EVENT_RELOADED);
	return true;
}

bool limits_claim_start(struct table *table)
{
	uint32_t before = atomic_load(&table->header->started);
	uint32_t own = process_self();

	if (before != 0 && before != START_WRITTEN && before != own && process_alive(before))
		return false;
	return atomic_compare_exchange_strong(&table->header->started, &before, own);
}

void limits_keep_start(struct table *table, const struct settings *settings)
{
	uint32_t own = process_self();

	/* Another process of this start is writing the same settings. */
	if (!limits_claim_start(table))
		return;
	point_reached(POINT_START_CLAIMED);
	memcpy(&table->blocks[START_BLOCK].settings, settings, bytes_in_use(settings->rules));
	point_reached(POINT_START_WRITTEN);
	if (atomic_compare_exchange_strong(&table->header->started, &own, START_WRITTEN))
		event_note_plain(table, EVENT_STARTED);
}

static void end_texts(struct settings *settings)
{
	if (settings->lists > LISTS_MOST)
		settings->lists = 0;
	if (settings->balancers > BALANCERS_MOST)
		settings->balancers = 0;
	for (uint32_t i = 0; i < settings->lists; i++)
		settings->list[i].path[LIST_PATH_MOST] = '\0';
	if (settings->rules > RULES_MOST)
		settings->rules = 0;
	settings->refuse_text[REFUSE_TEXT_MOST] = '\0';
	settings->file[PATH_MOST] = '\0';
	settings->table[TABLE_NAME_MOST] = '\0';
}

bool limits_start(const struct table *table, struct settings *settings)
{
	const struct settings *from = &table->blocks[START_BLOCK].settings;

	settings_default(settings);
	uint32_t started = atomic_load(&table->header->started);
	if (started == 0)
		return true;
	memcpy(settings, from, bytes_in_use(((const volatile struct settings *)from)->rules));
	end_texts(settings);
	atomic_thread_fence(memory_order_acquire);
	return started == START_WRITTEN && atomic_load(&table->header->started) == START_WRITTEN;
}

void limits_failed(struct table *table, const struct settings_error *error)
{
	static const char secret[] = ": is wrong; whoever asked for the reload was told why";
	char why[sizeof(table->header->failure)] = "";
	struct text text = text_begin(why, sizeof(why));

	if (error->secret) {
		text_add_escaped(&text, error->text, error->place);
		text_add(&text, secret);
	} else {
		text_add(&text, error->text);
	}
	memcpy(table->header->failure, why, sizeof(why));
	atomic_store(&table->header->failed, clock_ms());
	event_note_plain(table, EVENT_RELOAD_FAILED);
}

bool limits_copy(const struct table *table, struct settings *settings)
{
	for (int attempt = 0; attempt < READS; attempt++) {
		uint64_t current = version_of(table);
		const struct settings *from = block_of(table, current);

		memcpy(settings, from, bytes_in_use(((const volatile struct settings *)from)->rules));
		end_texts(settings);
		if (unchanged(table, current))
			return true;
	}
	return false;
}

bool limits_name_balancer(const struct table *table, const struct address *peer)
{
	for (int attempt = 0; attempt < READS; attempt++) {
		uint64_t current = version_of(table);
		const struct settings *settings = block_of(table, current);
		uint32_t balancers = ((const volatile struct settings *)settings)->balancers;
		bool named = false;

		for (uint32_t i = 0; i < balancers && i < BALANCERS_MOST && !named; i++)
			named = network_contains(&settings->balancer[i], peer);
		if (unchanged(table, current))
			return named;
	}
	return false;
}

static inline bool find_rule(const struct table *table, const struct limits *limits, const struct connection *connection,
			     struct rule *rule)
{
	const struct limit_block *block = &table->blocks[limits->version % LIMIT_BLOCKS];

	return (limits->rules | limits->lists) != 0 &&
	       rules_find(&block->rules, &block->settings, limits->rules, limits->lists, connection_client(connection),
			  connection->local.port, rule) != FOUND_NONE;
}

/* A rule that says nothing of networks leaves them to the limit for all, unless it exempts its clients from limits. */
struct applied limits_for_network(const struct table *table, const struct limits *limits, const struct connection *connection)
{
	struct applied applied = {.limit = block_of(table, limits->version)->per_network};
	struct rule rule;

	if (find_rule(table, limits, connection, &rule) && (rule.per_network != 0 || rule.limit == LIMIT_NONE)) {
		applied.limit = rule.per_network != 0 ? rule.per_network : LIMIT_NONE;
		applied.by_rule = true;
	}
	if (!unchanged(table, limits->version))
		applied.limit = LIMIT_NONE;
	return applied;
}

static inline struct applied find_applied(const struct table *table, const struct limits *limits,
					  const struct connection *connection)
{
	struct applied applied = {.limit = limits->per_ip, .rate = limits->rate};
	struct rule rule;

	if (connection_is_unix(connection)) {
		applied.limit = limits->per_uid;
	} else if (find_rule(table, limits, connection, &rule)) {
		applied.limit = rule.limit;
		applied.by_rule = true;
		if (rule.rate.burst != 0)
			applied.rate = rule.rate;
	}
	return applied;
}

struct applied limits_for(const struct table *table, const struct limits *limits, const struct connection *connection)
{
	return find_applied(table, limits, connection);
}

HOT struct applied limits_apply(const struct table *table, struct limits *limits, const struct connection *connection)
{
	struct applied applied;
	int attempt = 0;

	do {
		read_brief(table, limits);
		applied = find_applied(table, limits, connection);
	} while (!unchanged(table, limits->version) && ++attempt < APPLIES);
	return applied;
}

HOT void limits_note(struct table *table, uint32_t entry, const struct applied *applied)
{
	_Atomic uint32_t *marks = &table->entry[entry].marks;
	uint32_t seen = atomic_load_explicit(marks, memory_order_relaxed);
	uint32_t now = (seen & ~(MARKS_LIMIT | MARK_BY_RULE)) | ((applied->limit + 1) & MARKS_LIMIT) |
		       (applied->by_rule ? MARK_BY_RULE : 0);

	/* Usually nothing has changed, and a line that is not written stays in everybody's cache. If somebody marks the client
	 * at this moment, the next admission notes it. */
	if (seen != now)
		atomic_compare_exchange_strong(marks, &seen, now);
}

COLD struct ban limits_ban(const struct table *table, const struct limits *limits)
{
	struct ban ban = block_of(table, limits->version)->ban;

	if (!unchanged(table, limits->version) || ban.rate.every_us == 0 || ban.rate.burst == 0 || ban.seconds > BAN_MOST)
		ban.seconds = 0;
	return ban;
}

void limits_refuse_text(const struct table *table, char text[REFUSE_TEXT_MOST + 1])
{
	for (int attempt = 0; attempt < READS; attempt++) {
		uint64_t current = version_of(table);

		memcpy(text, block_of(table, current)->refuse_text, REFUSE_TEXT_MOST);
		text[REFUSE_TEXT_MOST] = '\0';
		if (unchanged(table, current))
			return;
	}
}
