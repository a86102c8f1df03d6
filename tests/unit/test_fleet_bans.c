/* What the sidecar makes of bans in tables, and of words that it hears: each user's share, who is exempt, and what is no
 * lifting. */
#include "decisions/regroup.h"
#include "table/bans.h"
#include "table/clients.h"
#include "command/fleet/machine_bans.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct settings settings;
static struct table table;
static struct bans bans;
static struct bans_there there;
static struct limits limits;

static struct network client(unsigned number)
{
	struct network network = {.address.bytes = {[10] = 0xff, 0xff, 10}, .prefix = 128};

	network.address.bytes[14] = (unsigned char)(number >> 8);
	network.address.bytes[15] = (unsigned char)number;
	return network;
}

static void publish(const char *rules)
{
	struct settings_error error;

	assert_true(settings_set(&settings, SETTING_RULES, rules, strlen(rules), FROM_FILE, &error));
	assert_true(regroup_publish(&table, limits_turn(&table), &settings));
}

static int open_table(void **state)
{
	(void)state;
	settings_default(&settings);
	settings.capacity = 4096;
	memset(&bans, 0, sizeof(bans));
	memset(&there, 0, sizeof(there));
	return table_open_anonymous(&table, "bans", &settings) ? 0 : -1;
}

static int close_table(void **state)
{
	(void)state;
	bans_forget_there(&there);
	table_leave(&table);
	return 0;
}

static void look(void)
{
	struct bans_of of = {&there, &table, &limits, "bans", 1000};

	limits_read(&table, &limits);
	for (uint32_t entry = 0; entry < table.entries; entry++)
		if ((client_marks(&table, entry) & MARK_BANNED) != 0)
			bans_look_at(&bans, &of, entry);
	bans_looked(&bans, &of);
}

static void place(void)
{
	struct bans_of of = {&there, &table, &limits, "bans", 1000};

	bans_place(&bans, &of, true);
	bans_placed(&bans);
}

/* Tells all that is to be told, and returns how many that are new there were. */
static size_t tell(bool lifted)
{
	size_t new = 0;
	size_t number;

	while ((number = bans_to_tell(&bans)) > 0) {
		for (size_t i = 0; i < number; i++)
			new += bans.telling[i].lifted == lifted;
		bans_told(&bans, number);
	}
	return new;
}

static void hear(unsigned number, bool lifted, uint32_t seconds, uint64_t turn)
{
	struct network who = client(number);
	struct fleet_ban ban = {.lifted = lifted, .seconds = seconds, .turn = turn};

	memcpy(ban.key, who.address.bytes, 16);
	ban.key[16] = who.prefix;
	bans_hear(&bans, &ban);
}

static bool is_banned(unsigned number)
{
	struct network who = client(number);

	return ban_of(&table, &who) != 0;
}

static void ban(unsigned number, uint32_t seconds)
{
	struct network who = client(number);

	assert_true(ban_begin(&table, &who, seconds));
}

static void unban(unsigned number)
{
	struct network who = client(number);

	assert_true(ban_end(&table, &who));
}

static void test_no_user_has_more_than_its_share(void **state)
{
	(void)state;
	look();
	for (unsigned i = 0; i < BANS_BURST + 50; i++)
		ban(i, 600);
	look();
	assert_in_range(tell(false), BANS_BURST, BANS_BURST + 5);
	for (unsigned i = BANS_BURST + 50; i < 1500; i++)
		ban(i, 600);
	for (int i = 0; i < 15; i++) {
		bans.share[0].tokens -= 1000000; /* a second passes */
		look();
	}
	tell(false);
	assert_int_equal(bans.share[0].number[0], BANS_SHARE);
	assert_true(bans.share[0].said);
	/* What was there before the sidecar was has no more. */
	bans_forget_there(&there);
	look();
	assert_int_equal(bans.share[0].number[0], BANS_SHARE);
}

static void test_who_is_exempt_is_not_banned_by_what_is_heard(void **state)
{
	(void)state;
	publish("10.0.0.1=unlimited");
	look();
	hear(1, false, 600, 5);
	hear(2, false, 600, 5);
	place();
	assert_false(is_banned(1));
	assert_true(is_banned(2));
	look();
	assert_int_equal(tell(true) + tell(false), 0); /* no word of ours */
	publish("");
	look();
	place();
	assert_true(is_banned(1));
}

static void test_the_higher_turn_holds(void **state)
{
	(void)state;
	look();
	hear(1, false, 600, 5);
	place();
	hear(1, true, 600, 7);
	hear(1, false, 600, 6);
	hear(1, false, 600, 7);
	place();
	assert_false(is_banned(1));
	hear(1, false, 600, 8);
	hear(1, true, 0, 9); /* is over */
	place();
	assert_true(is_banned(1));
}

static void test_a_word_not_told_yet_is_the_later_one(void **state)
{
	(void)state;
	look();
	ban(1, 600);
	look();
	hear(1, true, 600, 9);
	place();
	assert_true(is_banned(1));
	assert_int_equal(tell(false), 1);
	hear(1, true, 600, 10);
	place();
	assert_false(is_banned(1));
}

static void test_a_table_that_joins_later_is_told_all(void **state)
{
	(void)state;
	hear(1, true, 600, 5);
	hear(2, false, 600, 5);
	look();
	place();
	bans_forget_there(&there);
	unban(2);
	ban(1, 600);
	look();
	place();
	assert_false(is_banned(1));
	assert_true(is_banned(2));
	assert_int_equal(tell(true) + tell(false), 0);
}

static void test_lifted_is_what_the_same_client_has_no_more(void **state)
{
	(void)state;
	struct network who = client(1);
	uint32_t entry;
	uint64_t word;

	look();
	hear(1, false, 600, 5);
	hear(2, false, 600, 5);
	hear(3, false, 600, 5);
	place();
	look();
	assert_int_equal(tell(true), 0);
	unban(2);
	/* The entry goes to another client: the ban is lost, not lifted, and is placed anew. */
	assert_true(client_find(&table, client_fingerprint(&table, &who), &entry, &word));
	atomic_store(&table.entry[entry].fingerprint, 1);
	client_unmark(&table, entry, MARK_BANNED);
	look();
	assert_int_equal(tell(true), 1);
	place();
	assert_true(is_banned(1));
	assert_false(is_banned(2));
	assert_true(is_banned(3));
}

/* What was heard is unbanned before the sidecar has looked at the table again, or banned again for as long as before. */
static void test_what_is_changed_right_after_it_was_placed_is_a_word(void **state)
{
	(void)state;
	look();
	hear(1, false, 600, 5);
	place();
	unban(1);
	look();
	assert_int_equal(tell(true), 1);
	hear(2, false, 600, 5);
	place();
	look();
	hear(2, true, 600, 6);
	place();
	assert_false(is_banned(2));
	ban(2, 600);
	look();
	assert_int_equal(tell(false), 1);
}

static void test_other_prefixes_lift_nothing(void **state)
{
	(void)state;
	look();
	ban(1, 600);
	look();
	assert_int_equal(tell(false), 1);
	settings.ipv4_prefix = 24;
	assert_true(regroup_publish(&table, limits_turn(&table), &settings));
	ban_end(&table, &(struct network){client(1).address, 128});
	struct bans_of of = {&there, &table, &limits, "bans", 1000}; /* by the limits before */
	bans_looked(&bans, &of);
	assert_int_equal(tell(true), 0);
}

static void test_what_was_there_before_is_no_new_word(void **state)
{
	(void)state;
	ban(1, 600);
	ban(2, 600);
	hear(1, true, 600, 5); /* lifted while there was no sidecar */
	look();
	place();
	assert_false(is_banned(1));
	assert_true(is_banned(2));
	assert_int_equal(bans_to_tell(&bans), 1);
	assert_int_equal(bans.telling[0].turn, 0);
	look();
	/* From now on it is one. */
	ban(1, 600);
	look();
	assert_int_equal(bans_to_tell(&bans), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_no_user_has_more_than_its_share, open_table, close_table),
	    cmocka_unit_test_setup_teardown(test_who_is_exempt_is_not_banned_by_what_is_heard, open_table, close_table),
	    cmocka_unit_test_setup_teardown(test_the_higher_turn_holds, open_table, close_table),
	    cmocka_unit_test_setup_teardown(test_a_word_not_told_yet_is_the_later_one, open_table, close_table),
	    cmocka_unit_test_setup_teardown(test_a_table_that_joins_later_is_told_all, open_table, close_table),
	    cmocka_unit_test_setup_teardown(test_lifted_is_what_the_same_client_has_no_more, open_table, close_table),
	    cmocka_unit_test_setup_teardown(test_what_is_changed_right_after_it_was_placed_is_a_word, open_table, close_table),
	    cmocka_unit_test_setup_teardown(test_other_prefixes_lift_nothing, open_table, close_table),
	    cmocka_unit_test_setup_teardown(test_what_was_there_before_is_no_new_word, open_table, close_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
