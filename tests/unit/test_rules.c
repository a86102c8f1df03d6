/* Rules: the index finds what reading every rule would find, whatever the rules are. */
#include "values/clock.h"
#include "settings/rules.h"
#include "decisions/regroup.h"
#include "settings/settings.h"
#include "table/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct rules_index index_of_rules;
static struct settings of_rules;
static struct rule *const rule = of_rules.rule;
static uint64_t dice = 0x2545f4914f6cdd1d;

static uint32_t roll(uint32_t sides)
{
	dice ^= dice << 13;
	dice ^= dice >> 7;
	dice ^= dice << 17;
	return (uint32_t)(dice >> 33) % sides;
}

static struct address random_address(unsigned variety)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	struct address address = {{0}};

	if (roll(2) == 0) {
		memcpy(address.bytes, mapped, sizeof(mapped));
		for (int i = 12; i < 16; i++)
			address.bytes[i] = (uint8_t)roll(variety);
	} else {
		for (int i = 0; i < 16; i++)
			address.bytes[i] = (uint8_t)(roll(3) == 0 ? roll(variety) : 0);
	}
	return address;
}

static struct rule random_rule(unsigned variety)
{
	struct rule made = {.limit = roll(1000), .port = (uint16_t)(roll(3) == 0 ? 1 + roll(5) : 0)};

	made.network.prefix = (uint8_t)roll(129);
	made.network.address = address_masked(random_address(variety), made.network.prefix);
	made.ipv6 = made.network.prefix == 0 && roll(2) == 0;
	return made;
}

static unsigned length_of(const struct rule *one)
{
	return one->network.prefix + (one->network.prefix > 0 || one->ipv6 ? 1U : 0U);
}

/* A rule without a network is for all. */
static bool concerns(const struct rule *one, const struct address *address)
{
	return length_of(one) == 0 || network_contains(&one->network, address);
}

/* What the rules mean, word for word: the longest prefix wins, then a rule with a port over one without. */
static bool read_them_all(uint32_t rules, const struct address *address, uint16_t port, uint32_t *limit)
{
	const struct rule *best = NULL;

	for (uint32_t i = 0; i < rules; i++) {
		if (!concerns(&rule[i], address) || (rule[i].port != 0 && rule[i].port != port))
			continue;
		if (best == NULL || length_of(&rule[i]) > length_of(best) ||
		    (length_of(&rule[i]) == length_of(best) && rule[i].port > best->port))
			best = &rule[i];
	}
	if (best != NULL)
		*limit = best->limit;
	return best != NULL;
}

/* Random rules, without repeats. */
static uint32_t make_rules(uint32_t wanted, unsigned variety)
{
	uint32_t rules = 0;

	while (rules < wanted) {
		for (uint32_t i = rules; i < wanted; i++)
			rule[i] = random_rule(variety);
		rules_sort(rule, wanted);
		rules = 0;
		for (uint32_t i = 0; i < wanted; i++)
			if (rules == 0 || !rules_same_place(&rule[rules - 1], &rule[i]))
				rule[rules++] = rule[i];
	}
	return rules;
}

static void compare_with_reading_all(uint32_t rules, unsigned variety, int questions)
{
	int found = 0;

	rules_build(&index_of_rules, rule, rules, NULL, 0);
	for (int i = 0; i < questions; i++) {
		struct address address = random_address(variety);
		uint16_t port = (uint16_t)roll(8);
		uint32_t expected = 0;
		struct rule found_rule = {0};

		/* Half of them next to where rules are. */
		if (rules > 0 && roll(2) == 0) {
			address = rule[roll(rules)].network.address;
			address.bytes[roll(16)] ^= (uint8_t)(roll(4) == 0 ? 1U << roll(8) : 0);
		}
		bool there = read_them_all(rules, &address, port, &expected);
		assert_int_equal(rules_find(&index_of_rules, &of_rules, rules, 0, &address, port, &found_rule), there);
		assert_int_equal(found_rule.limit, expected);
		found += there;
	}
	if (rules > 100)
		assert_true(found > questions / 10);
}

static void random_rules_of_every_number(void **state)
{
	(void)state;
	for (uint32_t rules = 0; rules < 60; rules++)
		compare_with_reading_all(make_rules(rules, 1 + rules % 4), 1 + rules % 4, 500);
	for (unsigned variety = 1; variety <= 256; variety *= 2)
		compare_with_reading_all(make_rules(300, variety < 2 ? 2 : variety), variety < 2 ? 2 : variety, 3000);
}

static void ten_thousand_rules(void **state)
{
	(void)state;
	compare_with_reading_all(make_rules(RULES_MOST, 256), 256, 2000);
	compare_with_reading_all(make_rules(RULES_MOST, 4), 4, 2000);
}

static void ten_thousand_ports_of_one_network(void **state)
{
	struct address address = {{0}};
	struct rule found;

	(void)state;
	for (uint32_t i = 0; i < RULES_MOST; i++)
		rule[i] = (struct rule){.port = (uint16_t)(RULES_MOST - 1 - i), .limit = RULES_MOST - 1 - i};
	rules_sort(rule, RULES_MOST);
	rules_build(&index_of_rules, rule, RULES_MOST, NULL, 0);
	assert_int_equal(index_of_rules.networks, 1);
	for (uint32_t port = 1; port < 65536; port++) {
		assert_true(rules_find(&index_of_rules, &of_rules, RULES_MOST, 0, &address, (uint16_t)port, &found));
		assert_int_equal(found.limit, port < RULES_MOST ? port : 0);
	}
}

/* Nested as deep as addresses go: the walk outwards is as long as it can be. */
static void as_deep_as_addresses_go(void **state)
{
	struct address inside;
	struct rule found;

	(void)state;
	memset(inside.bytes, 0xff, sizeof(inside.bytes));
	for (unsigned prefix = 0; prefix <= 128; prefix++)
		rule[prefix] = (struct rule){.network = {.address = address_masked(inside, prefix), .prefix = (uint8_t)prefix},
					     .port = 80,
					     .limit = prefix + 1};
	rules_sort(rule, 129);
	rules_build(&index_of_rules, rule, 129, NULL, 0);
	for (unsigned bit = 0; bit < 128; bit++) {
		struct address address = inside;
		address.bytes[bit / 8] ^= (uint8_t)(0x80U >> (bit % 8));
		assert_true(rules_find(&index_of_rules, &of_rules, 129, 0, &address, 80, &found));
		assert_int_equal(found.limit, bit + 1);
		assert_false(rules_find(&index_of_rules, &of_rules, 129, 0, &address, 81, &found));
	}
	assert_true(rules_find(&index_of_rules, &of_rules, 129, 0, &inside, 80, &found));
	assert_int_equal(found.limit, 129);
}

static void repeats_are_found(void **state)
{
	(void)state;
	for (int round = 0; round < 200; round++) {
		uint32_t rules = make_rules(1 + roll(100), 8);
		assert_int_equal(rules_repeated(rule, rules), rules);
		rule[rules] = rule[roll(rules)];
		rule[rules].limit++;
		rules_sort(rule, rules + 1);
		uint32_t repeated = rules_repeated(rule, rules + 1);
		assert_true(repeated > 0 && repeated <= rules);
		assert_true(rules_same_place(&rule[repeated], &rule[repeated - 1]));
	}
}

/* ---- lists ---- */

static struct rules_index listed;

/* Of networks without repeats, each in some list. */
static void make_listed(uint32_t number, unsigned variety)
{
	static struct rule sorted[RULES_MOST];

	for (uint32_t i = 0; i < number; i++) {
		sorted[i] = random_rule(variety);
		sorted[i].port = 0;
	}
	rules_sort(sorted, number);
	listed.networks = 0;
	for (uint32_t i = 0; i < number; i++)
		if (i == 0 || !rules_same_place(&sorted[i - 1], &sorted[i]))
			listed.network[listed.networks++] = (struct rules_network){.address = sorted[i].network.address,
										   .prefix = sorted[i].network.prefix,
										   .ipv6 = sorted[i].ipv6,
										   .list = (uint16_t)(1 + roll(LISTS_MOST)),
										   .outer = roll(1000)};
}

static void lists_among_rules(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < LISTS_MOST; i++)
		of_rules.list[i].limit = 2000 + i;
	for (unsigned round = 0; round < 300; round++) {
		unsigned variety = 2 + round % 5;
		uint32_t rules = make_rules(round % 40, variety);
		uint32_t lists = 1 + roll(LISTS_MOST);
		make_listed(1 + round, variety);
		rules_build(&index_of_rules, rule, rules, &listed, lists);
		for (int i = 0; i < 200; i++) {
			struct address address = random_address(variety);
			uint16_t port = (uint16_t)roll(8);
			uint32_t expected = 0;
			unsigned longest = 0;
			struct rule found = {0};
			bool there = read_them_all(rules, &address, port, &expected);
			bool by_list = false;

			for (uint32_t r = 0; there && r < rules; r++)
				if (rule[r].limit == expected && concerns(&rule[r], &address) &&
				    (rule[r].port == 0 || rule[r].port == port) && length_of(&rule[r]) > longest)
					longest = length_of(&rule[r]);
			for (uint32_t n = 0; n < listed.networks; n++) {
				const struct rules_network *one = &listed.network[n];
				struct rule as = {.network = {.address = one->address, .prefix = one->prefix},
						  .ipv6 = one->ipv6};
				if (one->list > lists || !concerns(&as, &address))
					continue;
				if (!there || length_of(&as) > longest) {
					expected = 2000 + one->list - 1U;
					longest = length_of(&as);
					there = by_list = true;
				}
			}
			unsigned which = rules_find(&index_of_rules, &of_rules, rules, lists, &address, port, &found);
			assert_int_equal(which != FOUND_NONE, there);
			assert_int_equal(found.limit, expected);
			assert_int_equal(which >= FOUND_LIST, by_list);
			if (by_list)
				assert_int_equal(which - FOUND_LIST, expected - 2000);
		}
		/* Made from an index that is in force, it is the same. */
		static struct rules_index again;
		rules_build(&again, rule, rules, &index_of_rules, lists);
		assert_int_equal(again.networks, index_of_rules.networks);
		assert_memory_equal(again.network, index_of_rules.network, again.networks * sizeof(again.network[0]));
	}
}

static void as_many_as_there_may_be(void **state)
{
	struct rule found;

	(void)state;
	for (uint32_t i = 0; i < LISTED_MOST; i++) {
		struct address address = {.bytes = {0x20, 0x01, 0x0d, 0xb8, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i}};
		listed.network[i] = (struct rules_network){.address = address, .prefix = 56, .list = 1};
	}
	listed.networks = LISTED_MOST;
	for (uint32_t i = 0; i < RULES_MOST; i++)
		rule[i] = (struct rule){
		    .network = {.address = {.bytes = {0x20, 0x02, (uint8_t)(i >> 8), (uint8_t)i}}, .prefix = 32}, .limit = 7};
	rules_build(&index_of_rules, rule, RULES_MOST, &listed, 1);
	assert_int_equal(index_of_rules.networks, NETWORKS_MOST);
	for (uint32_t i = 0; i < LISTED_MOST; i += 997) {
		struct address address = listed.network[i].address;
		address.bytes[15] = 1;
		assert_int_equal(rules_find(&index_of_rules, &of_rules, RULES_MOST, 1, &address, 80, &found), FOUND_LIST);
		address.bytes[1] = 0x03;
		assert_int_equal(rules_find(&index_of_rules, &of_rules, RULES_MOST, 1, &address, 80, &found), FOUND_NONE);
	}
}

/* Another process may write anything into the index: lookups end, and read nothing outside (a sanitizer would tell). */
static void garbage_in_shared_memory(void **state)
{
	(void)state;
	for (int round = 0; round < 300; round++) {
		uint8_t *bytes = (uint8_t *)&index_of_rules;
		uint32_t rules = make_rules(50, 4);
		rules_build(&index_of_rules, rule, rules, NULL, 0);
		for (int i = 0; i < 200; i++)
			bytes[roll(offsetof(struct rules_index, network) + 50 * sizeof(struct rules_network))] =
			    (uint8_t)roll(256);
		for (int i = 0; i < 50; i++) {
			struct address address = random_address(4);
			struct rule found;
			rules_find(&index_of_rules, &of_rules, rules, roll(UINT16_MAX), &address, (uint16_t)roll(6), &found);
		}
		/* What `connlimit set` has of lists is out of there too. */
		index_of_rules.networks = roll(2) == 0 ? roll(UINT32_MAX) : 50;
		rules_build(&listed, rule, rules, &index_of_rules, LISTS_MOST);
		assert_true(listed.networks <= NETWORKS_MOST);
	}
}

static struct settings settings;
static struct settings_error error;

static bool set_rules(const char *text)
{
	return settings_set(&settings, SETTING_RULES, text, strlen(text), FROM_ENVIRONMENT, &error);
}

static void the_same_place_twice_is_an_error(void **state)
{
	(void)state;
	settings_default(&settings);
	assert_true(set_rules("10.0.0.0/8=5 :80=7 10.0.0.0/8:80=deny"));
	assert_int_equal(settings.rules, 3);
	assert_false(set_rules("192.0.2.1=1 10.0.0.0/8=5 :80=7 10.0.0.0/8=6"));
	assert_non_null(strstr(error.text, "CONNLIMIT_RULES"));
	assert_non_null(strstr(error.text, "10.0.0.0/8=6"));
	assert_non_null(strstr(error.text, "character 32"));
	assert_false(set_rules("192.0.2.1=1 ::ffff:192.0.2.1=1"));
	/* What was there stands. */
	assert_int_equal(settings.rules, 3);
	assert_int_equal(settings.origin[SETTING_RULES], FROM_ENVIRONMENT);
	assert_true(set_rules(""));
	assert_int_equal(settings.rules, 0);
}

static void ten_thousand_and_one_more(void **state)
{
	static char text[RULES_MOST * 32];
	size_t length = 0;

	(void)state;
	settings_default(&settings);
	for (unsigned i = 0; i < RULES_MOST; i++)
		length += (size_t)sprintf(text + length, "10.%u.%u.0/24=%u\n", i / 256, i % 256, i + 1);
	assert_true(set_rules(text));
	assert_int_equal(settings.rules, RULES_MOST);
	strcpy(text + length, "192.0.2.1=1");
	assert_false(set_rules(text));
	assert_int_equal(settings.rules, RULES_MOST);
	assert_true(set_rules("192.0.2.1=1"));
	assert_int_equal(settings.rules, 1);
}

/* ---- published while they are read ---- */

enum { PUBLICATIONS = 600, READERS = 3, PUBLISHED_RULES = 500 };

static struct table table;
static _Atomic bool done;

/* In every publication the limit per client is n, and each network's is n + its own number, so that old and new cannot be mixed
 * up. */
static void publish(uint32_t n)
{
	settings_default(&settings);
	settings.capacity = 64;
	settings.per_ip = n;
	settings.rules = PUBLISHED_RULES - n % 7 * 50;
	for (uint32_t i = 0; i < settings.rules; i++) {
		settings.rule[i] = (struct rule){.network.prefix = 32, .limit = n + i};
		settings.rule[i].network.address.bytes[2] = (uint8_t)(i >> 8);
		settings.rule[i].network.address.bytes[3] = (uint8_t)i;
	}
	while (!regroup_publish(&table, limits_turn(&table), &settings))
		;
}

static void *read_and_compare(void *with)
{
	unsigned seed = *(unsigned *)with;
	uintptr_t mixed = 0;

	while (!done) {
		struct connection connection = {.peer = {.port = 1}, .local = {.port = 80}};
		uint32_t i = (uint32_t)rand_r(&seed) % PUBLISHED_RULES;
		struct limits limits;

		connection.peer.address.bytes[2] = (uint8_t)(i >> 8);
		connection.peer.address.bytes[3] = (uint8_t)i;
		uint32_t limit = limits_apply(&table, &limits, &connection).limit;
		mixed += limit != (i < limits.rules ? limits.per_ip + i : limits.per_ip);
	}
	return (void *)mixed; // NOLINT(performance-no-int-to-ptr)
}

static void whoever_reads_sees_all_of_one_publication(void **state)
{
	pthread_t reader[READERS];
	unsigned seed[READERS];

	(void)state;
	settings_default(&settings);
	settings.capacity = 64;
	assert_true(table_open_anonymous(&table, "rules", &settings));
	publish(1000);
	for (unsigned i = 0; i < READERS; i++) {
		seed[i] = i;
		assert_int_equal(pthread_create(&reader[i], NULL, read_and_compare, &seed[i]), 0);
	}
	for (uint32_t n = 1; n <= PUBLICATIONS; n++)
		publish(n * 1000);
	done = true;
	for (unsigned i = 0; i < READERS; i++) {
		void *mixed;
		pthread_join(reader[i], &mixed);
		assert_null(mixed);
	}
	table_leave(&table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(random_rules_of_every_number),
	    cmocka_unit_test(ten_thousand_rules),
	    cmocka_unit_test(ten_thousand_ports_of_one_network),
	    cmocka_unit_test(as_deep_as_addresses_go),
	    cmocka_unit_test(repeats_are_found),
	    cmocka_unit_test(lists_among_rules),
	    cmocka_unit_test(as_many_as_there_may_be),
	    cmocka_unit_test(garbage_in_shared_memory),
	    cmocka_unit_test(the_same_place_twice_is_an_error),
	    cmocka_unit_test(ten_thousand_and_one_more),
	    cmocka_unit_test(whoever_reads_sees_all_of_one_publication),
	};
	return cmocka_run_group_tests_name("rules", tests, NULL, NULL);
}
