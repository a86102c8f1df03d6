/* Bans: who is refused often enough is refused for a time, and nobody else is. */
#include "apart.h"
#include "decisions/regroup.h"
#include "table/bans.h"
#include "table/clients.h"
#include "values/clock.h"
#include "values/point.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { TAG_BITS = 24 };

static struct settings settings;
static struct table table;

/* What another process does at the next such point. */
static void (*at_not_found)(void);

void point_reached(enum point point)
{
	void (*does)(void) = at_not_found;

	if (point != POINT_BAN_NOT_FOUND || does == NULL)
		return;
	at_not_found = NULL;
	does();
}

bool left_out(enum ordering ordering)
{
	(void)ordering;
	return false;
}

static void say(enum setting_id id, const char *value)
{
	struct settings_error error;

	assert_true(settings_set(&settings, id, value, strlen(value), FROM_FILE, &error));
}

static void publish(void)
{
	assert_true(regroup_publish(&table, limits_turn(&table), &settings));
}

static int open_table(void **state)
{
	(void)state;
	settings_default(&settings);
	settings.capacity = 64;
	say(SETTING_PER_IP, "1");
	say(SETTING_BAN, "3/m for 10m");
	return table_open_anonymous(&table, "bans", &settings) && set_apart(&table) ? 0 : -1;
}

static int close_table(void **state)
{
	(void)state;
	table_leave(&table);
	return 0;
}

static struct network address_of(const char *text)
{
	struct network network;
	const char *error;
	size_t position;

	assert_true(network_parse(&network, text, strlen(text), &error, &position));
	return network;
}

static struct refusal refusal;

static enum verdict come(const char *from, reference *held)
{
	static uint16_t port;
	struct connection connection = {.peer = {.address = address_of(from).address, .port = ++port},
					.local = {.address = address_of("198.51.100.1").address, .port = 80}};

	return table_decide(&table, &connection, held, &refusal);
}

static reference admitted(const char *from)
{
	reference held;

	assert_int_equal(come(from, &held), VERDICT_ADMITTED);
	assert_int_equal(refusal.reason, REFUSED_NOT);
	return held;
}

static void refused(const char *from, enum refusal_reason reason, uint32_t banned)
{
	reference held;

	assert_int_equal(come(from, &held), VERDICT_REFUSED);
	assert_int_equal(refusal.reason, reason);
	if (banned == 0 || banned == BAN_FOREVER)
		assert_int_equal(refusal.banned, banned);
	else
		assert_in_range(refusal.banned, banned > 20 ? banned - 20 : 1, banned);
}

static uint32_t entry_of(const char *client)
{
	struct network network = address_of(client);
	uint32_t entry;
	uint64_t word;

	assert_true(client_find(&table, client_fingerprint(&table, &network), &entry, &word));
	return entry;
}

static uint32_t open_of(const char *client)
{
	struct network network = address_of(client);

	return table_count(&table, &network.address);
}

static uint32_t banned(const char *client)
{
	struct network network = address_of(client);

	return ban_of(&table, &network);
}

static void ban(const char *client, uint32_t seconds)
{
	struct network network = address_of(client);

	assert_true(ban_begin(&table, &network, seconds));
}

static bool unban(const char *client)
{
	struct network network = address_of(client);

	return ban_end(&table, &network);
}

static void who_is_refused_often_enough_is_refused_whatever_it_holds(void **state)
{
	(void)state;
	reference held = admitted("192.0.2.1");
	refused("192.0.2.1", REFUSED_PER_IP, 0);
	refused("192.0.2.1", REFUSED_PER_IP, 0);
	refused("192.0.2.1", REFUSED_PER_IP, 600);
	refused("192.0.2.1", REFUSED_BAN, 600);
	table_release(&table, held);
	assert_int_equal(open_of("192.0.2.1"), 0);
	refused("192.0.2.1", REFUSED_BAN, 600);
	admitted("192.0.2.2");
	assert_int_equal(atomic_load(&table.header->bans), 1);
	assert_int_equal(atomic_load(&table.header->refused_for[REFUSED_BAN]), 2);
	assert_int_equal(atomic_load(&table.header->refused), 5);
}

static void no_ban_without_the_setting(void **state)
{
	(void)state;
	say(SETTING_BAN, "0");
	publish();
	admitted("192.0.2.1");
	for (int i = 0; i < 1000; i++)
		refused("192.0.2.1", REFUSED_PER_IP, 0);
	assert_int_equal(banned("192.0.2.1"), 0);
}

static void knocking_makes_a_ban_no_longer(void **state)
{
	(void)state;
	ban("192.0.2.1", 10);
	uint64_t word = atomic_load(&client_noted(&table, entry_of("192.0.2.1"))->ban);
	for (int i = 0; i < 100; i++)
		refused("192.0.2.1", REFUSED_BAN, 10);
	assert_int_equal(atomic_load(&client_noted(&table, entry_of("192.0.2.1"))->ban), word);
}

/* As if so much time had gone by. */
static void put_back(const char *client, uint64_t ms)
{
	atomic_fetch_sub(&client_noted(&table, entry_of(client))->ban, ms << TAG_BITS);
}

static void a_ban_ends_and_the_count_begins_anew(void **state)
{
	(void)state;
	say(SETTING_BAN, "3/h for 10m");
	publish();
	reference held = admitted("192.0.2.1");
	for (int i = 0; i < 3; i++)
		refused("192.0.2.1", REFUSED_PER_IP, i == 2 ? 600 : 0);
	table_release(&table, held);
	refused("192.0.2.1", REFUSED_BAN, 600);
	put_back("192.0.2.1", 540000);
	refused("192.0.2.1", REFUSED_BAN, 60);
	put_back("192.0.2.1", 60000);
	assert_int_equal(banned("192.0.2.1"), 0);
	admitted("192.0.2.1");
	assert_true((client_marks(&table, entry_of("192.0.2.1")) & MARK_BANNED) == 0);
	refused("192.0.2.1", REFUSED_PER_IP, 0);
	refused("192.0.2.1", REFUSED_PER_IP, 0);
	refused("192.0.2.1", REFUSED_PER_IP, 600);
}

static void the_first_refusal_is_enough_where_one_is_too_many(void **state)
{
	(void)state;
	say(SETTING_BAN, "1/h for 1h");
	publish();
	admitted("192.0.2.1");
	refused("192.0.2.1", REFUSED_PER_IP, 3600);
	refused("192.0.2.1", REFUSED_BAN, 3600);
}

static void refusals_for_the_rate_and_by_a_rule_count(void **state)
{
	(void)state;
	say(SETTING_PER_IP, "0");
	say(SETTING_RATE, "1/h");
	say(SETTING_RULES, "192.0.2.7=deny");
	publish();
	admitted("192.0.2.1");
	for (int i = 0; i < 3; i++)
		refused("192.0.2.1", REFUSED_RATE, i == 2 ? 600 : 0);
	refused("192.0.2.1", REFUSED_BAN, 600);
	for (int i = 0; i < 3; i++)
		refused("192.0.2.7", REFUSED_RULE, i == 2 ? 600 : 0);
	refused("192.0.2.7", REFUSED_BAN, 600);
}

/* Who finds the daemon full has done nothing. */
static void nobody_is_banned_for_what_all_hold_together(void **state)
{
	(void)state;
	say(SETTING_TOTAL, "1");
	publish();
	admitted("192.0.2.1");
	for (int i = 0; i < 100; i++)
		refused("192.0.2.2", REFUSED_TOTAL, 0);
	assert_int_equal(banned("192.0.2.2"), 0);
}

static void local_users_are_not_banned(void **state)
{
	struct connection user = connection_of_unix(1000, 1, 2);
	reference held;

	(void)state;
	say(SETTING_PER_UID, "1");
	publish();
	assert_int_equal(table_decide(&table, &user, &held, &refusal), VERDICT_ADMITTED);
	for (int i = 0; i < 100; i++) {
		user = connection_of_unix(1000, 1, (uint32_t)i + 3);
		assert_int_equal(table_decide(&table, &user, &held, &refusal), VERDICT_REFUSED);
		assert_int_equal(refusal.reason, REFUSED_PER_UID);
	}
}

static void who_is_unlimited_is_never_banned(void **state)
{
	(void)state;
	ban("192.0.2.1", BAN_FOREVER);
	refused("192.0.2.1", REFUSED_BAN, BAN_FOREVER);
	say(SETTING_RULES, "192.0.2.0/24=unlimited 203.0.113.0/24=unlimited,1/h");
	publish();
	for (int i = 0; i < 10; i++)
		admitted("192.0.2.1");
	admitted("203.0.113.1");
	for (int i = 0; i < 10; i++)
		refused("203.0.113.1", REFUSED_RATE, 0);
	/* The ban goes on where that ends. */
	say(SETTING_RULES, "");
	publish();
	refused("192.0.2.1", REFUSED_BAN, BAN_FOREVER);
}

static void mode_observe_refuses_nobody(void **state)
{
	reference held;

	(void)state;
	say(SETTING_MODE, "observe");
	publish();
	admitted("192.0.2.1");
	for (int i = 0; i < 3; i++) {
		assert_int_equal(come("192.0.2.1", &held), VERDICT_ADMITTED);
		assert_int_equal(refusal.reason, REFUSED_PER_IP);
	}
	assert_int_equal(refusal.banned, 600);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(come("192.0.2.1", &held), VERDICT_ADMITTED);
		assert_int_equal(refusal.reason, REFUSED_BAN);
		assert_true(refusal.observed);
	}
	assert_int_equal(open_of("192.0.2.1"), 7);
	assert_int_equal(atomic_load(&table.header->observed), 6);
	assert_int_equal(atomic_load(&table.header->refused), 0);
}

static void it_outlasts_a_reload_but_not_another_prefix(void **state)
{
	(void)state;
	ban("192.0.2.1", 600);
	say(SETTING_BAN, "0");
	say(SETTING_PER_IP, "7");
	publish();
	refused("192.0.2.1", REFUSED_BAN, 600);
	say(SETTING_IPV4_PREFIX, "24");
	publish();
	admitted("192.0.2.1");
}

static void an_operator_bans_and_unbans(void **state)
{
	(void)state;
	ban("192.0.2.1", BAN_FOREVER);
	assert_int_equal(banned("192.0.2.1"), BAN_FOREVER);
	ban("192.0.2.1", 30);
	assert_in_range(banned("192.0.2.1"), 25, 30);
	ban("2001:db8::1", BAN_MOST);
	assert_in_range(banned("2001:db8::1"), BAN_MOST - 5, BAN_MOST);
	assert_true(unban("192.0.2.1"));
	assert_false(unban("192.0.2.1"));
	assert_false(unban("192.0.2.99"));
	admitted("192.0.2.1");
	assert_true((client_marks(&table, entry_of("192.0.2.1")) & MARK_BANNED) == 0);
	/* And forgets what was refused until then. */
	refused("192.0.2.1", REFUSED_PER_IP, 0);
	refused("192.0.2.1", REFUSED_PER_IP, 0);
	ban("192.0.2.1", 30);
	assert_true(unban("192.0.2.1"));
	refused("192.0.2.1", REFUSED_PER_IP, 0);
	refused("192.0.2.1", REFUSED_PER_IP, 0);
	refused("192.0.2.1", REFUSED_PER_IP, 600);
}

/* Whoever was about to ban the client that had the entry before. */
static void a_ban_written_late_is_not_the_next_clients(void **state)
{
	(void)state;
	ban("192.0.2.1", 600);
	table_release(&table, admitted("192.0.2.2"));
	uint32_t entry = entry_of("192.0.2.2");
	atomic_store(&client_noted(&table, entry)->ban, atomic_load(&client_noted(&table, entry_of("192.0.2.1"))->ban));
	client_mark(&table, entry, MARK_BANNED);
	assert_int_equal(banned("192.0.2.2"), 0);
	admitted("192.0.2.2");
	assert_true((client_marks(&table, entry) & MARK_BANNED) == 0);
}

/* Of the clients that a table of 96 entries has seen last, none has another's ban, and all that is banned is not forgotten for
 * those that only came and went. */
static void a_new_client_has_no_ban_and_takes_none_away(void **state)
{
	char client[32];

	(void)state;
	ban("192.0.2.1", BAN_FOREVER);
	for (unsigned i = 0; i < 20000; i++) {
		snprintf(client, sizeof(client), "10.%u.%u.%u", i >> 16, i >> 8 & 255, i & 255);
		table_release(&table, admitted(client));
	}
	refused("192.0.2.1", REFUSED_BAN, BAN_FOREVER);
}

static void a_table_full_of_bans_still_admits_and_bans(void **state)
{
	unsigned still = 0;
	char client[32];

	(void)state;
	for (unsigned i = 0; i < 2000; i++) {
		snprintf(client, sizeof(client), "10.0.%u.%u", i >> 8, i & 255);
		ban(client, BAN_FOREVER);
		refused(client, REFUSED_BAN, BAN_FOREVER);
	}
	for (unsigned i = 0; i < 2000; i++) {
		snprintf(client, sizeof(client), "10.0.%u.%u", i >> 8, i & 255);
		still += banned(client) != 0;
	}
	assert_in_range(still, table.entries * 9 / 10, table.entries);
	for (unsigned i = 0; i < 2000; i++) {
		snprintf(client, sizeof(client), "172.16.%u.%u", i >> 8, i & 255);
		table_release(&table, admitted(client));
	}
}

static void a_word_that_is_no_ban_is_none(void **state)
{
	(void)state;
	ban("192.0.2.1", 600);
	uint32_t entry = entry_of("192.0.2.1");
	uint64_t tag = atomic_load(&client_noted(&table, entry)->ban) & ((UINT64_C(1) << TAG_BITS) - 1);
	/* Of the future, and of long ago: the low 32 bits of ms alone, which come again after 49.7 days, say nothing. */
	uint64_t now = clock_ms();
	const uint64_t until[] = {now + (UINT64_C(1) << 32) + 1000, now + (UINT64_C(1) << 39), 1, now - 1,
				  (now & ~UINT64_C(0xffffffff)) == 0 ? 2 : now - (UINT64_C(1) << 32) + 1000};
	for (size_t i = 0; i < sizeof(until) / sizeof(until[0]); i++) {
		atomic_store(&client_noted(&table, entry)->ban, until[i] << TAG_BITS | tag);
		client_mark(&table, entry, MARK_BANNED);
		assert_int_equal(banned("192.0.2.1"), 0);
		table_release(&table, admitted("192.0.2.1"));
	}
	/* A bucket that another setting, or a stranger, has filled for ever bans nobody at once. */
	atomic_store(&client_noted(&table, entry)->ban_tokens, UINT64_MAX);
	admitted("192.0.2.1");
	refused("192.0.2.1", REFUSED_PER_IP, 0);
}

/* Who began it died before it was in force. */
static void a_ban_that_is_not_marked_is_in_force_with_the_next_refusal(void **state)
{
	(void)state;
	ban("192.0.2.1", 600);
	client_unmark(&table, entry_of("192.0.2.1"), MARK_BANNED);
	reference held = admitted("192.0.2.1");
	refused("192.0.2.1", REFUSED_PER_IP, 0);
	table_release(&table, held);
	refused("192.0.2.1", REFUSED_BAN, 600);
}

static void ban_again(void)
{
	ban("192.0.2.1", 600);
}

/* It finds the mark of the ban that has ended, and leaves it. */
static void a_ban_that_begins_while_another_is_found_ended_is_in_force(void **state)
{
	(void)state;
	ban("192.0.2.1", 600);
	put_back("192.0.2.1", 700000);
	at_not_found = ban_again;
	refused("192.0.2.1", REFUSED_BAN, 600);
	assert_null(at_not_found);
	refused("192.0.2.1", REFUSED_BAN, 600);
}

static void what_was_refused_until_then_is_not_the_next_clients(void **state)
{
	char client[32];

	(void)state;
	table_release(&table, admitted("192.0.2.1"));
	uint32_t entry = entry_of("192.0.2.1");
	uint64_t fingerprint = atomic_load(&table.entry[entry].fingerprint);
	atomic_store(&client_noted(&table, entry)->ban_tokens, clock_us() + 100000000);
	for (unsigned i = 0; i < 20000 && atomic_load(&table.entry[entry].fingerprint) == fingerprint; i++) {
		snprintf(client, sizeof(client), "10.%u.%u.%u", i >> 16, i >> 8 & 255, i & 255);
		table_release(&table, admitted(client));
	}
	assert_int_not_equal(atomic_load(&table.entry[entry].fingerprint), fingerprint);
	assert_int_equal(atomic_load(&client_noted(&table, entry)->ban_tokens), 0);
}

enum { THREADS = 8, EACH = 2000 };

static void *knock(void *with)
{
	_Atomic uint32_t *begun = with;

	for (int i = 0; i < EACH; i++) {
		struct connection connection = {.peer = {.address = address_of("192.0.2.1").address, .port = (uint16_t)(i + 1)},
						.local = {.address = address_of("198.51.100.1").address, .port = 80}};
		struct refusal own;
		reference held;

		if (table_decide(&table, &connection, &held, &own) == VERDICT_ADMITTED)
			table_release(&table, held);
		else if (own.banned != 0 && own.reason != REFUSED_BAN)
			atomic_fetch_add(begun, 1);
	}
	return NULL;
}

static void of_many_at_once_one_begins_it(void **state)
{
	_Atomic uint32_t begun = 0;
	pthread_t thread[THREADS];

	(void)state;
	say(SETTING_RULES, "192.0.2.1=deny");
	say(SETTING_BAN, "50/h for 1000h");
	publish();
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, knock, &begun), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(begun, 1);
	assert_int_equal(atomic_load(&table.header->bans), 1);
	assert_int_equal(atomic_load(&table.header->refused_for[REFUSED_BAN]) +
			     atomic_load(&table.header->refused_for[REFUSED_RULE]),
			 THREADS * EACH);
	assert_in_range(atomic_load(&table.header->refused_for[REFUSED_RULE]), 50, 50 + THREADS);
}

/* One bans and unbans, others come: whatever comes between, in the end the last word stands. */
static void *come_and_go(void *with)
{
	_Atomic bool *stop = with;

	while (!atomic_load(stop)) {
		struct connection connection = {.peer = {.address = address_of("192.0.2.1").address, .port = 7},
						.local = {.address = address_of("198.51.100.1").address, .port = 80}};
		reference held;

		if (table_admit(&table, &connection, &held) == VERDICT_ADMITTED)
			table_release(&table, held);
	}
	return NULL;
}

static void a_ban_is_not_lost_beside_those_who_look(void **state)
{
	_Atomic bool stop = false;
	pthread_t thread[3];

	(void)state;
	say(SETTING_PER_IP, "0");
	publish();
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, come_and_go, &stop), 0);
	for (int i = 0; i < 20000; i++) {
		reference held;

		ban("192.0.2.1", 600);
		if (come("192.0.2.1", &held) != VERDICT_REFUSED)
			fail_msg("round %d: not banned", i);
		unban("192.0.2.1");
		assert_int_equal(come("192.0.2.1", &held), VERDICT_ADMITTED);
		table_release(&table, held);
	}
	atomic_store(&stop, true);
	for (int i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_table, close_table)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(who_is_refused_often_enough_is_refused_whatever_it_holds),
	    TEST(no_ban_without_the_setting),
	    TEST(knocking_makes_a_ban_no_longer),
	    TEST(a_ban_ends_and_the_count_begins_anew),
	    TEST(the_first_refusal_is_enough_where_one_is_too_many),
	    TEST(refusals_for_the_rate_and_by_a_rule_count),
	    TEST(nobody_is_banned_for_what_all_hold_together),
	    TEST(local_users_are_not_banned),
	    TEST(who_is_unlimited_is_never_banned),
	    TEST(mode_observe_refuses_nobody),
	    TEST(it_outlasts_a_reload_but_not_another_prefix),
	    TEST(an_operator_bans_and_unbans),
	    TEST(a_ban_written_late_is_not_the_next_clients),
	    TEST(a_new_client_has_no_ban_and_takes_none_away),
	    TEST(a_table_full_of_bans_still_admits_and_bans),
	    TEST(a_word_that_is_no_ban_is_none),
	    TEST(a_ban_that_is_not_marked_is_in_force_with_the_next_refusal),
	    TEST(a_ban_that_begins_while_another_is_found_ended_is_in_force),
	    TEST(what_was_refused_until_then_is_not_the_next_clients),
	    TEST(of_many_at_once_one_begins_it),
	    TEST(a_ban_is_not_lost_beside_those_who_look),
	};
	return cmocka_run_group_tests_name("bans", tests, NULL, NULL);
}
