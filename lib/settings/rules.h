/* The rules by which a limit is chosen, in a form that is looked up in as many steps as an address has bits, however many
 * rules.
 *
 * The networks that rules name, and lists have, without repeats, lie sorted by address and then by length; each knows the next
 * larger one that contains it. The last network that does not come after an address either contains it, or the most specific
 * one that does is found by going from there to ever larger ones: a network that starts at or before the address and contains
 * it also contains everything between its start and the address. So a search by halves (17 steps for 110 000) and at most 128
 * steps outwards find every network that contains the address, the most specific first.
 *
 * The index lies in shared memory, so nothing read from it is believed: each index is compared with the most there can be, and
 * a step outwards that does not shorten the prefix ends the walk. */
#ifndef CONNLIMIT_RULES_H
#define CONNLIMIT_RULES_H

#include "settings/settings.h"

enum { LISTED_MOST = 100000, NETWORKS_MOST = RULES_MOST + LISTED_MOST };

struct rules_network {
	struct address address;
	uint8_t prefix;
	uint8_t ipv6;  /* as in struct rule */
	uint16_t rule; /* its first rule; the others follow, by port, the one for every port first */
	uint16_t rules;
	uint16_t list;	/* the number of the list that has it, from 1; 0 for none */
	uint32_t outer; /* the next larger network that contains it, + 1; 0 for none */
};

struct rules_index {
	uint32_t networks;
	uint32_t reserved;
	struct rules_network network[NETWORKS_MOST];
};

/* Sorts rules by network and port: the order that rules_build expects. In place, without allocation, in n log n steps whatever
 * the rules are; async-signal-safe. */
void rules_sort(struct rule *rule, uint32_t rules);

/* Whether two rules name the same network and the same port. */
bool rules_same_place(const struct rule *a, const struct rule *b);

/* Of sorted rules, the first that names the same network and port as the one before it; `rules` if there is none. */
uint32_t rules_repeated(const struct rule *rule, uint32_t rules);

/* The order of an index, in which struct rules_network and sorted rules stand: below 0, 0 or above, as of memcmp. */
int rules_order(const struct rules_network *a, const struct rules_network *b);

/* Makes the index of sorted rules, of which there are at most RULES_MOST, and of those networks in `listed`, sorted as well,
 * that are in one of the first `lists` lists; NULL for none. What is there is not believed: it may be another index, in shared
 * memory. Async-signal-safe, O(networks * depth of nesting). */
void rules_build(struct rules_index *index, const struct rule *rule, uint32_t rules, const struct rules_index *listed,
		 uint32_t lists);

/* What applies to an address and local port: a copy of its rule, that of the longest prefix, and there one for the port before
 * one for all, before a list. `settings` are what the index was built from, `rules` and `lists` how many of them are there. */
enum { FOUND_NONE, FOUND_RULE, FOUND_LIST /* and so many lists before it */ };
unsigned rules_find(const struct rules_index *index, const struct settings *settings, uint32_t rules, uint32_t lists,
		    const struct address *address, uint16_t port, struct rule *found);

#endif
