/* The limit on networks, beside that on clients: both hold, also while they are set and unset, and while processes die or are
 * mended between the two counts. Built with the numbered points (point.h), so that an interleaving can be chosen. */
#include "apart.h"
#include "decisions/check.h"
#include "decisions/regroup.h"
#include "table/clients.h"
#include "table/records.h"
#include "table/table.h"
#include "values/point.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "hammer.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static struct settings settings;
static struct table table;

/* What happens when this thread gets to a point: once. */
static _Thread_local enum point hooked = POINTS;
static _Thread_local void (*hook)(void);

bool left_out(enum ordering ordering)
{
	(void)ordering;
	return false;
}

void point_reached(enum point point)
{
	if (point == hooked) {
		hooked = POINTS;
		hook();
	}
}

static void at(enum point point, void (*action)(void))
{
	hooked = point;
	hook = action;
}

static int open_table(void **state)
{
	(void)state;
	settings_default(&settings);
	settings.capacity = 1024;
	return table_open_anonymous(&table, "networks", &settings) && set_apart(&table) ? 0 : -1;
}

static int close_table(void **state)
{
	(void)state;
	table_leave(&table);
	return 0;
}

static void publish(uint32_t per_ip, uint32_t per_network)
{
	settings.per_ip = per_ip;
	settings.per_network = per_network;
	assert_true(regroup_publish(&table, limits_turn(&table), &settings));
}

static void publish_rules(const char *rules)
{
	struct settings_error error;

	if (!settings_set(&settings, SETTING_RULES, rules, strlen(rules), FROM_FILE, &error))
		fail_msg("%s", error.text);
	assert_true(regroup_publish(&table, limits_turn(&table), &settings));
}

static struct connection from(const char *address, unsigned port)
{
	struct connection connection = {.peer.port = (uint16_t)port, .local.port = 80};
	struct network network;
	const char *problem;
	size_t position;

	assert_true(network_parse(&network, address, strlen(address), &problem, &position));
	connection.peer.address = network.address;
	connection.local.address = network.address;
	return connection;
}

/* 10.0.network.client */
static struct connection connection_of(unsigned network, unsigned client, unsigned port)
{
	char text[NETWORK_TEXT];

	snprintf(text, sizeof(text), "10.0.%u.%u", network, client);
	return from(text, port);
}

static struct refusal refusal;

static enum verdict admit(unsigned network, unsigned client, unsigned port, reference *held)
{
	struct connection connection = connection_of(network, client, port);

	return table_decide(&table, &connection, held, &refusal);
}

static uint32_t of_client(unsigned network, unsigned client)
{
	struct connection connection = connection_of(network, client, 1);

	return table_count(&table, &connection.peer.address);
}

static uint32_t of_network(unsigned network)
{
	struct connection connection = connection_of(network, 0, 1);

	return table_count_network(&table, &connection.peer.address);
}

static uint32_t entry_of_network(unsigned network)
{
	struct limits limits;
	uint32_t entry;
	uint64_t word;
	struct connection connection = connection_of(network, 0, 1);

	limits_read(&table, &limits);
	struct network found = limits_network(&limits, &connection.peer.address);
	assert_true(network_find(&table, client_fingerprint(&table, &found), &entry, &word));
	return entry;
}

static uint32_t entry_of_client(unsigned network, unsigned client)
{
	struct limits limits;
	uint32_t entry;
	uint64_t word;
	struct connection connection = connection_of(network, client, 1);

	limits_read(&table, &limits);
	struct network found = limits_client(&limits, &connection.peer.address);
	assert_true(client_find(&table, client_fingerprint(&table, &found), &entry, &word));
	return entry;
}

static void mend_all_counts(void)
{
	for (uint32_t entry = 0; entry < table.entries * 2; entry++)
		check_count(&table, entry);
}

static void assert_nothing_counted(void)
{
	for (uint32_t entry = 0; entry < table.entries * 2; entry++)
		assert_int_equal(atomic_load(&table.entry[entry].word) & CLIENT_COUNT, 0);
	for (uint32_t slot = 0; slot < table.capacity; slot++) {
		assert_int_equal(atomic_load(&table.owner[slot]), 0);
		assert_int_equal(atomic_load(&table.within[slot]), 0);
	}
}

static void both_limits_hold_and_a_refusal_takes_no_place(void **state)
{
	reference held[6];
	reference none;

	(void)state;
	publish(2, 4);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(admit(1, i / 2, i, &held[i]), VERDICT_ADMITTED);
	assert_int_equal(of_client(1, 0), 2);
	assert_int_equal(of_network(1), 4);
	/* Its own limit, though the network is full as well. */
	assert_int_equal(admit(1, 0, 10, &none), VERDICT_REFUSED);
	assert_int_equal(refusal.reason, REFUSED_PER_IP);
	assert_int_equal(refusal.limit, 2);
	/* The network's: the client gets no place of its own either. */
	assert_int_equal(admit(1, 7, 11, &none), VERDICT_REFUSED);
	assert_int_equal(refusal.reason, REFUSED_PER_NETWORK);
	assert_int_equal(refusal.limit, 4);
	assert_int_equal(of_client(1, 7), 0);
	assert_int_equal(atomic_load(&table.entry[entry_of_client(1, 7)].peak) & PEAK_COUNT, 0);
	assert_int_equal(atomic_load(&table.entry[entry_of_network(1)].peak) & PEAK_COUNT, 4);
	assert_int_equal(of_network(1), 4);
	assert_int_equal(atomic_load(&table.header->refused_for[REFUSED_PER_NETWORK]), 1);
	assert_int_equal(atomic_load(&client_noted(&table, entry_of_network(1))->refused), 1);
	/* Others' networks are their own. */
	assert_int_equal(admit(2, 7, 12, &held[4]), VERDICT_ADMITTED);
	table_release(&table, held[0]);
	assert_int_equal(of_network(1), 3);
	assert_int_equal(admit(1, 7, 13, &held[0]), VERDICT_ADMITTED);
	for (unsigned i = 0; i < 5; i++)
		table_release(&table, held[i]);
	assert_nothing_counted();
}

static void the_total_and_the_rate_take_no_place_in_a_network(void **state)
{
	reference held[2];
	reference none;

	(void)state;
	settings.total = 1;
	publish(5, 5);
	assert_int_equal(admit(1, 1, 1, &held[0]), VERDICT_ADMITTED);
	assert_int_equal(admit(1, 2, 2, &none), VERDICT_REFUSED);
	assert_int_equal(refusal.reason, REFUSED_TOTAL);
	assert_int_equal(of_network(1), 1);
	settings.total = LIMIT_NONE;
	settings.rate = (struct rate){.every_us = 60000000, .burst = 1};
	publish(5, 5);
	assert_int_equal(admit(1, 3, 3, &held[1]), VERDICT_ADMITTED);
	assert_int_equal(admit(1, 3, 4, &none), VERDICT_REFUSED);
	assert_int_equal(refusal.reason, REFUSED_RATE);
	assert_int_equal(of_network(1), 2);
	table_release(&table, held[0]);
	table_release(&table, held[1]);
	assert_nothing_counted();
}

static void observed_refusals_are_counted_all_the_same(void **state)
{
	reference held[3];

	(void)state;
	settings.mode = MODE_OBSERVE;
	publish(LIMIT_NONE, 2);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(admit(1, i, i, &held[i]), VERDICT_ADMITTED);
	assert_true(refusal.observed);
	assert_int_equal(refusal.reason, REFUSED_PER_NETWORK);
	assert_int_equal(of_network(1), 3);
	assert_int_equal(atomic_load(&client_noted(&table, entry_of_network(1))->observed), 1);
	assert_int_equal(atomic_load(&table.entry[entry_of_network(1)].peak) & PEAK_COUNT, 3);
	for (unsigned i = 0; i < 3; i++)
		table_release(&table, held[i]);
	assert_nothing_counted();
}

static void ipv4_in_ipv6_is_in_the_network_of_ipv4(void **state)
{
	struct connection plain = from("192.0.2.1", 1);
	struct connection mapped = from("::ffff:192.0.2.2", 2);
	struct connection far = from("192.0.3.1", 3);
	reference held[3];

	(void)state;
	publish(LIMIT_NONE, 1);
	assert_int_equal(table_admit(&table, &plain, &held[0]), VERDICT_ADMITTED);
	assert_int_equal(table_admit(&table, &mapped, &held[1]), VERDICT_REFUSED);
	assert_int_equal(table_admit(&table, &far, &held[2]), VERDICT_ADMITTED);
	table_release(&table, held[0]);
	table_release(&table, held[2]);
}

static void ipv6_networks_are_of_48_bits(void **state)
{
	struct connection one = from("2001:db8:1:1::1", 1);
	struct connection beside = from("2001:db8:1:2::1", 2);
	struct connection far = from("2001:db8:2:1::1", 3);
	reference held[3];

	(void)state;
	publish(LIMIT_NONE, 1);
	assert_int_equal(table_admit(&table, &one, &held[0]), VERDICT_ADMITTED);
	assert_int_equal(table_admit(&table, &beside, &held[1]), VERDICT_REFUSED);
	assert_int_equal(table_admit(&table, &far, &held[2]), VERDICT_ADMITTED);
	table_release(&table, held[0]);
	table_release(&table, held[2]);
	assert_nothing_counted();
}

static void local_users_are_in_no_network(void **state)
{
	struct connection user = connection_of_unix(1000, 5, 0);
	reference held[2];

	(void)state;
	settings.per_uid = 2;
	publish(1, 1);
	assert_int_equal(table_admit(&table, &user, &held[0]), VERDICT_ADMITTED);
	user = connection_of_unix(1000, 6, 0);
	assert_int_equal(table_admit(&table, &user, &held[1]), VERDICT_ADMITTED);
	for (uint32_t slot = 0; slot < table.capacity; slot++)
		assert_int_equal(atomic_load(&table.within[slot]), 0);
	table_release(&table, held[0]);
	table_release(&table, held[1]);
}

static void rules_name_the_limit_of_networks(void **state)
{
	reference held[8];
	reference none;

	(void)state;
	settings.per_network = 2;
	publish_rules(
	    "10.0.1.0/24=5,network=3 10.0.2.0/24=unlimited 10.0.3.0/24=1,network=unlimited "
	    "10.0.4.0/24=unlimited,network=1 10.0.5.0/24=deny");
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(admit(1, i, i, &held[i]), VERDICT_ADMITTED);
	assert_int_equal(admit(1, 9, 9, &none), VERDICT_REFUSED);
	assert_int_equal(refusal.reason, REFUSED_PER_NETWORK);
	assert_int_equal(refusal.limit, 3);
	/* Exempt, and counted all the same. */
	for (unsigned i = 3; i < 6; i++)
		assert_int_equal(admit(2, 1, i, &held[i]), VERDICT_ADMITTED);
	assert_int_equal(of_network(2), 3);
	assert_int_equal(admit(3, 1, 1, &held[6]), VERDICT_ADMITTED);
	assert_int_equal(admit(3, 1, 2, &none), VERDICT_REFUSED);
	assert_int_equal(refusal.reason, REFUSED_RULE);
	assert_int_equal(admit(4, 1, 1, &held[7]), VERDICT_ADMITTED);
	assert_int_equal(admit(4, 2, 2, &none), VERDICT_REFUSED);
	assert_int_equal(refusal.reason, REFUSED_PER_NETWORK);
	assert_int_equal(admit(5, 2, 2, &none), VERDICT_REFUSED);
	assert_int_equal(refusal.reason, REFUSED_RULE);
	/* Where no rule says otherwise. */
	assert_int_equal(refusal.limit, LIMIT_DENY);
	for (unsigned i = 0; i < 8; i++)
		table_release(&table, held[i]);
	assert_nothing_counted();
}

/* A rule alone has networks counted. */
static void a_rule_alone_limits_networks(void **state)
{
	reference held[2];

	(void)state;
	publish_rules("10.0.1.0/24=5,network=1");
	assert_int_equal(admit(1, 1, 1, &held[0]), VERDICT_ADMITTED);
	assert_int_equal(admit(1, 2, 2, &held[1]), VERDICT_REFUSED);
	assert_int_equal(admit(2, 1, 1, &held[1]), VERDICT_ADMITTED);
	assert_int_equal(of_network(2), 1);
	table_release(&table, held[0]);
	table_release(&table, held[1]);
}

static void set_and_unset_while_connections_are_open(void **state)
{
	reference held[9];
	reference none;

	(void)state;
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(admit(1, i, i, &held[i]), VERDICT_ADMITTED);
	assert_int_equal(of_network(1), 0);
	publish(LIMIT_NONE, 5);
	assert_int_equal(of_network(1), 4);
	assert_int_equal(admit(1, 4, 4, &held[4]), VERDICT_ADMITTED);
	assert_int_equal(admit(1, 5, 5, &none), VERDICT_REFUSED);
	/* Unset: nobody is counted, those that are open neither. Set again: those that came meanwhile are found. */
	publish(LIMIT_NONE, LIMIT_NONE);
	for (uint32_t slot = 0; slot < table.capacity; slot++)
		assert_int_equal(atomic_load(&table.within[slot]), 0);
	assert_int_equal(admit(1, 5, 5, &held[5]), VERDICT_ADMITTED);
	table_release(&table, held[0]);
	publish(LIMIT_NONE, 6);
	assert_int_equal(of_network(1), 5);
	assert_int_equal(admit(1, 6, 6, &held[0]), VERDICT_ADMITTED);
	assert_int_equal(admit(1, 7, 7, &none), VERDICT_REFUSED);
	/* Lowered under what is open: nobody is closed, nobody admitted until enough have gone. */
	publish(LIMIT_NONE, 5);
	table_release(&table, held[1]);
	assert_int_equal(admit(1, 7, 7, &none), VERDICT_REFUSED);
	table_release(&table, held[2]);
	assert_int_equal(admit(1, 7, 7, &held[1]), VERDICT_ADMITTED);
	/* Other prefixes: 10.0.0.0/22 is one network. */
	settings.network_ipv4_prefix = 22;
	publish(LIMIT_NONE, 6);
	assert_int_equal(of_network(1), 5);
	assert_int_equal(admit(2, 1, 1, &held[2]), VERDICT_ADMITTED);
	assert_int_equal(admit(3, 1, 1, &none), VERDICT_REFUSED);
	for (unsigned i = 0; i < 6; i++)
		table_release(&table, held[i]);
	assert_nothing_counted();
}

static bool is_resident(const void *from, size_t size)
{
	unsigned char there[4096];
	size_t pages = (size + 4095) / 4096;

	assert_true(pages <= sizeof(there));
	assert_int_equal(mincore((void *)(uintptr_t)from, size, there), 0);
	for (size_t i = 0; i < pages; i++)
		if ((there[i] & 1) != 0)
			return true;
	return false;
}

static bool networks_take_memory(void)
{
	return is_resident(table.within, sizeof(*table.within) * table.capacity) ||
	       is_resident(table.entry + table.entries, sizeof(*table.entry) * table.entries) ||
	       is_resident(table.notes + table.entries, sizeof(*table.notes) * table.entries);
}

/* Clients come, go, are refused, checked, moved and looked at: nothing touches what is for networks alone. */
static void what_networks_need_takes_no_memory_without_them(void **state)
{
	static struct settings large;
	reference held[200];
	reference none;

	(void)state;
	close_table(NULL);
	settings_default(&large);
	large.per_ip = 1;
	large.capacity = 16384; /* each part has pages of its own */
	assert_true(table_open_anonymous(&table, "networks", &large) && set_apart(&table));
	for (unsigned i = 0; i < 200; i++)
		assert_int_equal(admit(i, 1, i, &held[i]), VERDICT_ADMITTED);
	assert_int_equal(admit(1, 1, 1, &none), VERDICT_REFUSED);
	table_doubt(&table, held[3]);
	large.ipv4_prefix = 31;
	assert_true(regroup_publish(&table, limits_turn(&table), &large));
	check_all(&table);
	for (unsigned i = 0; i < 200; i++)
		table_release(&table, held[i]);
	assert_false(networks_take_memory());
	large.per_network = 10;
	assert_true(regroup_publish(&table, limits_turn(&table), &large));
	assert_int_equal(admit(1, 1, 1, &held[0]), VERDICT_ADMITTED);
	assert_true(networks_take_memory());
}

static void set_to_one(void)
{
	struct connection connection = connection_of(1, 2, 2);
	reference held;

	publish(LIMIT_NONE, 1);
	/* Refused where the one under way has its slot already. */
	table_admit(&table, &connection, &held);
}

static unsigned slots_of_network(unsigned network)
{
	return record_number(&table, entry_of_network(network), 0, record_extent(&table));
}

static const enum point under_way[] = {POINT_COUNTED,	 POINT_NETWORK_COUNTED, POINT_SLOT_CLAIMED,
				       POINT_SLOT_OWNED, POINT_SLOT_WRITTEN,	POINT_PUBLISHED};
enum { UNDER_WAY = sizeof(under_way) / sizeof(under_way[0]) };

/* A process that saw no limit on networks is between its steps when one is set and used up. */
static void set_while_an_admission_is_under_way(void **state)
{
	(void)state;
	for (size_t i = 0; i < UNDER_WAY; i++) {
		reference held = 0;
		if (under_way[i] == POINT_NETWORK_COUNTED)
			continue;
		publish(LIMIT_NONE, LIMIT_NONE);
		at(under_way[i], set_to_one);
		admit(1, 1, 1, &held);
		assert_int_equal(slots_of_network(1), 1);
		assert_true(of_network(1) >= 1);
		assert_int_equal(admit(1, 3, 3, &held), VERDICT_REFUSED);
		close_table(NULL);
		open_table(NULL);
	}
}

static void unset(void)
{
	publish(LIMIT_NONE, LIMIT_NONE);
}

static void unset_and_set(void)
{
	publish(LIMIT_NONE, LIMIT_NONE);
	publish(LIMIT_NONE, 1);
}

static void unset_while_an_admission_is_under_way(void **state)
{
	void (*const meanwhile[])(void) = {unset, unset_and_set};

	(void)state;
	for (size_t n = 0; n < 2; n++)
		for (size_t i = 0; i < UNDER_WAY; i++) {
			reference held = 0;
			reference none;

			publish(LIMIT_NONE, 1);
			at(under_way[i], meanwhile[n]);
			assert_int_equal(admit(1, 1, 1, &held), VERDICT_ADMITTED);
			publish(LIMIT_NONE, 1);
			assert_int_equal(slots_of_network(1), 1);
			assert_int_equal(admit(1, 2, 2, &none), VERDICT_REFUSED);
			table_release(&table, held);
			mend_all_counts();
			assert_nothing_counted();
			assert_int_equal(admit(1, 2, 2, &held), VERDICT_ADMITTED);
			table_release(&table, held);
		}
}

static void mend_network(void)
{
	check_count(&table, entry_of_network(1));
}

/* Counted, the slot not yet taken; the network's count is mended meanwhile. */
static void mended_while_an_admission_is_under_way(void **state)
{
	(void)state;
	publish(10, 10);
	for (size_t i = 1; i < UNDER_WAY; i++) {
		reference held;
		at(under_way[i], mend_network);
		assert_int_equal(admit(1, 1, (unsigned)i, &held), VERDICT_ADMITTED);
		mend_network();
		assert_int_equal(of_network(1), 1);
		assert_int_equal(of_client(1, 1), 1);
		table_release(&table, held);
		mend_all_counts();
		assert_nothing_counted();
	}
}

static void mended_while_a_release_is_under_way(void **state)
{
	const enum point points[] = {POINT_RELEASE_CLAIMED, POINT_RELEASE_DISOWNED, POINT_RELEASE_FREED, POINT_RELEASE_NETWORK};

	(void)state;
	publish(10, 10);
	for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
		reference held[2];
		assert_int_equal(admit(1, 1, 1, &held[0]), VERDICT_ADMITTED);
		assert_int_equal(admit(1, 2, 2, &held[1]), VERDICT_ADMITTED);
		at(points[i], mend_network);
		table_release(&table, held[0]);
		assert_true(of_network(1) >= 1);
		mend_network();
		assert_int_equal(of_network(1), 1);
		table_release(&table, held[1]);
		mend_all_counts();
		assert_nothing_counted();
	}
}

/* Connections are counted for a network, and its count is mended before their slots name it. */
static void mended_while_networks_begin_to_be_counted(void **state)
{
	reference held[2];

	(void)state;
	assert_int_equal(admit(1, 1, 1, &held[0]), VERDICT_ADMITTED);
	assert_int_equal(admit(1, 2, 2, &held[1]), VERDICT_ADMITTED);
	at(POINT_REGROUP_COUNTED, mend_network);
	publish(LIMIT_NONE, 5);
	assert_int_equal(hooked, POINTS);
	assert_true(of_network(1) >= 2);
	mend_network();
	assert_int_equal(of_network(1), 2);
	table_release(&table, held[0]);
	table_release(&table, held[1]);
	mend_all_counts();
	assert_nothing_counted();
}

/* Or peaks would be wrong where daemons fork: before a new one, the kernel is asked about what is doubtful. */
static void what_is_doubtful_is_doubtful_of_the_network(void **state)
{
	reference held[2];

	(void)state;
	assert_int_equal(admit(1, 1, 1, &held[0]), VERDICT_ADMITTED);
	table_doubt(&table, held[0]);
	publish(LIMIT_NONE, 5);
	assert_true((client_marks(&table, entry_of_network(1)) & MARK_DOUBTFUL) != 0);
	assert_int_equal(admit(2, 1, 1, &held[1]), VERDICT_ADMITTED);
	assert_true((client_marks(&table, entry_of_network(2)) & MARK_DOUBTFUL) == 0);
	table_doubt(&table, held[1]);
	assert_true((client_marks(&table, entry_of_network(2)) & MARK_DOUBTFUL) != 0);
}

static reference goes;

static void set_six(void)
{
	publish(LIMIT_NONE, 6);
}

static void go(void)
{
	table_release(&table, goes);
}

/* Connections are counted for networks while one of them goes, and one goes while they are. */
static void set_while_a_release_is_under_way(void **state)
{
	const enum point points[] = {POINT_RELEASE_CLAIMED, POINT_RELEASE_DISOWNED, POINT_RELEASE_FREED, POINT_REGROUP_COUNTED,
				     POINT_REGROUP_MOVED};

	(void)state;
	for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
		reference held;
		publish(LIMIT_NONE, LIMIT_NONE);
		assert_int_equal(admit(1, 1, 1, &goes), VERDICT_ADMITTED);
		assert_int_equal(admit(1, 2, 2, &held), VERDICT_ADMITTED);
		bool first = points[i] < POINT_REGROUP_COUNTED;
		at(points[i], first ? set_six : go);
		(first ? go : set_six)();
		assert_int_equal(hooked, POINTS);
		assert_true(of_network(1) >= 1);
		assert_int_equal(slots_of_network(1) >= 1, true);
		mend_network();
		assert_int_equal(of_network(1), 1);
		table_release(&table, held);
		mend_all_counts();
		assert_nothing_counted();
		close_table(NULL);
		open_table(NULL);
	}
}

/* The connection is moved to another network meanwhile, and another one, which is between its steps, counts for the old. */
static uint32_t old_network;

static void move_and_count(void)
{
	settings.network_ipv4_prefix = 22;
	publish(LIMIT_NONE, 9);
	atomic_fetch_add(&table.entry[old_network].word, 1);
}

static uint32_t count_of(uint32_t entry)
{
	return (uint32_t)(atomic_load(&table.entry[entry].word) & CLIENT_COUNT);
}

static void what_counts_elsewhere_by_now_is_not_taken_from_the_old_network(void **state)
{
	reference held;
	reference first;

	(void)state;
	publish(LIMIT_NONE, 8);
	assert_int_equal(admit(1, 1, 1, &first), VERDICT_ADMITTED);
	old_network = entry_of_network(1);
	at(POINT_PUBLISHED, move_and_count);
	assert_int_equal(admit(1, 2, 2, &held), VERDICT_ADMITTED);
	assert_int_equal(hooked, POINTS);
	assert_int_equal(count_of(old_network), 1);
	assert_true(of_network(1) >= 2);
	atomic_fetch_sub(&table.entry[old_network].word, 1);
	table_release(&table, held);
	settings.network_ipv4_prefix = 24;
	publish(LIMIT_NONE, 8);
	assert_int_equal(entry_of_network(1), old_network);
	at(POINT_RELEASE_SEEN, move_and_count);
	table_release(&table, first);
	assert_int_equal(hooked, POINTS);
	assert_int_equal(count_of(old_network), 1);
	mend_all_counts();
	assert_nothing_counted();
}

/* Without a descriptor, the kernel cannot be asked in any way. */
static void without_the_kernel_a_network_has_what_is_certain(void **state)
{
	struct rlimit before;
	reference held[4];

	(void)state;
	publish(LIMIT_NONE, 2);
	assert_int_equal(admit(1, 1, 1, &held[0]), VERDICT_ADMITTED);
	assert_int_equal(admit(1, 2, 2, &held[1]), VERDICT_ADMITTED);
	table_doubt(&table, held[1]);
	atomic_store(&table.header->network, network_namespace());
	getrlimit(RLIMIT_NOFILE, &before);
	setrlimit(RLIMIT_NOFILE, &(struct rlimit){0, before.rlim_max});
	enum verdict third = admit(1, 3, 3, &held[2]);
	bool unverified = refusal.unverified;
	enum verdict fourth = admit(1, 4, 4, &held[3]);
	enum refusal_reason reason = refusal.reason;
	setrlimit(RLIMIT_NOFILE, &before);
	assert_true(unverified);
	assert_int_equal(third, VERDICT_ADMITTED);
	assert_int_equal(fourth, VERDICT_REFUSED);
	assert_int_equal(reason, REFUSED_PER_NETWORK);
}

/* As many networks as there may be connections, each of one client: all fit. */
static void a_full_table_has_room_for_as_many_networks(void **state)
{
	static reference held[1024];

	(void)state;
	publish(10, 10);
	for (unsigned i = 0; i < 1024; i++) {
		char text[NETWORK_TEXT];
		snprintf(text, sizeof(text), "10.%u.%u.1", i / 256, i % 256);
		struct connection connection = from(text, 1);
		assert_int_equal(table_admit(&table, &connection, &held[i]), VERDICT_ADMITTED);
	}
	for (unsigned i = 0; i < 1024; i++)
		table_release(&table, held[i]);
	assert_nothing_counted();
}

/* What is written there by somebody else names nobody, or is a count too high: it crashes nothing, and is mended. */
static void what_others_write_into_within(void **state)
{
	const uint32_t written[] = {1, table.entries, table.entries * 2 + 1, UINT32_MAX, 0x80000000U};

	(void)state;
	publish(10, 10);
	for (size_t i = 0; i < sizeof(written) / sizeof(written[0]); i++) {
		reference held;
		assert_int_equal(admit(1, 1, 1, &held), VERDICT_ADMITTED);
		atomic_store(&table.within[(uint32_t)held - 1], written[i]);
		table_doubt(&table, held);
		settings.network_ipv4_prefix = settings.network_ipv4_prefix == 24 ? 20 : 24;
		publish(10, 10);
		assert_true(of_network(1) >= 1);
		assert_int_equal(check_all(&table), 0);
		assert_true(
		    record_release(&table, (uint32_t)held - 1, record_state((uint32_t)(held >> 32), RECORD_DOUBTFUL, 0)));
		mend_all_counts();
		assert_nothing_counted();
	}
}

/* ---- processes and threads ---- */

enum { HAMMERS = 3, ROUNDS = 20000, NETWORKS = 3, CLIENTS = 4, MOST_OF_CLIENT = 3, MOST_OF_NETWORK = 6 };

struct tally {
	_Atomic int of_network[NETWORKS];
	_Atomic int of_client[NETWORKS][CLIENTS];
	_Atomic int over;
	_Atomic int uncounted;
	_Atomic int refused[REASONS];
	bool limited; /* the limits have been in force for all */
};

static struct tally *tally;

static void note_admitted(unsigned network, unsigned client)
{
	bool over = atomic_fetch_add(&tally->of_network[network], 1) >= MOST_OF_NETWORK;

	over |= atomic_fetch_add(&tally->of_client[network][client], 1) >= MOST_OF_CLIENT;
	tally->over += over && tally->limited;
}

static void *hammer(void *with)
{
	unsigned seed = *(unsigned *)with;

	for (int i = 0; i < ROUNDS; i++) {
		struct {
			reference held;
			unsigned network;
			unsigned client;
		} has[3];
		int holds = 0;
		for (int n = 0; n < 3; n++) {
			struct refusal why;
			unsigned network = has[holds].network = (unsigned)rand_r(&seed) % NETWORKS;
			unsigned client = has[holds].client = (unsigned)rand_r(&seed) % CLIENTS;
			struct connection connection = connection_of(network, client, (unsigned)rand_r(&seed) % 65536);
			enum verdict verdict = table_decide(&table, &connection, &has[holds].held, &why);
			if (verdict == VERDICT_ADMITTED) {
				note_admitted(network, client);
				holds++;
			}
			tally->uncounted += verdict == VERDICT_UNCOUNTED;
			tally->refused[why.reason]++;
		}
		if (i % 16 == 0)
			sched_yield();
		while (holds-- > 0) {
			atomic_fetch_sub(&tally->of_network[has[holds].network], 1);
			atomic_fetch_sub(&tally->of_client[has[holds].network][has[holds].client], 1);
			table_release(&table, has[holds].held);
		}
	}
	return NULL;
}

static void hammer_all(void (*meanwhile)(void), bool limited)
{
	tally = mmap(NULL, sizeof(*tally), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	tally->limited = limited;
	hammer_in_processes_and_threads(&table, HAMMERS, hammer, meanwhile);
}

static void never_over_either_with_processes_and_threads(void **state)
{
	(void)state;
	publish(MOST_OF_CLIENT, MOST_OF_NETWORK);
	hammer_all(NULL, true);
	assert_int_equal(tally->over, 0);
	assert_int_equal(tally->uncounted, 0);
	assert_true(tally->refused[REFUSED_PER_NETWORK] > 0);
	assert_true(tally->refused[REFUSED_PER_IP] > 0);
	mend_all_counts();
	assert_nothing_counted();
}

static void set_and_unset(void)
{
	for (int i = 0; i < 300; i++) {
		settings.network_ipv4_prefix = i % 3 == 0 ? 16 : 24;
		publish(MOST_OF_CLIENT, i % 2 ? LIMIT_NONE : MOST_OF_NETWORK);
		usleep(300);
	}
	settings.network_ipv4_prefix = 24;
	publish(MOST_OF_CLIENT, MOST_OF_NETWORK);
}

static void set_and_unset_under_load(void **state)
{
	reference held[MOST_OF_NETWORK + 1];

	(void)state;
	hammer_all(set_and_unset, false);
	for (uint32_t slot = 0; slot < table.capacity; slot++)
		assert_int_equal(atomic_load(&table.owner[slot]), 0);
	/* Whatever was in the air: now exactly so many fit. */
	for (unsigned i = 0; i < MOST_OF_NETWORK; i++)
		assert_int_equal(admit(1, i, 1, &held[i]), VERDICT_ADMITTED);
	assert_int_equal(admit(1, MOST_OF_NETWORK, 1, &held[MOST_OF_NETWORK]), VERDICT_REFUSED);
	for (unsigned i = 0; i < MOST_OF_NETWORK; i++)
		table_release(&table, held[i]);
	mend_all_counts();
	check_all(&table);
	assert_nothing_counted();
}

static void pause_there(void)
{
	usleep(300);
}

/* Who publishes is slow to regroup: so others do it. */
static void change_prefixes_and_limits(void)
{
	for (unsigned i = 0; i < 400; i++) {
		settings.network_ipv4_prefix = i % 4 < 2 ? 22 : 24;
		settings.ipv4_prefix = (i + 1) % 4 < 2 ? 30 : 32; /* one of them at a time */
		at(POINT_REGROUP_SLOT, pause_there);
		publish(MOST_OF_CLIENT - i % 2, MOST_OF_NETWORK - i % 5);
		usleep(200);
	}
	hooked = POINTS;
	settings.network_ipv4_prefix = 24;
	settings.ipv4_prefix = 32;
	publish(MOST_OF_CLIENT, MOST_OF_NETWORK);
}

/* Wider prefixes and lower limits allow less: so what the narrow ones and the highest limits allow is at no moment exceeded,
 * where there are no more connections than a decision can move (regroup.h). */
static void never_over_either_while_prefixes_and_limits_change(void **state)
{
	(void)state;
	publish(MOST_OF_CLIENT, MOST_OF_NETWORK);
	hammer_all(change_prefixes_and_limits, true);
	assert_int_equal(tally->over, 0);
	assert_int_equal(tally->uncounted, 0);
	assert_true(tally->refused[REFUSED_PER_NETWORK] > 0);
	assert_true(tally->refused[REFUSED_PER_IP] > 0);
	mend_all_counts();
	check_all(&table);
	assert_nothing_counted();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_table, close_table)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(both_limits_hold_and_a_refusal_takes_no_place),
	    TEST(the_total_and_the_rate_take_no_place_in_a_network),
	    TEST(observed_refusals_are_counted_all_the_same),
	    TEST(ipv4_in_ipv6_is_in_the_network_of_ipv4),
	    TEST(ipv6_networks_are_of_48_bits),
	    TEST(local_users_are_in_no_network),
	    TEST(rules_name_the_limit_of_networks),
	    TEST(a_rule_alone_limits_networks),
	    TEST(set_and_unset_while_connections_are_open),
	    TEST(what_networks_need_takes_no_memory_without_them),
	    TEST(set_while_an_admission_is_under_way),
	    TEST(unset_while_an_admission_is_under_way),
	    TEST(mended_while_an_admission_is_under_way),
	    TEST(mended_while_a_release_is_under_way),
	    TEST(set_while_a_release_is_under_way),
	    TEST(mended_while_networks_begin_to_be_counted),
	    TEST(what_is_doubtful_is_doubtful_of_the_network),
	    TEST(what_counts_elsewhere_by_now_is_not_taken_from_the_old_network),
	    TEST(without_the_kernel_a_network_has_what_is_certain),
	    TEST(a_full_table_has_room_for_as_many_networks),
	    TEST(what_others_write_into_within),
	    TEST(never_over_either_with_processes_and_threads),
	    TEST(set_and_unset_under_load),
	    TEST(never_over_either_while_prefixes_and_limits_change),
	};
	return cmocka_run_group_tests_name("networks", tests, NULL, NULL);
}
