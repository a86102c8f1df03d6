/* What others of a fleet hold, as accept sees it. */
#include "apart.h"
#include "decisions/check.h"
#include "decisions/regroup.h"
#include "kernel/kernel.h"
#include "values/clock.h"
#include "table/remote.h"
#include "table/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LEASE_MS = 60000 };

static struct settings settings;
static struct table table;

static void say(enum setting_id id, const char *value)
{
	struct settings_error error;

	assert_true(settings_set(&settings, id, value, strlen(value), FROM_FILE, &error));
}

static int open_table(void **state)
{
	(void)state;
	settings_default(&settings);
	settings.capacity = 1024;
	say(SETTING_CLUSTER_PER_IP, "3");
	return table_open_anonymous(&table, "remote", &settings) && set_apart(&table) ? 0 : -1;
}

static int close_table(void **state)
{
	(void)state;
	table_leave(&table);
	return 0;
}

static void publish(void)
{
	assert_true(regroup_publish(&table, limits_turn(&table), &settings));
}

static struct connection from(const char *address)
{
	static uint16_t port;
	struct connection connection = {.peer.port = ++port, .local.port = 80};
	struct network network;
	const char *error;
	size_t position;

	assert_true(network_parse(&network, address, strlen(address), &error, &position));
	connection.peer.address = network.address;
	connection.local.address = network.address;
	return connection;
}

static enum verdict admit(const char *address, enum refusal_reason *reason)
{
	struct connection connection = from(address);
	struct refusal refusal;
	reference held;

	enum verdict verdict = table_decide(&table, &connection, &held, &refusal);
	*reason = refusal.reason;
	return verdict;
}

static void hold(const char *address, int times)
{
	enum refusal_reason reason;

	for (int i = 0; i < times; i++)
		assert_int_equal(admit(address, &reason), VERDICT_ADMITTED);
}

static void refused(const char *address, enum refusal_reason wanted)
{
	enum refusal_reason reason;

	assert_int_equal(admit(address, &reason), VERDICT_REFUSED);
	assert_int_equal(reason, wanted);
}

static struct network client(const char *address)
{
	struct connection connection = from(address);

	return (struct network){.address = connection.peer.address, .prefix = 128};
}

static void others_count_while_the_lease_lasts(void **state)
{
	(void)state;
	struct network one = client("192.0.2.1");

	assert_true(remote_set(&table, &one, 3));
	hold("192.0.2.1", 1); /* nobody was heard yet */
	remote_heard(&table, clock_ms(), LEASE_MS, 0, false);
	refused("192.0.2.1", REFUSED_FLEET);
	hold("192.0.2.2", 3);
	assert_true(remote_set(&table, &one, 1));
	hold("192.0.2.1", 1);
	remote_heard(&table, clock_ms() - LEASE_MS, LEASE_MS, 0, false);
	hold("192.0.2.1", 1); /* alone again: three of three */
}

static void times_that_cannot_be_are_not_believed(void **state)
{
	(void)state;
	struct network one = client("192.0.2.1");

	assert_true(remote_set(&table, &one, 3));
	remote_heard(&table, clock_ms(), UINT32_MAX, 0, false);
	refused("192.0.2.1", REFUSED_FLEET);
	atomic_store(&table.header->remote_until, UINT64_MAX);
	hold("192.0.2.1", 3);
}

static void a_rule_of_unlimited_exempts_with_and_without_a_limit_of_the_machine(void **state)
{
	(void)state;
	struct network one = client("192.0.2.1");

	say(SETTING_RULES, "192.0.2.0/24=unlimited 198.51.100.1/32=2");
	publish();
	assert_true(remote_set(&table, &one, 100));
	remote_heard(&table, clock_ms(), LEASE_MS, 0, false);
	hold("192.0.2.1", 5);
	hold("203.0.113.1", 3);
	say(SETTING_PER_IP, "10");
	publish();
	hold("192.0.2.1", 5);
	hold("198.51.100.1", 2);
	refused("198.51.100.1", REFUSED_RULE);
}

static void local_users_are_not_of_the_fleet(void **state)
{
	(void)state;
	struct refusal refusal;
	reference held;

	say(SETTING_PER_UID, "9");
	publish();
	remote_heard(&table, clock_ms(), LEASE_MS, 0, false);
	for (int i = 0; i < 5; i++) {
		struct connection connection = connection_of_unix(1000, 7, 0);
		assert_int_equal(table_decide(&table, &connection, &held, &refusal), VERDICT_ADMITTED);
	}
}

static void the_sidecar_is_known_while_the_fleet_is_heard(void **state)
{
	(void)state;
	assert_int_equal(remote_sidecar(&table), 0);
	remote_heard(&table, clock_ms(), LEASE_MS, 0, false);
	assert_int_equal(remote_sidecar(&table), getpid());
	remote_heard(&table, clock_ms() - LEASE_MS, LEASE_MS, 0, false);
	assert_int_equal(remote_sidecar(&table), 0);
}

static void forgetting_leaves_nothing(void **state)
{
	(void)state;
	struct network one = client("192.0.2.1");

	assert_true(remote_set(&table, &one, 3));
	remote_heard(&table, clock_ms(), LEASE_MS, 0, false);
	remote_forget(&table);
	remote_heard(&table, clock_ms(), LEASE_MS, 0, false);
	hold("192.0.2.1", 3);
}

/* A table has room for few clients that hold nothing. Those who come and go replace others like them, and neither a client of
 * whom the fleet has said something nor one that has used up its rate: otherwise either could get around its limit. */
static void clients_that_come_and_go_replace_none_that_is_limited(void **state)
{
	enum refusal_reason reason;
	struct refusal refusal;
	reference held;

	(void)state;
	table_leave(&table);
	settings.capacity = 64;
	say(SETTING_RULES, "198.51.100.1/32=5,1/h");
	assert_true(table_open_anonymous(&table, "remote", &settings) && set_apart(&table));
	struct network one = client("192.0.2.1");
	assert_true(remote_set(&table, &one, 3));
	remote_heard(&table, clock_ms(), LEASE_MS, 0, false);
	struct connection used_up = from("198.51.100.1");
	assert_int_equal(table_decide(&table, &used_up, &held, &refusal), VERDICT_ADMITTED);
	table_release(&table, held);
	struct connection other = from("10.0.0.0");
	for (unsigned i = 1; i < 20 * table.entries; i++) {
		other.peer.address.bytes[13] = (uint8_t)(i >> 16);
		other.peer.address.bytes[14] = (uint8_t)(i >> 8);
		other.peer.address.bytes[15] = (uint8_t)i;
		assert_int_equal(table_decide(&table, &other, &held, &refusal), VERDICT_ADMITTED);
		assert_int_not_equal(held, 0);
		table_release(&table, held);
	}
	refused("192.0.2.1", REFUSED_FLEET);
	assert_int_equal(admit("198.51.100.1", &reason), VERDICT_REFUSED);
	assert_int_equal(reason, REFUSED_RATE);
}

/* Of connections that are gone nobody but their own machine can know. */
static void what_the_kernel_does_not_know_is_dropped_for_the_fleet(void **state)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);
	struct network one = client("127.0.0.77");
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	(void)state;
	/* Onlookers need a proof, which the listener is where the kernel tells network namespaces apart. */
	if (kernel_network(listener) == 0) {
		close(listener);
		return;
	}
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 8), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &length), 0);
	for (int i = 0; i < 2; i++) {
		struct connection connection = from("127.0.0.77");
		reference held;

		assert_true(endpoint_from_sockaddr(&connection.local, (struct sockaddr *)&address, length));
		connection.network = kernel_network(listener);
		assert_int_equal(table_admit(&table, &connection, &held), VERDICT_ADMITTED);
		table_closing(&table, held);
	}
	assert_int_equal(check_address(&table, &one.address), 2);
	assert_int_equal(table_count(&table, &one.address), 0);
	assert_int_equal(check_address(&table, &one.address), 0);
	close(listener);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(others_count_while_the_lease_lasts, open_table, close_table),
	    cmocka_unit_test_setup_teardown(times_that_cannot_be_are_not_believed, open_table, close_table),
	    cmocka_unit_test_setup_teardown(a_rule_of_unlimited_exempts_with_and_without_a_limit_of_the_machine, open_table,
					    close_table),
	    cmocka_unit_test_setup_teardown(local_users_are_not_of_the_fleet, open_table, close_table),
	    cmocka_unit_test_setup_teardown(the_sidecar_is_known_while_the_fleet_is_heard, open_table, close_table),
	    cmocka_unit_test_setup_teardown(clients_that_come_and_go_replace_none_that_is_limited, open_table, close_table),
	    cmocka_unit_test_setup_teardown(forgetting_leaves_nothing, open_table, close_table),
	    cmocka_unit_test_setup_teardown(what_the_kernel_does_not_know_is_dropped_for_the_fleet, open_table, close_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
