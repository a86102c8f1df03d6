/* Connections to a listener on the wildcard address: while their client is far from its limit it is not asked where they
 * arrived, and all the same nobody is refused because of one that is gone, nor admitted past the limit. */
#include "apart.h"
#include "decisions/check.h"
#include "decisions/regroup.h"
#include "table/clients.h"
#include "kernel/kernel.h"
#include "table/records.h"
#include "table/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LIMIT = 6 }; /* so the first three are not asked about */

static struct settings settings;
static struct table table;
static int listener;
static uint16_t port;

static int set_up(void **state)
{
	struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_addr = in6addr_any};
	socklen_t length = sizeof(any);
	int off = 0;

	(void)state;
	settings_default(&settings);
	settings.per_ip = LIMIT;
	settings.capacity = 1024;
	assert_true(table_open_anonymous(&table, "wildcard", &settings));
	set_apart(&table);
	listener = socket(AF_INET6, SOCK_STREAM, 0);
	assert_int_equal(setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)), 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&any, sizeof(any)), 0);
	assert_int_equal(listen(listener, 64), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&any, &length), 0);
	port = ntohs(any.sin6_port);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	close(listener);
	table_leave(&table);
	return 0;
}

/* A connection from `peer` to the listener at `local`, and what has become of it. */
struct arrival {
	int client;
	int accepted;
	struct connection connection;
	enum verdict verdict;
	reference held;
	struct refusal refusal;
};

static struct arrival arrive(const char *peer, uint16_t peer_port, const char *local, uint16_t known_port)
{
	struct sockaddr_in from = {.sin_family = AF_INET, .sin_port = htons(peer_port)};
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_storage name;
	socklen_t length = sizeof(name);
	struct arrival arrived = {0};
	int on = 1;

	inet_pton(AF_INET, peer, &from.sin_addr);
	inet_pton(AF_INET, local, &to.sin_addr);
	arrived.client = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(arrived.client, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	assert_int_equal(bind(arrived.client, (struct sockaddr *)&from, sizeof(from)), 0);
	assert_int_equal(connect(arrived.client, (struct sockaddr *)&to, sizeof(to)), 0);
	arrived.accepted = accept(listener, (struct sockaddr *)&name, &length);
	assert_true(arrived.accepted >= 0);
	assert_true(endpoint_from_sockaddr(&arrived.connection.peer, (struct sockaddr *)&name, length));
	connection_ask_later(&arrived.connection, arrived.accepted, known_port);
	kernel_know(&arrived.connection, arrived.accepted);
	arrived.verdict = table_decide_arrival(&table, &arrived.connection, &arrived.held, &arrived.refusal);
	return arrived;
}

static void hang_up(const struct arrival *arrived)
{
	struct linger at_once = {.l_onoff = 1};

	setsockopt(arrived->client, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	table_closing(&table, arrived->held);
	close(arrived->client);
	close(arrived->accepted);
}

static bool lacks_address(const struct arrival *arrived)
{
	struct connection found;
	uint64_t record;

	assert_true(record_read(&table, (uint32_t)arrived->held - 1, &record, &found));
	assert_int_equal(found.local.port, port);
	return connection_lacks_address(&found);
}

/* Opens as many as the client may have, the first ones at one address, the others at another, and one more: refused. */
static void fill(struct arrival arrived[LIMIT], const char *first_at, const char *then_at)
{
	for (int i = 0; i < LIMIT; i++) {
		arrived[i] = arrive("127.0.0.9", 0, i < LIMIT / 2 ? first_at : then_at, port);
		assert_int_equal(arrived[i].verdict, VERDICT_ADMITTED);
		assert_int_equal(lacks_address(&arrived[i]), i < LIMIT / 2);
	}
	struct arrival further = arrive("127.0.0.9", 0, then_at, port);
	assert_int_equal(further.verdict, VERDICT_REFUSED);
	assert_int_equal(atomic_load(&table.header->unverified), 0);
	hang_up(&further);
}

/* One of those is closed without our being told: exactly one more is admitted. */
static void one_ends_unseen(struct arrival arrived[LIMIT], int which, const char *at)
{
	hang_up(&arrived[which]);
	arrived[which] = arrive("127.0.0.9", 0, at, port);
	assert_int_equal(arrived[which].verdict, VERDICT_ADMITTED);
	struct arrival further = arrive("127.0.0.9", 0, at, port);
	assert_int_equal(further.verdict, VERDICT_REFUSED);
	hang_up(&further);
}

static void end_all(struct arrival *arrived, int number)
{
	for (int i = 0; i < number; i++)
		hang_up(&arrived[i]);
}

static void one_that_is_gone_refuses_nobody(void **state)
{
	struct arrival arrived[LIMIT];

	(void)state;
	fill(arrived, "127.0.0.1", "127.0.0.1");
	one_ends_unseen(arrived, 1, "127.0.0.1");
	one_ends_unseen(arrived, 0, "127.0.0.1");
	assert_int_equal(atomic_load(&table.header->check_gone), 2);
	end_all(arrived, LIMIT);
}

/* Nothing that is asked about arrived where these did, so they are not found but by a search. */
static void nor_one_at_another_address(void **state)
{
	struct arrival arrived[LIMIT];

	(void)state;
	fill(arrived, "127.0.0.2", "127.0.0.1");
	one_ends_unseen(arrived, 2, "127.0.0.1");
	one_ends_unseen(arrived, 5, "127.0.0.3");
	one_ends_unseen(arrived, 0, "127.0.0.2");
	assert_int_equal(atomic_load(&table.header->check_gone), 3);
	end_all(arrived, LIMIT);
}

/* A client can use one port for several of our addresses: each of its connections is one. */
static void one_port_of_the_client_at_two_addresses(void **state)
{
	struct arrival arrived[LIMIT];
	struct sockaddr_in name;
	socklen_t length = sizeof(name);

	(void)state;
	arrived[0] = arrive("127.0.0.9", 0, "127.0.0.2", port);
	assert_int_equal(getpeername(arrived[0].client, (struct sockaddr *)&name, &length), 0);
	length = sizeof(name);
	assert_int_equal(getsockname(arrived[0].client, (struct sockaddr *)&name, &length), 0);
	for (int i = 1; i < LIMIT; i++) {
		const char *at[] = {"", "127.0.0.3", "127.0.0.4", "127.0.0.5", "127.0.0.6", "127.0.0.7"};
		arrived[i] = arrive("127.0.0.9", ntohs(name.sin_port), at[i], port);
		assert_int_equal(arrived[i].verdict, VERDICT_ADMITTED);
	}
	struct arrival further = arrive("127.0.0.9", 0, "127.0.0.1", port);
	assert_int_equal(further.verdict, VERDICT_REFUSED);
	hang_up(&further);
	one_ends_unseen(arrived, 0, "127.0.0.1");
	one_ends_unseen(arrived, 5, "127.0.0.1");
	end_all(arrived, LIMIT);
}

static void an_onlooker_frees_what_is_gone(void **state)
{
	struct arrival arrived[LIMIT];

	(void)state;
	fill(arrived, "127.0.0.2", "127.0.0.1");
	assert_int_equal(check_all(&table), 0);
	hang_up(&arrived[0]);
	hang_up(&arrived[2]);
	assert_int_equal(check_all(&table), 2);
	assert_int_equal(table_count(&table, &arrived[1].connection.peer.address), LIMIT - 2);
	hang_up(&arrived[1]);
	assert_int_equal(check_address(&table, &arrived[1].connection.peer.address), 1);
	assert_int_equal(table_count(&table, &arrived[1].connection.peer.address), LIMIT - 3);
	end_all(arrived + 3, LIMIT - 3);
}

static uint64_t searches_are_paid_until(void)
{
	return atomic_load(&table.header->search_pace.word);
}

/* Where the others arrived, or once it was found somewhere else, a connection is looked up there. */
static void what_is_open_is_searched_for_once(void **state)
{
	struct arrival arrived[LIMIT];

	(void)state;
	fill(arrived, "127.0.0.1", "127.0.0.1");
	if (kernel_way() != KERNEL_SOCK_DIAG) {
		end_all(arrived, LIMIT);
		return; /* without netlink nothing is looked up */
	}
	assert_int_equal(searches_are_paid_until(), 0);
	end_all(arrived, LIMIT);
	assert_int_equal(check_all(&table), LIMIT);
	fill(arrived, "127.0.0.2", "127.0.0.1");
	uint64_t after = searches_are_paid_until();
	assert_true(after != 0);
	for (int i = 0; i < 20; i++) {
		struct arrival further = arrive("127.0.0.9", 0, "127.0.0.1", port);
		assert_int_equal(further.verdict, VERDICT_REFUSED);
		hang_up(&further);
	}
	assert_true(searches_are_paid_until() == after);
	end_all(arrived, LIMIT);
}

/* A worker died: it is not each of its clients' turn to search. */
static void one_search_frees_what_all_lost(void **state)
{
	struct arrival arrived[LIMIT];
	struct arrival other[20];

	(void)state;
	for (int i = 0; i < 20; i++) {
		char peer[16];
		snprintf(peer, sizeof(peer), "127.0.1.%d", i + 1);
		other[i] = arrive(peer, 0, i % 2 == 0 ? "127.0.0.1" : "127.0.0.2", port);
		assert_true(lacks_address(&other[i]));
	}
	fill(arrived, "127.0.0.1", "127.0.0.1");
	end_all(other + 2, 18);
	one_ends_unseen(arrived, 0, "127.0.0.1");
	assert_int_equal(atomic_load(&table.header->check_gone), 19);
	for (int i = 0; i < 20; i++)
		assert_int_equal(table_count(&table, &other[i].connection.peer.address), i < 2 ? 1 : 0);
	end_all(other, 2);
	end_all(arrived, LIMIT);
}

/* A client that has but one port comes back from it when its connection was ended without our being told. */
static void back_from_the_same_port(bool asked)
{
	struct sockaddr_in name;
	socklen_t length = sizeof(name);
	struct settings changed = settings;

	changed.per_ip = asked ? 1 : 2;
	assert_true(regroup_publish(&table, limits_turn(&table), &changed));
	struct arrival first = arrive("127.0.0.9", 0, "127.0.0.1", port);
	assert_int_equal(lacks_address(&first), !asked);
	assert_int_equal(getsockname(first.client, (struct sockaddr *)&name, &length), 0);
	struct arrival second = {0};
	if (!asked)
		second = arrive("127.0.0.9", 0, "127.0.0.1", port);
	for (int i = 0; i < 3; i++) {
		hang_up(&first);
		first = arrive("127.0.0.9", ntohs(name.sin_port), "127.0.0.1", port);
		assert_int_equal(first.verdict, VERDICT_ADMITTED);
	}
	struct arrival further = arrive("127.0.0.9", 0, "127.0.0.1", port);
	assert_int_equal(further.verdict, VERDICT_REFUSED);
	hang_up(&further);
	hang_up(&first);
	if (!asked)
		hang_up(&second);
}

static void one_comes_back_from_the_same_port(void **state)
{
	(void)state;
	back_from_the_same_port(true);
}

static void one_comes_back_from_the_same_port_unasked(void **state)
{
	(void)state;
	back_from_the_same_port(false);
}

/* What a program attached to the network namespace may do: the connection has another port than the listener. */
static void a_port_that_is_not_the_listeners(void **state)
{
	struct arrival arrived[LIMIT];

	(void)state;
	for (int i = 0; i < LIMIT; i++) {
		bool steered = atomic_load(&table.header->steered) != 0;
		assert_int_equal(steered, i > LIMIT / 2);
		arrived[i] = arrive("127.0.0.9", 0, "127.0.0.1", steered ? 0 : (uint16_t)(port ^ 1));
		assert_int_equal(arrived[i].verdict, VERDICT_ADMITTED);
	}
	struct arrival further = arrive("127.0.0.9", 0, "127.0.0.1", 0);
	assert_int_equal(further.verdict, VERDICT_REFUSED);
	assert_int_equal(check_all(&table), 0);
	hang_up(&further);
	hang_up(&arrived[0]);
	assert_int_equal(check_all(&table), 1);
	end_all(arrived + 1, LIMIT - 1);
}

/* The limit on all clients together is as near as a client's own. */
static void near_the_limit_on_all_it_is_asked_for(void **state)
{
	struct arrival arrived[LIMIT];
	struct settings changed = settings;

	(void)state;
	changed.total = 4;
	assert_true(regroup_publish(&table, limits_turn(&table), &changed));
	for (int i = 0; i < 4; i++) {
		char peer[16];
		snprintf(peer, sizeof(peer), "127.0.1.%d", i + 1);
		arrived[i] = arrive(peer, 0, i < 2 ? "127.0.0.2" : "127.0.0.1", port);
		assert_int_equal(arrived[i].verdict, VERDICT_ADMITTED);
		assert_int_equal(lacks_address(&arrived[i]), i < 2);
	}
	arrived[4] = arrive("127.0.2.1", 0, "127.0.0.1", port);
	assert_int_equal(arrived[4].verdict, VERDICT_REFUSED);
	hang_up(&arrived[1]);
	arrived[1] = arrive("127.0.2.1", 0, "127.0.0.1", port);
	assert_int_equal(arrived[1].verdict, VERDICT_ADMITTED);
	end_all(arrived, 5);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(one_that_is_gone_refuses_nobody),	     TEST(nor_one_at_another_address),
	    TEST(one_port_of_the_client_at_two_addresses),   TEST(one_comes_back_from_the_same_port),
	    TEST(one_comes_back_from_the_same_port_unasked), TEST(an_onlooker_frees_what_is_gone),
	    TEST(what_is_open_is_searched_for_once),	     TEST(one_search_frees_what_all_lost),
	    TEST(a_port_that_is_not_the_listeners),	     TEST(near_the_limit_on_all_it_is_asked_for),
	};
	return cmocka_run_group_tests_name("wildcard", tests, NULL, NULL);
}
