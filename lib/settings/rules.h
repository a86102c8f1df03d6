/* The index of rules, by which a limit is chosen. A lookup takes at most as many steps as an address has bits, however many
 * rules there are.
 *
 * The index has every network that a rule names or a list contains, once, sorted by address and then by prefix length. Each
 * network knows the next larger one that contains it. To find the networks that contain an address, take the last network that
 * does not come after it, by binary search (17 steps for 110 000). Either that one contains the address, or the next larger
 * networks are followed until one does. This finds all of them, because a network that starts at or before the address and
 * contains it also contains everything in between. They are found in at most 128 steps, the most specific one first.
 *
 * The index is in shared memory and is not trusted: each number read from it is checked against its maximum, and a lookup stops
 * when the next larger network has no shorter prefix. */
#ifndef CONNLIMIT_RULES_H
#define CONNLIMIT_RULES_H

#include "settings/settings.h"

enum { LISTED_MOST = 100000, NETWORKS_MOST = RULES_MOST + LISTED_MOST };

struct rules_network {
	struct address address;
	uint8_t prefix;
	uint8_t ipv6;  /* as in struct rule */
	uint16_t rule; /* its first rule; the others follow, sorted by port, the one for every port first */
	uint16_t rules;
	uint16_t list;	/* number of the list that contains it, from 1; 0 for none */
	uint32_t outer; /* the next larger network that contains it, + 1; 0 for none */
};

struct rules_index {
	uint32_t networks;
	uint32_t reserved;
	struct rules_network network[NETWORKS_MOST];
};

/* Sorts rules by network and port, as rules_build expects them. In place, without allocation, in n log n steps for any input;
 * async-signal-safe. */
void rules_sort(struct rule *rule, uint32_t rules);

/* Whether two rules name the same network and the same port. */
bool rules_same_place(const struct rule *a, const struct rule *b);

/* Finds the first of sorted rules that names the same network and port as the one before it; `rules` if there is none. */
uint32_t rules_repeated(const struct rule *rule, uint32_t rules);

/* The order of the index and of sorted rules. The result is below 0, 0 or above 0, like that of memcmp. */
int rules_order(const struct rules_network *a, const struct rules_network *b);

/* Makes the index from sorted rules, at most RULES_MOST, and from the networks in `listed` (sorted; NULL for none) that are in
 * one of the first `lists` lists. `listed` is not trusted: it may be another index in shared memory. Async-signal-safe,
 * O(networks * depth of nesting). */
void rules_build(struct rules_index *index, const struct rule *rule, uint32_t rules, const struct rules_index *listed,
		 uint32_t lists);

/* Finds what applies to an address and local port, and copies it to *found: the rule or list with the longest prefix. If
 * several have that prefix, a rule for the port comes first, then a rule for all ports, then a list. `settings` are those from
 * which the index was built, `rules` and `lists` the numbers of rules and lists in it. */
enum { FOUND_NONE, FOUND_RULE, FOUND_LIST /* + the list's index */ };
unsigned rules_find(const struct rules_index *index, const struct settings *settings, uint32_t rules, uint32_t lists,
		    const struct address *address, uint16_t port, struct rule *found);

#endif
