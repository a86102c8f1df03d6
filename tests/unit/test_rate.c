/* Rates: a burst at once, then one token an interval, whoever takes them. */
#include "apart.h"
#include "values/clock.h"
#include "table/rate.h"
#include "table/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <pthread.h>
#include <string.h>

static void a_burst_and_then_one_each_interval(void **state)
{
	const struct rate rate = {.every_us = 50000, .burst = 5};
	_Atomic uint64_t bucket = 0;
	uint64_t now = 1000000000;

	(void)state;
	for (int i = 0; i < 5; i++)
		assert_true(rate_take(&bucket, &rate, now));
	assert_false(rate_take(&bucket, &rate, now));
	assert_false(rate_take(&bucket, &rate, now + 49999));
	assert_true(rate_take(&bucket, &rate, now + 50000));
	assert_false(rate_take(&bucket, &rate, now + 50000));
	/* Long idle: a burst again, not more. */
	now += 3600 * UINT64_C(1000000);
	for (int i = 0; i < 5; i++)
		assert_true(rate_take(&bucket, &rate, now));
	assert_false(rate_take(&bucket, &rate, now));
}

static void over_an_hour_no_more_than_the_rate(void **state)
{
	const struct rate rate = {.every_us = 600000, .burst = 10}; /* 100 a minute */
	_Atomic uint64_t bucket = 0;
	unsigned taken = 0;

	(void)state;
	for (uint64_t now = 5000000; now < 5000000 + 3600 * UINT64_C(1000000); now += 7001)
		taken += rate_take(&bucket, &rate, now);
	assert_in_range(taken, 6000, 6010);
}

static void what_is_given_back_can_be_taken(void **state)
{
	const struct rate rate = {.every_us = 1000000, .burst = 1};
	_Atomic uint64_t bucket = 0;

	(void)state;
	assert_true(rate_take(&bucket, &rate, 77000000));
	assert_false(rate_take(&bucket, &rate, 77000001));
	rate_give_back(&bucket, &rate);
	assert_true(rate_take(&bucket, &rate, 77000001));
}

/* A stranger wrote it, or the burst was lowered: one interval's wait, not for ever. */
static void a_word_from_far_ahead_waits_one_interval(void **state)
{
	const struct rate rate = {.every_us = 1000, .burst = 3};
	_Atomic uint64_t bucket = UINT64_MAX;

	(void)state;
	assert_false(rate_take(&bucket, &rate, 5000000));
	assert_false(rate_take(&bucket, &rate, 5000999));
	assert_true(rate_take(&bucket, &rate, 5001000));
	assert_false(rate_take(&bucket, &rate, 5001000));
}

enum { THREADS = 4, TAKES = 200000, BURST = 1000 };

struct taker {
	_Atomic uint64_t *bucket;
	unsigned taken;
};

static void *take(void *with)
{
	static const struct rate rate = {.every_us = 1000, .burst = BURST};
	struct taker *taker = with;

	for (int i = 0; i < TAKES; i++)
		taker->taken += rate_take(taker->bucket, &rate, 9000000 + (uint64_t)i);
	return NULL;
}

static void threads_share_one_bucket(void **state)
{
	_Atomic uint64_t bucket = 0;
	pthread_t thread[THREADS];
	struct taker taker[THREADS];
	unsigned taken = 0;

	(void)state;
	for (int i = 0; i < THREADS; i++) {
		taker[i] = (struct taker){.bucket = &bucket};
		pthread_create(&thread[i], NULL, take, &taker[i]);
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(thread[i], NULL);
		taken += taker[i].taken;
	}
	assert_int_equal(taken, BURST + TAKES / 1000 - (TAKES % 1000 == 0 ? 1 : 0));
}

static void a_refusal_by_rate_leaves_no_trace_in_the_counts(void **state)
{
	static struct settings settings;
	struct table table;
	struct connection connection = {.peer = {.port = 1}, .local = {.port = 80}};
	struct refusal refusal;
	reference held[4];
	uint32_t open;

	(void)state;
	settings_default(&settings);
	settings.capacity = 64;
	settings.total = 10;
	settings.rate = (struct rate){.every_us = 3600000000U, .burst = 3};
	assert_true(table_open_anonymous(&table, "rate", &settings) && set_apart(&table));
	for (int i = 0; i < 3; i++) {
		connection.peer.port++;
		assert_int_equal(table_decide(&table, &connection, &held[i], &refusal), VERDICT_ADMITTED);
		assert_int_equal(refusal.reason, REFUSED_NOT);
	}
	assert_int_equal(table_decide(&table, &connection, &held[3], &refusal), VERDICT_REFUSED);
	assert_int_equal(refusal.reason, REFUSED_RATE);
	open = table_count(&table, &connection.peer.address);
	assert_int_equal(open, 3);
	assert_int_equal(atomic_load(&table.header->total) & CLIENT_COUNT, 3);
	/* Closing does not give tokens back. */
	for (int i = 0; i < 3; i++)
		table_release(&table, held[i]);
	assert_int_equal(atomic_load(&table.header->total) & CLIENT_COUNT, 0);
	assert_int_equal(table_decide(&table, &connection, &held[3], &refusal), VERDICT_REFUSED);
	/* Another client has its own. */
	connection.peer.address.bytes[0] = 0x20;
	assert_int_equal(table_decide(&table, &connection, &held[3], &refusal), VERDICT_ADMITTED);
	table_leave(&table);
}

static enum verdict decide(struct table *table, unsigned network, uint16_t port, enum refusal_reason *reason)
{
	static uint16_t client_port;
	struct connection connection = {.peer = {.port = ++client_port}, .local = {.port = port}};
	struct refusal refusal;
	reference held;

	connection.peer.address.bytes[0] = (uint8_t)network;
	enum verdict verdict = table_decide(table, &connection, &held, &refusal);
	*reason = refusal.reason;
	return verdict;
}

static unsigned admitted_of(struct table *table, unsigned network, uint16_t port, enum refusal_reason *reason)
{
	unsigned admitted = 0;

	while (admitted < 50 && decide(table, network, port, reason) == VERDICT_ADMITTED)
		admitted++;
	return admitted;
}

static void rules_have_rates_of_their_own(void **state)
{
	static struct settings settings;
	static struct settings_error error;
	static const char rules[] =
	    "3000::/4=100,1/h,burst=7 4000::/4=unlimited 5000::/4=20 6000::/4=unlimited,1/h,burst=9 :81=100,0";
	enum refusal_reason reason;
	struct table table;

	(void)state;
	settings_default(&settings);
	settings.capacity = 1024;
	settings.per_ip = 10;
	settings.rate = (struct rate){.every_us = 3600000000U, .burst = 3};
	assert_true(settings_set(&settings, SETTING_RULES, rules, strlen(rules), FROM_FILE, &error));
	assert_true(table_open_anonymous(&table, "rate", &settings) && set_apart(&table));
	assert_int_equal(admitted_of(&table, 0x20, 80, &reason), 3); /* by the rate for all */
	assert_int_equal(reason, REFUSED_RATE);
	assert_int_equal(admitted_of(&table, 0x30, 80, &reason), 7); /* by its own */
	assert_int_equal(reason, REFUSED_RATE);
	assert_int_equal(admitted_of(&table, 0x40, 80, &reason), 50); /* exempt from both */
	assert_int_equal(admitted_of(&table, 0x50, 80, &reason), 3);  /* a rule for the number leaves the rate */
	assert_int_equal(admitted_of(&table, 0x60, 80, &reason), 9);
	assert_int_equal(reason, REFUSED_RATE);
	assert_int_equal(admitted_of(&table, 0x70, 81, &reason), 50); /* its rule says: no rate */
	table_leave(&table);
}

/* Clients come and go until each entry of the table has been many clients': none finds its rate used up by the one before. */
static void a_client_inherits_no_used_up_rate(void **state)
{
	static struct settings settings;
	struct connection connection = {.peer = {.port = 1}, .local = {.port = 80}};
	struct refusal refusal;
	struct table table;
	reference held;

	(void)state;
	settings_default(&settings);
	settings.capacity = 64;
	settings.rate = (struct rate){.every_us = 3600000000U, .burst = 1};
	assert_true(table_open_anonymous(&table, "rate", &settings) && set_apart(&table));
	connection.peer.address.bytes[0] = 0x20;
	for (unsigned client = 0; client < 10 * table.entries; client++) {
		memcpy(connection.peer.address.bytes + 2, &client, sizeof(client));
		assert_int_equal(table_decide(&table, &connection, &held, &refusal), VERDICT_ADMITTED);
		assert_int_not_equal(held, 0);
		table_release(&table, held);
		assert_int_equal(table_decide(&table, &connection, &held, &refusal), VERDICT_REFUSED);
	}
	table_leave(&table);
}

/* What a client was refused in observe mode does not make it look like one that a rule exempts. */
static void what_is_observed_stays_under_its_limit(void **state)
{
	static struct settings settings;
	struct client_facts facts;
	enum refusal_reason reason;
	struct table table;
	unsigned seen = 0;

	(void)state;
	settings_default(&settings);
	settings.capacity = 64;
	settings.per_ip = 2;
	settings.mode = MODE_OBSERVE;
	settings.rules = 1;
	settings.rule[0] = (struct rule){.port = 81, .limit = 5};
	assert_true(table_open_anonymous(&table, "rate", &settings) && set_apart(&table));
	for (int i = 0; i < 4; i++)
		assert_int_equal(decide(&table, 0x20, 80, &reason), VERDICT_ADMITTED);
	assert_int_equal(decide(&table, 0x30, 81, &reason), VERDICT_ADMITTED);
	for (uint32_t entry = 0; entry < table.entries; entry++) {
		if (!table_client(&table, entry, &facts))
			continue;
		seen++;
		assert_int_equal(facts.by_rule, facts.network.address.bytes[0] == 0x30);
		assert_int_equal(facts.limit, facts.by_rule ? 5 : 2);
		assert_int_equal(facts.peak, facts.by_rule ? 1 : 4);
	}
	assert_int_equal(seen, 2);
	table_leave(&table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_burst_and_then_one_each_interval),
	    cmocka_unit_test(over_an_hour_no_more_than_the_rate),
	    cmocka_unit_test(what_is_given_back_can_be_taken),
	    cmocka_unit_test(a_word_from_far_ahead_waits_one_interval),
	    cmocka_unit_test(threads_share_one_bucket),
	    cmocka_unit_test(a_refusal_by_rate_leaves_no_trace_in_the_counts),
	    cmocka_unit_test(rules_have_rates_of_their_own),
	    cmocka_unit_test(a_client_inherits_no_used_up_rate),
	    cmocka_unit_test(what_is_observed_stays_under_its_limit),
	};
	return cmocka_run_group_tests_name("rate", tests, NULL, NULL);
}
