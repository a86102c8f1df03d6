#include "settings/rules.h"

#include "values/heap.h"

#include <stdatomic.h>
#include <string.h>

static int compare(const struct rule *a, const struct rule *b)
{
	int order = memcmp(a->network.address.bytes, b->network.address.bytes, sizeof(a->network.address.bytes));

	if (order != 0)
		return order;
	if (a->network.prefix != b->network.prefix)
		return a->network.prefix < b->network.prefix ? -1 : 1;
	if (a->ipv6 != b->ipv6)
		return a->ipv6 < b->ipv6 ? -1 : 1;
	return a->port < b->port ? -1 : a->port > b->port ? 1 : 0;
}

bool rules_same_place(const struct rule *a, const struct rule *b)
{
	return compare(a, b) == 0;
}

static bool before(const void *rules, size_t a, size_t b)
{
	const struct rule *rule = rules;

	return compare(&rule[a], &rule[b]) < 0;
}

static void swap(void *rules, size_t a, size_t b)
{
	struct rule *rule = rules;
	struct rule moved = rule[a];

	rule[a] = rule[b];
	rule[b] = moved;
}

void rules_sort(struct rule *rule, uint32_t rules)
{
	uint32_t sorted = 1;

	while (sorted < rules && compare(&rule[sorted - 1], &rule[sorted]) <= 0)
		sorted++;
	if (sorted >= rules)
		return;
	heap_sort(&(struct heap){.before = before, .swap = swap, .items = rule}, rules);
}

uint32_t rules_repeated(const struct rule *rule, uint32_t rules)
{
	for (uint32_t i = 1; i < rules; i++)
		if (rules_same_place(&rule[i - 1], &rule[i]))
			return i;
	return rules;
}

/* The length of a network's prefix, for comparison: "every IPv6 address" is a little longer than "every address". */
static unsigned length_of(unsigned prefix, bool ipv6)
{
	return prefix > 0 ? prefix + 1 : ipv6 ? 1 : 0;
}

static bool contains(const struct rules_network *outer, const struct address *address)
{
	unsigned whole = outer->prefix / 8U;
	unsigned bits = outer->prefix % 8U;

	if (whole > 15)
		return memcmp(outer->address.bytes, address->bytes, 16) == 0;
	return memcmp(outer->address.bytes, address->bytes, whole) == 0 &&
	       (bits == 0 || (outer->address.bytes[whole] ^ address->bytes[whole]) >> (8 - bits) == 0);
}

/* Copies network `at - 1`, with its numbers checked. False if there is no such network, as for 0. The fence stops the compiler
 * from reading shared memory again after the check. */
static bool network_at(const struct rules_index *index, uint32_t at, uint32_t rules, struct rules_network *copy)
{
	if (at == 0 || at > NETWORKS_MOST)
		return false;
	*copy = index->network[at - 1];
	atomic_signal_fence(memory_order_seq_cst);
	return copy->prefix <= 128 && (copy->rules == 0 || (copy->rule < rules && copy->rules <= rules - copy->rule));
}

int rules_order(const struct rules_network *a, const struct rules_network *b)
{
	int order = memcmp(a->address.bytes, b->address.bytes, sizeof(a->address.bytes));

	if (order != 0)
		return order;
	if (a->prefix != b->prefix)
		return a->prefix < b->prefix ? -1 : 1;
	return (a->ipv6 != 0) - (b->ipv6 != 0);
}

/* The state of merging rules and listed networks, both sorted. */
struct merging {
	const struct rule *rule;
	uint32_t rules, at_rule;
	const struct rules_index *listed;
	uint32_t number, at_listed;
	uint32_t lists;
};

/* The next rule's network, with all of its rules. */
static bool peek_rule(struct merging *merging, struct rules_network *network)
{
	while (merging->at_rule < merging->rules && merging->rule[merging->at_rule].network.prefix > 128)
		merging->at_rule++;
	if (merging->at_rule == merging->rules)
		return false;
	const struct rule *first = &merging->rule[merging->at_rule];
	*network = (struct rules_network){.address = first->network.address,
					  .prefix = first->network.prefix,
					  .ipv6 = first->ipv6,
					  .rule = (uint16_t)merging->at_rule};
	uint32_t end = merging->at_rule;
	while (end < merging->rules && merging->rule[end].network.prefix == network->prefix &&
	       merging->rule[end].ipv6 == network->ipv6 &&
	       memcmp(&merging->rule[end].network.address, &network->address, sizeof(network->address)) == 0)
		end++;
	network->rules = (uint16_t)(end - merging->at_rule);
	return network->rules > 0;
}

static bool peek_listed(struct merging *merging, struct rules_network *network)
{
	for (; merging->at_listed < merging->number; merging->at_listed++) {
		*network = merging->listed->network[merging->at_listed];
		atomic_signal_fence(memory_order_seq_cst);
		if (network->list != 0 && network->list <= merging->lists && network->prefix <= 128)
			break;
	}
	network->rule = network->rules = 0;
	return merging->at_listed < merging->number;
}

static bool next_network(struct merging *merging, struct rules_network *network)
{
	struct rules_network ruled;
	struct rules_network listed;
	bool rule = peek_rule(merging, &ruled);
	bool list = peek_listed(merging, &listed);
	int order = !rule ? 1 : !list ? -1 : rules_order(&ruled, &listed);

	if (order <= 0)
		merging->at_rule += ruled.rules;
	if (order >= 0 && list)
		merging->at_listed++;
	*network = order <= 0 ? ruled : listed;
	if (order == 0)
		network->list = listed.list;
	return rule || list;
}

void rules_build(struct rules_index *index, const struct rule *rule, uint32_t rules, const struct rules_index *listed,
		 uint32_t lists)
{
	uint32_t number = listed != NULL ? *(const volatile uint32_t *)&listed->networks : 0;
	struct merging merging = {.rule = rule,
				  .rules = rules <= RULES_MOST ? rules : RULES_MOST,
				  .listed = listed,
				  .number = lists > 0 && number <= NETWORKS_MOST ? number : 0,
				  .lists = lists};
	struct rules_network next;
	uint32_t networks = 0;

	while (networks < NETWORKS_MOST && next_network(&merging, &next)) {
		/* In sorted order, what contains this one also contains the one before it, or is the one before it. */
		uint32_t outer = networks;
		struct rules_network larger;
		for (int step = 0;
		     step <= 130 && network_at(index, outer, merging.rules, &larger) && !contains(&larger, &next.address);
		     step++)
			outer = larger.outer;
		if (!network_at(index, outer, merging.rules, &larger) ||
		    length_of(larger.prefix, larger.ipv6) >= length_of(next.prefix, next.ipv6))
			outer = 0;
		next.outer = outer;
		index->network[networks++] = next;
	}
	index->networks = networks;
}

/* Among one network's rules, finds the one for this port, otherwise the one for every port. */
static bool find_port(const struct rule *rule, const struct rules_network *network, uint16_t port, struct rule *found)
{
	uint32_t low = network->rule;
	uint32_t high = low + network->rules;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (rule[middle].port < port)
			low = middle + 1;
		else
			high = middle;
	}
	if (low < (uint32_t)network->rule + network->rules && rule[low].port == port) {
		*found = rule[low];
		return true;
	}
	if (network->rules > 0 && rule[network->rule].port == 0) {
		*found = rule[network->rule];
		return true;
	}
	return false;
}

static void find_list(const struct settings *settings, const struct rules_network *network, struct rule *found)
{
	const struct list *list = &settings->list[network->list - 1];

	*found = (struct rule){.network = {.address = network->address, .prefix = network->prefix},
			       .ipv6 = network->ipv6,
			       .limit = list->limit,
			       .rate = list->rate,
			       .per_network = list->per_network};
}

unsigned rules_find(const struct rules_index *index, const struct settings *settings, uint32_t rules, uint32_t lists,
		    const struct address *address, uint16_t port, struct rule *found)
{
	struct rules_network network;
	bool ipv4 = address_is_ipv4(address);
	uint32_t low = 0;
	uint32_t networks = *(const volatile uint32_t *)&index->networks; /* read once: it is checked and then used */
	uint32_t high = networks <= NETWORKS_MOST ? networks : 0;

	/* All networks before `low` start at or before the address. */
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (memcmp(index->network[middle].address.bytes, address->bytes, sizeof(address->bytes)) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	unsigned longest = 130;
	while (network_at(index, low, rules, &network) && length_of(network.prefix, network.ipv6) < longest) {
		/* An IPv4 address is stored as ::ffff:a.b.c.d, but is in no network that is written as an IPv6 one. */
		longest = length_of(network.prefix, network.ipv6);
		bool other_family = ipv4 && longest > 0 && network.prefix < 96;
		if (!other_family && contains(&network, address)) {
			if (find_port(settings->rule, &network, port, found))
				return FOUND_RULE;
			if (network.list != 0 && network.list <= lists && network.list <= LISTS_MOST) {
				find_list(settings, &network, found);
				return FOUND_LIST + network.list - 1U;
			}
		}
		low = network.outer;
	}
	return FOUND_NONE;
}
