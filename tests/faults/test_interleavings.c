/* The real code under a scheduler: two or three actors run in one thread, each on a stack of its own, and change places at the
 * numbered points of lib/values/point.h. Two actors are tried in every order there is, up to 8000; where there are more, and
 * three actors, in as many random orders as INTERLEAVINGS says (2000), with the seed INTERLEAVING_SEED. After every step: no
 * client, nor network, counts less than it was admitted. At the end: never over the limit, no client entered twice, and after
 * all is let go, nothing counted.
 *
 * With LEFT_OUT=N one of the orderings that the algorithms rest on (enum ordering in lib/values/point.h) is not kept: then this
 * must fail, or it proves nothing. */
#include "../unit/apart.h"
#include "decisions/check.h"
#include "table/clients.h"
#include "values/budget.h"
#include "values/point.h"
#include "table/records.h"
#include "decisions/regroup.h"
#include "table/table.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

enum { ACTORS = 3, STACK = 256 * 1024, STEPS_MOST = 64, LIMIT = 1, ORDERS_MOST = 8000 };

struct actor {
	ucontext_t context;
	char stack[STACK];
	int64_t budget; /* what a thread has for itself */
	bool ended;
	void (*act)(struct actor *actor);
	reference held;
	enum verdict verdict;
	uint8_t client; /* last byte of its address */
};

static struct actor actors[ACTORS];
static unsigned number;
static ucontext_t scheduler;
static struct actor *running;
static struct table table;
static struct settings settings;
static bool failed;
static const char *scenario;

static enum ordering without;

void point_reached(enum point point)
{
	if (running != NULL && point < POINTS)
		swapcontext(&running->context, &scheduler);
}

bool left_out(enum ordering ordering)
{
	return ordering == without;
}

static void begin(unsigned which)
{
	struct actor *actor = &actors[which];

	actor->act(actor);
	actor->ended = true;
	swapcontext(&actor->context, &scheduler);
}

static struct connection connection_of(uint8_t client, uint16_t port)
{
	struct connection connection = {.peer.port = port, .local.port = 80};

	connection.peer.address.bytes[10] = connection.peer.address.bytes[11] = 0xff;
	connection.peer.address.bytes[12] = 10;
	connection.peer.address.bytes[15] = client;
	connection.local.address = connection.peer.address;
	return connection;
}

/* ---- what actors do ---- */

static void admit(struct actor *actor)
{
	struct connection connection = connection_of(actor->client, (uint16_t)(1000 + (actor - actors)));

	actor->verdict = table_admit(&table, &connection, &actor->held);
}

static void release(struct actor *actor)
{
	table_release(&table, actor->held);
	actor->held = 0;
}

static void admit_and_release(struct actor *actor)
{
	admit(actor);
	release(actor);
}

static uint32_t entry_of(uint8_t client, uint64_t *fingerprint, uint64_t *word)
{
	struct connection connection = connection_of(client, 1);
	struct limits limits;
	uint32_t entry = 0;

	limits_read(&table, &limits);
	struct network network = limits_client(&limits, &connection.peer.address);
	*fingerprint = client_fingerprint(&table, &network);
	return client_find(&table, *fingerprint, &entry, word) ? entry : table.entries;
}

static void mend(struct actor *actor)
{
	uint64_t fingerprint;
	uint64_t word;
	uint32_t entry = entry_of(actor->client, &fingerprint, &word);

	if (entry < table.entries)
		check_count(&table, entry);
}

static void publish(struct actor *actor)
{
	settings.per_ip = LIMIT;
	settings.ipv4_prefix = 32;
	regroup_publish(&table, limits_turn(&table), &settings);
	(void)actor;
}

/* The network that all clients are in, by the limits in force; the number of all entries if it has none. */
static uint32_t entry_of_network(uint64_t *word)
{
	struct connection connection = connection_of(0, 1);
	struct limits limits;
	uint32_t entry = 0;

	limits_read(&table, &limits);
	struct network network = limits_network(&limits, &connection.peer.address);
	return network_find(&table, client_fingerprint(&table, &network), &entry, word) ? entry : table.entries * 2;
}

static void mend_network(struct actor *actor)
{
	uint64_t word;
	uint32_t entry = entry_of_network(&word);

	if (entry < table.entries * 2)
		check_count(&table, entry);
	(void)actor;
}

static void publish_networks(uint32_t limit, uint8_t prefix)
{
	settings.per_network = limit;
	settings.network_ipv4_prefix = prefix;
	regroup_publish(&table, limits_turn(&table), &settings);
}

static void count_networks(struct actor *actor)
{
	publish_networks(LIMIT, 24);
	(void)actor;
}

static void widen_networks(struct actor *actor)
{
	publish_networks(LIMIT, 16);
	(void)actor;
}

static void count_no_networks(struct actor *actor)
{
	publish_networks(LIMIT_NONE, 24);
	(void)actor;
}

/* Clients 0 to 255 become one. */
static void widen(struct actor *actor)
{
	settings.ipv4_prefix = 24;
	regroup_publish(&table, limits_turn(&table), &settings);
	(void)actor;
}

/* ---- what must hold ---- */

static void wrong(const char *what, unsigned client)
{
	if (!failed)
		printf("# %s: %s, client %u\n", scenario, what, client);
	failed = true;
}

static bool in_networks; /* all clients are in one, and the limit is on that */
static bool limited;	 /* since the beginning */

static void look_at_network(const struct limits *limits)
{
	unsigned holding = 0;
	uint64_t word = 0;

	for (unsigned i = 0; i < number; i++)
		holding += actors[i].ended && actors[i].held != 0;
	if (holding > 0 && limits_count_networks(limits) &&
	    (entry_of_network(&word) == table.entries * 2 || (word & CLIENT_COUNT) < holding))
		wrong("their network counts less than it holds", 0);
}

/* Whoever was admitted is counted, at every moment that somebody could decide at. A slot that is published and not yet
 * confirmed may be uncounted: its owner will notice. */
static void look(void)
{
	struct limits limits;

	limits_read(&table, &limits);
	if (atomic_load(&table.header->grouped) != regroup_key(&limits))
		return; /* whoever decides groups first */
	look_at_network(&limits);
	for (unsigned i = 0; i < number; i++) {
		uint64_t fingerprint;
		uint64_t word = 0;
		unsigned holding = 0;

		for (unsigned j = 0; j < number; j++)
			holding += actors[j].client == actors[i].client && actors[j].ended && actors[j].held != 0;
		if (holding > 0 &&
		    (entry_of(actors[i].client, &fingerprint, &word) == table.entries || (word & CLIENT_COUNT) < holding))
			wrong("counts less than it holds", actors[i].client);
	}
}

static void look_at_end(void)
{
	struct limits limits;
	unsigned all = 0;

	for (unsigned client = 0; client < 4; client++) {
		struct connection connection = connection_of((uint8_t)client, 1);
		struct network network = {.address = connection.peer.address, .prefix = 128};
		uint64_t fingerprint = client_fingerprint(&table, &network);
		unsigned entries = 0;
		unsigned admitted = 0;

		for (uint32_t entry = 0; entry < table.entries; entry++)
			entries += atomic_load(&table.entry[entry].fingerprint) == fingerprint &&
				   (atomic_load(&table.entry[entry].word) & CLIENT_TENTATIVE) == 0;
		for (unsigned i = 0; i < number; i++)
			admitted += actors[i].client == client && actors[i].held != 0;
		if (entries > 1)
			wrong("is entered twice", client);
		if (!in_networks && admitted > LIMIT)
			wrong("is over its limit", client);
		all += admitted;
	}
	if (in_networks && limited && all > LIMIT)
		wrong("their network is over its limit", 0);
	limits_read(&table, &limits);
	regroup_look(&table, &limits);
	/* After a change of prefix: as many counted for whom they belong to now as are held. */
	for (unsigned i = 0; i < number; i++) {
		uint64_t fingerprint;
		uint64_t word = 0;
		if (actors[i].held != 0 &&
		    (entry_of(actors[i].client, &fingerprint, &word) == table.entries || (word & CLIENT_COUNT) == 0))
			wrong("is held and not counted", actors[i].client);
	}
	look_at_network(&limits);
	for (unsigned i = 0; i < number; i++)
		table_release(&table, actors[i].held);
	check_all(&table);
	for (uint32_t entry = 0; entry < table.entries * 2; entry++)
		if ((atomic_load(&table.entry[entry].word) & CLIENT_COUNT) != 0)
			wrong("counts what is gone", entry);
	for (uint32_t slot = 0; slot < table.capacity; slot++)
		if (record_kind(atomic_load(&table.record[slot].state)) != RECORD_FREE)
			wrong("a slot is lost", slot);
}

/* ---- scenarios ---- */

struct scenario {
	const char *name;
	unsigned actors;
	void (*prepare)(void);
	void (*act[ACTORS])(struct actor *actor);
	uint8_t client[ACTORS];
	enum { OF_CLIENTS, OF_NETWORKS, OF_NETWORKS_LATER } limit;
};

static void nothing(void)
{
}

static void hold_one(void)
{
	struct connection connection = connection_of(0, 1);

	table_admit(&table, &connection, &actors[0].held);
}

/* Client 0 counts one that no slot stands for. */
static void leave_gap(void)
{
	reference held;
	struct connection connection = connection_of(0, 1);
	uint64_t fingerprint;
	uint64_t word;
	uint64_t generation;

	table_admit(&table, &connection, &held);
	table_release(&table, held);
	uint32_t entry = entry_of(0, &fingerprint, &word);
	client_count(&table, entry, fingerprint, word, 10, &generation);
}

/* Their network does. */
static void leave_gap_in_network(void)
{
	reference held;
	struct connection connection = connection_of(0, 1);
	uint64_t word;
	uint64_t generation;

	table_admit(&table, &connection, &held);
	table_release(&table, held);
	uint32_t entry = entry_of_network(&word);
	client_count(&table, entry, atomic_load(&table.entry[entry].fingerprint), word, 10, &generation);
}

static void hold_one_uncounted(void)
{
	hold_one();
	count_no_networks(NULL);
}

/* Every entry belongs to somebody who holds nothing, client 0 among them: a new client takes one over. */
static void crowd(void)
{
	reference held;

	for (unsigned i = 0; i < 20000; i++) {
		struct connection connection = connection_of((uint8_t)i, 1);
		connection.peer.address.bytes[13] = (uint8_t)(1 + i / 256);
		table_admit(&table, &connection, &held);
		table_release(&table, held);
	}
	struct connection connection = connection_of(0, 1);
	table_admit(&table, &connection, &held);
	table_release(&table, held);
}

static const struct scenario scenarios[] = {
    {"two enter one client", 2, nothing, {admit, admit}, {0, 0}, OF_CLIENTS},
    {"one is released, one admitted", 2, hold_one, {release, admit}, {0, 0}, OF_CLIENTS},
    {"one comes and goes, one is admitted", 2, nothing, {admit_and_release, admit}, {0, 0}, OF_CLIENTS},
    {"a count is mended while one is admitted", 2, leave_gap, {mend, admit}, {0, 0}, OF_CLIENTS},
    {"a count is mended while one is released", 2, hold_one, {release, mend}, {0, 0}, OF_CLIENTS},
    {"two mend", 2, leave_gap, {mend, mend}, {0, 0}, OF_CLIENTS},
    {"one takes the entry that another comes back to", 2, crowd, {admit, admit}, {0, 1}, OF_CLIENTS},
    {"limits are published while one is admitted", 2, nothing, {publish, admit}, {0, 0}, OF_CLIENTS},
    {"two publish", 2, nothing, {publish, publish}, {0, 0}, OF_CLIENTS},
    {"a prefix is changed while one is released", 2, hold_one, {release, widen}, {0, 0}, OF_CLIENTS},
    {"a prefix is changed by two", 2, hold_one, {widen, widen}, {0, 0}, OF_CLIENTS},
    {"a prefix is changed to and fro", 2, hold_one, {widen, publish}, {0, 0}, OF_CLIENTS},
    {"a prefix is changed while one is admitted", 2, hold_one, {widen, admit}, {0, 0}, OF_CLIENTS},
    {"two enter one network", 2, nothing, {admit, admit}, {0, 1}, OF_NETWORKS},
    {"one of a network is released, one admitted", 2, hold_one, {release, admit}, {0, 1}, OF_NETWORKS},
    {"one of a network comes and goes, one is admitted", 2, nothing, {admit_and_release, admit}, {0, 1}, OF_NETWORKS},
    {"a network's count is mended while one is admitted", 2, leave_gap_in_network, {mend_network, admit}, {0, 1}, OF_NETWORKS},
    {"a network's count is mended while one is released", 2, hold_one, {release, mend_network}, {0, 1}, OF_NETWORKS},
    {"networks begin to be counted while one is admitted", 2, nothing, {count_networks, admit}, {0, 1}, OF_NETWORKS_LATER},
    {"networks begin to be counted while one is released", 2, hold_one, {release, count_networks}, {0, 1}, OF_NETWORKS_LATER},
    {"networks are counted again while one is released", 2, hold_one_uncounted, {release, count_networks}, {0, 1}, OF_NETWORKS},
    {"networks are not counted any more while one is released", 2, hold_one, {release, count_no_networks}, {0, 1}, OF_NETWORKS},
    {"networks are not counted any more while one is admitted",
     2,
     nothing,
     {admit, count_no_networks},
     {0, 1},
     OF_NETWORKS_LATER},
    {"networks become larger while one is released", 2, hold_one, {release, widen_networks}, {0, 1}, OF_NETWORKS},
    {"networks become larger while one is admitted", 2, nothing, {widen_networks, admit}, {0, 1}, OF_NETWORKS},
    {"networks are counted by two", 2, hold_one_uncounted, {count_networks, count_networks}, {0, 1}, OF_NETWORKS},
    {"networks become larger, and are not counted any more",
     2,
     hold_one,
     {widen_networks, count_no_networks},
     {0, 1},
     OF_NETWORKS},
    {"one of a network goes, one comes, its count is mended",
     3,
     hold_one,
     {release, admit, mend_network},
     {0, 1, 0},
     OF_NETWORKS},
    {"one goes, one comes, networks begin to be counted",
     3,
     hold_one,
     {release, admit, count_networks},
     {0, 1, 0},
     OF_NETWORKS_LATER},
    {"one goes, networks are counted no more and again",
     3,
     hold_one,
     {release, count_no_networks, count_networks},
     {0, 1, 0},
     OF_NETWORKS},
    {"three enter one network", 3, nothing, {admit, admit, admit}, {0, 1, 2}, OF_NETWORKS},
    {"three enter one client", 3, nothing, {admit, admit, admit}, {0, 0, 0}, OF_CLIENTS},
    {"one goes, one mends, one comes", 3, hold_one, {release, mend, admit}, {0, 0, 0}, OF_CLIENTS},
    {"three come and go", 3, crowd, {admit_and_release, admit, admit_and_release}, {0, 0, 1}, OF_CLIENTS},
};

static size_t empty_size;
static char *prepared; /* the table as the scenario's preparation leaves it */

/* The limits' blocks are large and mostly room for rules and lists, of which there are none: only what is in use is copied. */
static void copy_table(char *to, const char *from)
{
	size_t blocks = (size_t)((char *)table.blocks - (char *)table.segment.base);
	size_t behind = blocks + (sizeof(struct limit_block) * (LIMIT_BLOCKS + 1));

	memcpy(to, from, blocks);
	for (unsigned i = 0; i <= LIMIT_BLOCKS; i++) {
		size_t block = blocks + i * sizeof(struct limit_block);
		size_t index = block + offsetof(struct limit_block, rules);

		memcpy(to + block, from + block, offsetof(struct limit_block, settings.rule));
		memcpy(to + index, from + index, offsetof(struct rules_index, network));
	}
	memcpy(to + behind, from + behind, empty_size - behind);
}

static void set_up(const struct scenario *chosen)
{
	copy_table(table.segment.base, prepared);
	for (unsigned i = 0; i < number; i++) {
		struct actor *actor = &actors[i];
		reference held = i == 0 ? actor->held : 0;
		actor->ended = false;
		actor->budget = BUDGET_NONE;
		actor->act = chosen->act[i];
		actor->client = chosen->client[i];
		actor->verdict = VERDICT_UNCOUNTED;
		actor->held = held;
		getcontext(&actor->context);
		actor->context.uc_stack.ss_sp = actor->stack;
		actor->context.uc_stack.ss_size = STACK;
		makecontext(&actor->context, (void (*)(void))begin, 1, i);
	}
}

/* Lets the n-th of those who have not ended take a step. Returns how many there were to choose from before it; 0 at the end. */
static unsigned step(unsigned choice)
{
	unsigned able = 0;
	struct actor *chosen = NULL;

	for (unsigned i = 0; i < number; i++)
		able += !actors[i].ended;
	for (unsigned i = 0, n = 0; i < number; i++)
		if (!actors[i].ended && n++ == choice % (able != 0 ? able : 1))
			chosen = &actors[i];
	if (chosen != NULL) {
		running = chosen;
		budget_set(chosen->budget);
		swapcontext(&scheduler, &chosen->context);
		chosen->budget = budget_set(BUDGET_NONE);
		running = NULL;
		look();
	}
	return able;
}

static unsigned long every_order(const struct scenario *chosen, reference held)
{
	unsigned char choice[STEPS_MOST] = {0};
	unsigned char able[STEPS_MOST];
	unsigned long orders = 0;

	for (;;) {
		unsigned steps = 0;
		actors[0].held = held;
		set_up(chosen);
		while (steps < STEPS_MOST && (able[steps] = (unsigned char)step(choice[steps])) != 0)
			steps++;
		if (steps == STEPS_MOST) /* longer than is tried in every order: the rest one after the other */
			while (step(0) != 0)
				;
		look_at_end();
		orders++;
		/* The next order: the last place where another choice is left. */
		while (steps > 0 && choice[steps - 1] + 1U >= able[steps - 1])
			steps--;
		if (steps == 0 || failed || orders >= ORDERS_MOST)
			return orders;
		choice[steps - 1]++;
		memset(choice + steps, 0, STEPS_MOST - steps);
	}
}

static unsigned long random_orders(const struct scenario *chosen, reference held, uint64_t seed, unsigned long orders)
{
	for (unsigned long order = 0; order < orders && !failed; order++) {
		actors[0].held = held;
		set_up(chosen);
		do
			seed = seed * 6364136223846793005U + 1442695040888963407U;
		while (step((unsigned)(seed >> 40)) != 0);
		look_at_end();
	}
	return orders;
}

static long number_of(const char *name, long standard)
{
	const char *text = getenv(name);

	return text != NULL ? strtol(text, NULL, 10) : standard;
}

int main(void)
{
	unsigned long orders = (unsigned long)number_of("INTERLEAVINGS", 2000);
	uint64_t seed = (uint64_t)number_of("INTERLEAVING_SEED", 1);
	unsigned tests = sizeof(scenarios) / sizeof(scenarios[0]);
	bool any_failed = false;

	without = (enum ordering)number_of("LEFT_OUT", ORDERING_NONE_LEFT_OUT);
	settings_default(&settings);
	settings.per_ip = LIMIT;
	settings.capacity = 64;
	printf("1..%u\n# INTERLEAVING_SEED=%llu\n", tests, (unsigned long long)seed);
	for (unsigned i = 0; i < tests; i++) {
		const struct scenario *chosen = &scenarios[i];

		in_networks = chosen->limit != OF_CLIENTS;
		limited = chosen->limit != OF_NETWORKS_LATER;
		settings.per_ip = in_networks ? LIMIT_NONE : LIMIT;
		settings.per_network = chosen->limit == OF_NETWORKS ? LIMIT : LIMIT_NONE;
		settings.network_ipv4_prefix = 24;
		if (!table_open_anonymous(&table, "interleavings", &settings) || !set_apart(&table))
			return 1;
		empty_size = table.segment.size;
		prepared = malloc(empty_size);
		number = chosen->actors;
		settings.ipv4_prefix = 32;
		scenario = chosen->name;
		failed = false;
		actors[0].held = 0;
		chosen->prepare();
		reference held = actors[0].held;
		copy_table(prepared, table.segment.base);
		unsigned long tried = number == 2 ? every_order(chosen, held) : 0;
		if (number > 2 || tried == ORDERS_MOST)
			tried += random_orders(chosen, held, seed, orders);
		printf("%s %u - %s, %lu orders\n", failed ? "not ok" : "ok", i + 1, chosen->name, tried);
		any_failed |= failed;
		if (any_failed && without != ORDERING_NONE_LEFT_OUT)
			return 1;
		free(prepared);
		table_leave(&table);
	}
	return any_failed ? 1 : 0;
}
