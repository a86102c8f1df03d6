/* Many clients at their limits cannot together buy more of the kernel's time than one can. */
#include "apart.h"
#include "values/clock.h"
#include "decisions/pace.h"
#include "table/table.h"

#include "skipped.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { CLIENTS = 2000, ATTACK_MS = 2000 };

static struct table table;

static enum verdict connect_from(uint32_t client, uint16_t port)
{
	struct connection connection;
	reference held;

	memset(&connection, 0, sizeof(connection));
	memset(connection.peer.address.bytes + 10, 0xff, 2);
	memcpy(connection.peer.address.bytes + 12, &client, 4);
	connection.peer.port = port;
	memset(connection.local.address.bytes + 10, 0xff, 2);
	connection.local.port = 80;
	return table_admit(&table, &connection, &held);
}

static void attack(uint64_t ms)
{
	uint64_t until = clock_ms() + ms;
	uint32_t client = 0;

	while (clock_ms() < until) {
		assert_int_equal(connect_from(1 + client, 2), VERDICT_REFUSED);
		client = (client + 1) % CLIENTS;
	}
}

static void test_many_clients_share_what_checks_may_take(void **state)
{
	static struct settings settings;
	int netlink = socket(AF_NETLINK, SOCK_DGRAM, NETLINK_SOCK_DIAG);

	if (netlink < 0)
		skip(); /* qemu's user mode has none, and this is about what its answers cost */
	close(netlink);

	(void)state;
	settings_default(&settings);
	settings.per_ip = 1;
	assert_true(table_open_anonymous(&table, "budget", &settings) && set_apart(&table));
	for (uint32_t client = 0; client < CLIENTS; client++) {
		assert_int_equal(connect_from(1 + client, 1), VERDICT_ADMITTED);
		/* The first check of a client is its due. */
		assert_int_equal(connect_from(1 + client, 2), VERDICT_REFUSED);
	}
	assert_true(atomic_load(&table.header->checks) >= CLIENTS);
	/* Uses up what may be spent ahead. */
	attack(ATTACK_MS);
	uint64_t spent = atomic_load(&table.header->check_us);
	uint64_t began = clock_us();
	attack(ATTACK_MS);
	uint64_t took = clock_us() - began;
	assert_true((atomic_load(&table.header->check_us) - spent) * 100 < took * 5);
}

/* What nobody can have paid was written by somebody else, and keeps nobody from asking; what was paid does. */
static void test_a_pace_far_ahead_is_nobodys_payment(void **state)
{
	static const struct pace_rule rule = {.factor = 50, .most_us = 60000000, .ahead_us = 1000000};
	uint64_t now = 3600U * UINT64_C(1000000);

	(void)state;
	for (int bit = 24; bit < 64; bit++) {
		struct pace pace = {.word = UINT64_C(1) << bit};
		uint64_t until = ((UINT64_C(1) << bit) >> 24) * PACE_TICK_US;
		bool paid = until > now + rule.ahead_us && until <= now + rule.ahead_us + rule.most_us;
		assert_int_equal(pace_allows(&pace, &rule, now), !paid);
	}
	struct pace pace = {.word = UINT64_MAX};
	assert_true(pace_allows(&pace, &rule, now));
	pace_pay(&pace, &rule, now, 200000, false);
	assert_false(pace_allows(&pace, &rule, now));
	assert_true(pace_allows(&pace, &rule, now + 10000000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_many_clients_share_what_checks_may_take),
	    cmocka_unit_test(test_a_pace_far_ahead_is_nobodys_payment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
