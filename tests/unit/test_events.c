/* The ring of events: in order, whole or not at all, and not washed out by a flood. */
#include "apart.h"
#include "table/bans.h"
#include "table/events.h"
#include "table/table.h"
#include "values/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <pthread.h>
#include <string.h>

static struct settings settings;
static struct table table;

static int open_table(void **state)
{
	(void)state;
	settings_default(&settings);
	settings.capacity = 64;
	settings.per_ip = 1;
	return table_open_anonymous(&table, "events", &settings) && set_apart(&table) ? 0 : -1;
}

static int close_table(void **state)
{
	(void)state;
	table_leave(&table);
	return 0;
}

static void note(uint32_t number)
{
	event_note(&table, &(struct event_facts){.event = EVENT_UNBANNED, .limit = number, .client.prefix = 128});
}

static void nothing_is_kept_at_first(void **state)
{
	struct event_facts facts;

	(void)state;
	assert_int_equal(events_end(&table), 0);
	for (uint64_t position = 0; position < 2 * EVENTS_KEPT; position++)
		assert_false(event_read(&table, position, &facts));
}

static void what_was_noted_is_read_whole(void **state)
{
	struct event_facts facts;
	struct event_facts wanted = {.event = EVENT_BANNED,
				     .reason = REFUSED_BAN,
				     .port = 65535,
				     .left_out = 65534,
				     .limit = UINT32_MAX,
				     .banned = BAN_FOREVER - 1,
				     .client.prefix = 127};

	(void)state;
	memset(&wanted.client.address, 0xa5, sizeof(wanted.client.address));
	memset(&wanted.address, 0x5a, sizeof(wanted.address));
	event_note(&table, &wanted);
	assert_int_equal(events_end(&table), 1);
	assert_true(event_read(&table, 0, &facts));
	assert_in_range(facts.at, clock_ms() - 60000, clock_ms());
	assert_int_equal(facts.event, wanted.event);
	assert_int_equal(facts.reason, wanted.reason);
	assert_int_equal(facts.port, wanted.port);
	assert_int_equal(facts.left_out, wanted.left_out);
	assert_int_equal(facts.limit, wanted.limit);
	assert_int_equal(facts.banned, wanted.banned);
	assert_int_equal(facts.client.prefix, wanted.client.prefix);
	assert_memory_equal(&facts.client.address, &wanted.client.address, sizeof(wanted.client.address));
	assert_memory_equal(&facts.address, &wanted.address, sizeof(wanted.address));
}

static void the_last_are_kept_in_order(void **state)
{
	enum { ALL = 3 * EVENTS_KEPT + 7 };
	struct event_facts facts;

	(void)state;
	for (uint32_t i = 0; i < ALL; i++)
		note(i);
	assert_int_equal(events_end(&table), ALL);
	for (uint64_t position = 0; position < ALL; position++) {
		assert_int_equal(event_read(&table, position, &facts), position >= ALL - EVENTS_KEPT);
		if (position >= ALL - EVENTS_KEPT)
			assert_int_equal(facts.limit, position);
	}
	assert_false(event_read(&table, ALL, &facts));
}

/* Whoever wrote it died, or another process scribbles over the ring. */
static void what_is_not_whole_is_passed_over_and_all_is_within_its_ranges(void **state)
{
	struct event_facts facts;
	uint64_t seed = 1;

	(void)state;
	note(1);
	note(2);
	atomic_fetch_or(&table.events->slot[0].word[0], 1);
	assert_false(event_read(&table, 0, &facts));
	assert_true(event_read(&table, 1, &facts));
	for (int round = 0; round < 100000; round++) {
		struct event_slot *slot = &table.events->slot[5];
		for (int i = 1; i < EVENT_WORDS; i++) {
			seed = seed * 6364136223846793005U + 1442695040888963407U;
			atomic_store(&slot->word[i], seed ^ seed >> 29);
		}
		atomic_store(&slot->word[0], 5 << 1);
		assert_true(event_read(&table, 5, &facts));
		assert_in_range(facts.event, 0, EVENT_ENDED - 1);
		assert_true(facts.client.prefix <= 128 || facts.client.prefix == NETWORK_UID ||
			    facts.client.prefix == EVENT_WITHOUT_CLIENT);
	}
	atomic_store(&table.events->end, UINT64_MAX);
	note(3);
	note(4);
}

static void refused(unsigned times)
{
	struct connection connection = {.peer.port = 1, .local.port = 80};
	struct refusal refusal;
	reference held;

	connection.peer.address.bytes[0] = 0x20;
	connection.local.address = connection.peer.address;
	for (unsigned i = 0; i < times; i++)
		table_decide(&table, &connection, &held, &refusal);
}

static void a_flood_of_refusals_does_not_wash_out_the_rest(void **state)
{
	struct event_facts facts;

	(void)state;
	note(7);
	uint64_t before = clock_ms();
	refused(20000);
	uint64_t seconds = (clock_ms() - before) / 1000 + 2;
	assert_in_range(events_end(&table), EVENTS_BURST, 1 + EVENTS_BURST + EVENTS_RATE * seconds);
	if (events_end(&table) <= EVENTS_KEPT)
		assert_true(event_read(&table, 0, &facts));
	/* The next that is noted says how many were not. */
	uint64_t left_out = atomic_load(&table.events->left_out);
	atomic_store(&table.events->tokens, 0);
	refused(1);
	assert_true(event_read(&table, events_end(&table) - 1, &facts));
	assert_int_equal(facts.event, EVENT_REFUSED);
	assert_int_equal(facts.reason, REFUSED_PER_IP);
	assert_int_equal(facts.left_out, left_out);
	assert_int_equal(atomic_load(&table.events->left_out), 0);
}

static void an_admission_writes_none(void **state)
{
	struct connection connection = {.peer.port = 1, .local.port = 80};
	reference held;

	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		connection.peer.address.bytes[15] = (uint8_t)i;
		connection.local.address = connection.peer.address;
		assert_int_equal(table_admit(&table, &connection, &held), VERDICT_ADMITTED);
		table_release(&table, held);
	}
	assert_int_equal(events_end(&table), 0);
}

static void limits_and_bans_are_noted(void **state)
{
	struct network client = {.prefix = 128};
	struct event_facts facts;

	(void)state;
	client.address.bytes[0] = 0x20;
	limits_keep_start(&table, &settings);
	assert_true(limits_publish(&table, limits_turn(&table), &settings));
	limits_failed(&table, &(struct settings_error){.text = "why"});
	assert_true(ban_begin(&table, &client, 60));
	assert_true(ban_end(&table, &client));
	assert_false(ban_end(&table, &client));
	static const enum event wanted[] = {EVENT_STARTED, EVENT_RELOADED, EVENT_RELOAD_FAILED, EVENT_BANNED, EVENT_UNBANNED};
	assert_int_equal(events_end(&table), sizeof(wanted) / sizeof(wanted[0]));
	for (uint64_t i = 0; i < events_end(&table); i++) {
		assert_true(event_read(&table, i, &facts));
		assert_int_equal(facts.event, wanted[i]);
	}
}

enum { THREADS = 4, EACH = 200000 };

static void *write_many(void *with)
{
	uint32_t own = *(uint32_t *)with;

	for (uint32_t i = 0; i < EACH; i++)
		event_note(&table, &(struct event_facts){.event = EVENT_BANNED,
							 .limit = own << 24 | i,
							 .banned = own << 24 | i,
							 .client = {.prefix = 128, .address.bytes = {(uint8_t)own}},
							 .address.bytes = {(uint8_t)own}});
	return NULL;
}

/* What is read while others write is one event's, as long as none is so slow that the ring goes round. */
static void many_write_at_once(void **state)
{
	uint32_t own[THREADS];
	pthread_t thread[THREADS];
	unsigned mixed = 0;
	unsigned whole = 0;

	(void)state;
	for (uint32_t i = 0; i < THREADS; i++) {
		own[i] = i + 1;
		assert_int_equal(pthread_create(&thread[i], NULL, write_many, &own[i]), 0);
	}
	while (events_end(&table) < THREADS * EACH) {
		struct event_facts facts;
		uint64_t end = events_end(&table);
		for (uint64_t back = 1; back < 100 && back <= end; back++) {
			if (!event_read(&table, end - back, &facts))
				continue;
			whole++;
			mixed += facts.limit != facts.banned || facts.address.bytes[0] != facts.client.address.bytes[0] ||
				 facts.limit >> 24 != facts.address.bytes[0];
		}
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	assert_true(mixed <= whole / 100);
}

static void words_for_everything(void **state)
{
	(void)state;
	for (unsigned event = 1; event < EVENTS; event++)
		assert_string_not_equal(event_word(event), "other");
	assert_string_equal(event_word(EVENTS), "other");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_table, close_table)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(nothing_is_kept_at_first),
	    TEST(what_was_noted_is_read_whole),
	    TEST(the_last_are_kept_in_order),
	    TEST(what_is_not_whole_is_passed_over_and_all_is_within_its_ranges),
	    TEST(a_flood_of_refusals_does_not_wash_out_the_rest),
	    TEST(an_admission_writes_none),
	    TEST(limits_and_bans_are_noted),
	    TEST(many_write_at_once),
	    TEST(words_for_everything),
	};
	return cmocka_run_group_tests_name("events", tests, NULL, NULL);
}
