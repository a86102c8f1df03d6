/* Balancers: what their headers say, and who is counted for it. Real connections over the loopback. */
#include "decisions/regroup.h"
#include "kernel/kernel.h"
#include "table/balancer.h"
#include "table/clients.h"
#include "values/proxy_header.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define V2 "\r\n\r\n\0\r\nQUIT\n"
#define BYTES(text) text, sizeof(text) - 1

static const struct {
	const char *bytes;
	size_t length;
	enum proxy_header header;
	const char *client;
} cases[] = {
    {BYTES("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n"), PROXY_CLIENT, "192.0.2.1"},
    {BYTES("PROXY TCP4 192.0.2.1 198.51.100.1 0 65535\r\nGET / HTTP/1.1\r\n"), PROXY_CLIENT, "192.0.2.1"},
    {BYTES("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"), PROXY_CLIENT, "255.255.255.255"},
    {BYTES("PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n"), PROXY_CLIENT, "2001:db8::1"},
    {BYTES("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n"), PROXY_CLIENT, "192.0.2.1"},
    {BYTES("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
     PROXY_CLIENT, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
    {BYTES("PROXY UNKNOWN\r\n"), PROXY_OWN, NULL},
    {BYTES("PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n"), PROXY_OWN, NULL},
    {BYTES("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443"), PROXY_UNDECIDED, NULL},
    {BYTES("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r"), PROXY_UNDECIDED, NULL},
    {BYTES("P"), PROXY_UNDECIDED, NULL},
    {BYTES(""), PROXY_UNDECIDED, NULL},
    {BYTES("PROXY"), PROXY_UNDECIDED, NULL},
    {BYTES("PROXY \r\n"), PROXY_NONE, NULL},
    {BYTES("PROXY\r\n"), PROXY_NONE, NULL},
    {BYTES("proxy TCP4 192.0.2.1 198.51.100.1 56324 443\r\n"), PROXY_NONE, NULL},
    {BYTES("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\n"), PROXY_UNDECIDED, NULL},
    {BYTES("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\rX"), PROXY_NONE, NULL},
    {BYTES("PROXY TCP4 192.0.2.1 198.51.100.1 56324\r\n"), PROXY_NONE, NULL},
    {BYTES("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443 5\r\n"), PROXY_NONE, NULL},
    {BYTES("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443 \r\n"), PROXY_NONE, NULL},
    {BYTES("PROXY TCP4  192.0.2.1 198.51.100.1 56324 443\r\n"), PROXY_NONE, NULL},
    {BYTES("PROXY TCP4 192.0.2.1 198.51.100.1 65536 443\r\n"), PROXY_NONE, NULL},
    {BYTES("PROXY TCP4 192.0.2.1 198.51.100.1 4294967297 443\r\n"), PROXY_NONE, NULL},
    {BYTES("PROXY TCP4 192.0.2.1 198.51.100.1 -1 443\r\n"), PROXY_NONE, NULL},
    {BYTES("PROXY TCP4 192.0.2.256 198.51.100.1 1 443\r\n"), PROXY_NONE, NULL},
    {BYTES("PROXY TCP4 192.0.2.0/24 198.51.100.1 1 443\r\n"), PROXY_NONE, NULL},
    {BYTES("PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n"), PROXY_NONE, NULL},
    {BYTES("PROXY TCP6 192.0.2.1 198.51.100.1 1 2\r\n"), PROXY_NONE, NULL},
    {BYTES("PROXY TCP6 [2001:db8::1] 2001:db8::2 1 2\r\n"), PROXY_NONE, NULL},
    {BYTES("PROXY TCP6 :: 2001:db8::2 1 2\r\n"), PROXY_NONE, NULL},
    {BYTES("PROXY UDP4 192.0.2.1 198.51.100.1 1 443\r\n"), PROXY_NONE, NULL},
    {BYTES("GET / HTTP/1.1\r\n\r\n"), PROXY_NONE, NULL},
    {BYTES("\x16\x03\x01\x02\x00\x01"), PROXY_NONE, NULL},
    {BYTES(V2 "\x21\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\1\0\1\0\2"), PROXY_CLIENT, "192.0.2.1"},
    {BYTES(V2 "\x21\x11\0\x0f\xc0\0\2\1\xc6\x33\x64\1\0\1\0\2\4\0\0"), PROXY_CLIENT, "192.0.2.1"},
    {BYTES(V2 "\x21\x11\xff\xff\xc0\0\2\1\xc6\x33\x64\1\0\1\0\2"), PROXY_CLIENT, "192.0.2.1"},
    {BYTES(V2 "\x21\x21\0\x24\x20\1\r\xb8\0\0\0\0\0\0\0\0\0\0\0\1\x20\1\r\xb8\0\0\0\0\0\0\0\0\0\0\0\2\0\1\0\2"), PROXY_CLIENT,
     "2001:db8::1"},
    {BYTES(V2 "\x20\0\0\0"), PROXY_OWN, NULL},
    {BYTES(V2 "\x20\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\1\0\1\0\2"), PROXY_OWN, NULL},
    {BYTES(V2 "\x21\0\0\0"), PROXY_OWN, NULL},
    {BYTES(V2 "\x21\x12\0\x0c\xc0\0\2\1\xc6\x33\x64\1\0\1\0\2"), PROXY_OWN, NULL},
    {BYTES(V2 "\x21\x31\0\xd8/run/x"), PROXY_OWN, NULL},
    {BYTES(V2), PROXY_UNDECIDED, NULL},
    {BYTES(V2 "\x21\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\1\0\1\0"), PROXY_UNDECIDED, NULL},
    {BYTES(V2 "\x21\x11\0\x0b\xc0\0\2\1\xc6\x33\x64\1\0\1\0\2"), PROXY_NONE, NULL},
    {BYTES(V2 "\x21\x21\0\x23\x20\1\r\xb8\0\0\0\0\0\0\0\0\0\0\0\1\x20\1\r\xb8\0\0\0\0\0\0\0\0\0\0\0\2\0\1\0\2"), PROXY_NONE,
     NULL},
    {BYTES(V2 "\x21\x21\0\x24\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x20\1\r\xb8\0\0\0\0\0\0\0\0\0\0\0\2\0\1\0\2"), PROXY_NONE, NULL},
    {BYTES(V2 "\x22\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\1\0\1\0\2"), PROXY_NONE, NULL},
    {BYTES(V2 "\x11\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\1\0\1\0\2"), PROXY_NONE, NULL},
    {BYTES(V2 "\x21\x41\0\x0c\xc0\0\2\1\xc6\x33\x64\1\0\1\0\2"), PROXY_NONE, NULL},
    {BYTES(V2 "\x21\x13\0\x0c\xc0\0\2\1\xc6\x33\x64\1\0\1\0\2"), PROXY_NONE, NULL},
    {BYTES("\r\n\r\n\0\r\nQUIT\r"), PROXY_NONE, NULL},
};

static enum proxy_header read_exactly(const char *bytes, size_t length, struct address *client)
{
	unsigned char *exact = malloc(length);

	if (length > 0)
		memcpy(exact, bytes, length);
	enum proxy_header header = proxy_header_read(exact, length, client);
	free(exact);
	return header;
}

static void headers_are_read_as_the_protocol_has_them(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct address client = {0};
		char text[ADDRESS_TEXT];

		enum proxy_header header = read_exactly(cases[i].bytes, cases[i].length, &client);
		if (header != cases[i].header)
			fail_msg("case %zu, '%s': %d, not %d", i, cases[i].bytes, header, cases[i].header);
		address_format(text, &client);
		assert_string_equal(text, cases[i].client != NULL ? cases[i].client : "::");
	}
}

/* Version 1 has at most 107 bytes. */
static void a_line_that_does_not_end_is_none(void **state)
{
	char line[PROXY_HEADER_MOST + 1] = "PROXY UNKNOWN ";
	struct address client;

	(void)state;
	memset(line + 14, 'x', sizeof(line) - 14);
	assert_int_equal(read_exactly(line, PROXY_HEADER_MOST - 1, &client), PROXY_UNDECIDED);
	assert_int_equal(read_exactly(line, PROXY_HEADER_MOST, &client), PROXY_NONE);
	assert_int_equal(read_exactly(line, sizeof(line), &client), PROXY_NONE);
	memcpy(line + PROXY_HEADER_MOST - 2, "\r\n", 2);
	assert_int_equal(read_exactly(line, sizeof(line), &client), PROXY_OWN);
}

/* ---- connections ---- */

static struct table table;
static struct settings settings;
static struct sockaddr_in listening;
static int listener;

static void publish(const char *balancers, unsigned ipv4_prefix)
{
	struct settings_error error;

	assert_true(settings_set(&settings, SETTING_PROXY, balancers, strlen(balancers), FROM_FILE, &error));
	settings.ipv4_prefix = (uint8_t)ipv4_prefix;
	assert_true(regroup_publish(&table, limits_turn(&table), &settings));
}

static int begin(void **state)
{
	socklen_t length = sizeof(listening);

	(void)state;
	listening = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	listener = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(listener, (struct sockaddr *)&listening, sizeof(listening)) != 0 || listen(listener, 64) != 0 ||
	    getsockname(listener, (struct sockaddr *)&listening, &length) != 0)
		return -1;
	settings_default(&settings);
	settings.per_ip = 2;
	settings.capacity = 1024;
	return table_open_anonymous(&table, "balancer", &settings) ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	table_leave(&table);
	return close(listener);
}

struct ends {
	int client, server;
	reference held;
};

static struct ends connect_and_send(const char *from, const char *bytes, size_t length)
{
	struct sockaddr_in own = {.sin_family = AF_INET};
	struct ends ends = {.client = socket(AF_INET, SOCK_STREAM, 0)};

	assert_int_equal(inet_pton(AF_INET, from, &own.sin_addr), 1);
	assert_int_equal(bind(ends.client, (struct sockaddr *)&own, sizeof(own)), 0);
	assert_int_equal(connect(ends.client, (struct sockaddr *)&listening, sizeof(listening)), 0);
	if (length > 0)
		assert_int_equal(send(ends.client, bytes, length, 0), length);
	ends.server = accept(listener, NULL, NULL);
	assert_true(ends.server >= 0);
	return ends;
}

static enum verdict decide(struct ends *ends)
{
	struct sockaddr_storage name;
	socklen_t length = sizeof(name);
	struct connection connection = {0};
	struct address client;
	struct refusal refusal;

	assert_int_equal(getpeername(ends->server, (struct sockaddr *)&name, &length), 0);
	assert_true(endpoint_from_sockaddr(&connection.peer, (struct sockaddr *)&name, length));
	kernel_know(&connection, ends->server);
	errno = EXDEV;
	if (clients_are_named(&table))
		balancer_ask(&table, &connection, &client, ends->server);
	assert_int_equal(errno, EXDEV);
	connection_ask_later(&connection, ends->server, 0);
	return table_decide_arrival(&table, &connection, &ends->held, &refusal);
}

static struct ends arrives(const char *from, const char *bytes, size_t length, enum verdict expected)
{
	struct ends ends = connect_and_send(from, bytes, length);

	assert_int_equal(decide(&ends), expected);
	return ends;
}

static void leaves(struct ends ends)
{
	table_release(&table, ends.held);
	close(ends.client);
	close(ends.server);
}

static unsigned count(const char *address)
{
	struct network network;
	const char *error;
	size_t position;

	assert_true(network_parse(&network, address, strlen(address), &error, &position));
	return table_count(&table, &network.address);
}

#define FOR(client) BYTES("PROXY TCP4 " client " 127.0.0.1 1 2\r\n")

static void each_client_of_a_balancer_has_its_own_limit(void **state)
{
	struct ends ends[6];

	(void)state;
	publish("127.0.9.0/24", 32);
	ends[0] = arrives("127.0.9.1", FOR("192.0.2.1"), VERDICT_ADMITTED);
	ends[1] = arrives("127.0.9.1", FOR("192.0.2.1"), VERDICT_ADMITTED);
	ends[2] = arrives("127.0.9.2", FOR("192.0.2.1"), VERDICT_REFUSED);
	ends[3] = arrives("127.0.9.1", FOR("192.0.2.2"), VERDICT_ADMITTED);
	/* From elsewhere: its own, whatever it says. */
	ends[4] = arrives("127.0.8.1", FOR("192.0.2.1"), VERDICT_ADMITTED);
	ends[5] = arrives("127.0.9.1", BYTES(V2 "\x20\0\0\0"), VERDICT_ADMITTED);
	assert_int_equal(count("192.0.2.1"), 2);
	assert_int_equal(count("192.0.2.2"), 1);
	assert_int_equal(count("127.0.8.1"), 1);
	assert_int_equal(count("127.0.9.1"), 1);
	assert_int_equal(atomic_load(&table.header->unnamed), 0);
	for (int i = 0; i < 6; i++)
		leaves(ends[i]);
	assert_int_equal(count("192.0.2.1"), 0);
}

static void the_header_is_left_for_the_server(void **state)
{
	static const char header[] = "PROXY TCP4 192.0.2.1 127.0.0.1 1 2\r\nGET";
	char read[100];

	(void)state;
	publish("127.0.9.0/24", 32);
	struct ends ends = arrives("127.0.9.1", BYTES(header), VERDICT_ADMITTED);
	assert_int_equal(recv(ends.server, read, sizeof(read), MSG_DONTWAIT), sizeof(header) - 1);
	assert_memory_equal(read, header, sizeof(header) - 1);
	leaves(ends);
}

static void what_has_no_header_is_the_balancers_own_and_is_counted(void **state)
{
	struct ends ends[4];

	(void)state;
	publish("127.0.9.0/24", 32);
	ends[0] = arrives("127.0.9.1", "", 0, VERDICT_ADMITTED);
	ends[1] = arrives("127.0.9.1", BYTES("GET / HTTP/1.1\r\n"), VERDICT_ADMITTED);
	ends[2] = arrives("127.0.9.1", BYTES("PROXY TCP4 192.0.2.1"), VERDICT_REFUSED);
	/* It has gone again. */
	ends[3] = connect_and_send("127.0.9.1", "", 0);
	assert_int_equal(shutdown(ends[3].client, SHUT_WR), 0);
	assert_int_equal(decide(&ends[3]), VERDICT_REFUSED);
	assert_int_equal(count("127.0.9.1"), 2);
	assert_int_equal(atomic_load(&table.header->unnamed), 4);
	for (int i = 0; i < 4; i++)
		leaves(ends[i]);
}

static void a_slot_forgets_the_client_of_the_connection_before(void **state)
{
	(void)state;
	publish("127.0.9.0/24", 32);
	leaves(arrives("127.0.9.1", FOR("192.0.2.1"), VERDICT_ADMITTED));
	struct ends ends = arrives("127.0.8.1", "", 0, VERDICT_ADMITTED);
	publish("127.0.9.0/24", 24);
	assert_int_equal(count("127.0.8.0"), 1);
	assert_int_equal(count("192.0.2.0"), 0);
	leaves(ends);
}

static void clients_are_known_when_a_prefix_changes(void **state)
{
	struct ends ends[2];

	(void)state;
	publish("127.0.9.0/24", 32);
	ends[0] = arrives("127.0.9.1", FOR("192.0.2.1"), VERDICT_ADMITTED);
	ends[1] = arrives("127.0.9.1", FOR("192.0.2.2"), VERDICT_ADMITTED);
	/* Also when there are balancers no more. */
	publish("", 24);
	assert_int_equal(count("192.0.2.9"), 2);
	assert_int_equal(count("127.0.9.1"), 0);
	publish("", 32);
	assert_int_equal(count("192.0.2.1"), 1);
	assert_int_equal(count("192.0.2.2"), 1);
	leaves(ends[0]);
	leaves(ends[1]);
}

/* The clients of one balancer hold connections that are gone: the kernel is asked about the balancer's. */
static void what_is_gone_refuses_no_client(void **state)
{
	struct ends ends[3];

	(void)state;
	publish("127.0.9.0/24", 32);
	for (int i = 0; i < 2; i++) {
		ends[i] = arrives("127.0.9.1", FOR("192.0.2.1"), VERDICT_ADMITTED);
		table_closing(&table, ends[i].held);
		table_doubt(&table, ends[i].held);
	}
	leaves(arrives("127.0.9.1", FOR("192.0.2.1"), VERDICT_REFUSED));
	atomic_store(&table.header->all_pace.word, 0);
	close(ends[0].server);
	close(ends[0].client);
	for (uint32_t entry = 0; entry < table.entries; entry++)
		atomic_store(&client_noted(&table, entry)->pace.word, 0);
	ends[2] = arrives("127.0.9.1", FOR("192.0.2.1"), VERDICT_ADMITTED);
	assert_int_equal(count("192.0.2.1"), 2);
	leaves(ends[1]);
	leaves(ends[2]);
}

/* Its user's number looks like an address. */
static void a_unix_socket_is_no_balancers(void **state)
{
	struct connection connection = connection_of_unix(0, 1, 1);
	struct address client;

	(void)state;
	publish("0.0.0.0/0 ::/0", 32);
	assert_true(balancer_ask(&table, &connection, &client, -1));
	assert_int_equal(atomic_load(&table.header->unnamed), 0);
}

static bool names_take_memory(void)
{
	unsigned char there[64];
	size_t size = sizeof(*table.named) * table.capacity;

	assert_true((size + 4095) / 4096 <= sizeof(there));
	assert_int_equal(mincore(table.named, size, there), 0);
	for (size_t i = 0; i < (size + 4095) / 4096; i++)
		if ((there[i] & 1) != 0)
			return true;
	return false;
}

static void names_take_no_memory_without_balancers(void **state)
{
	(void)state;
	leaves(arrives("127.0.9.1", FOR("192.0.2.1"), VERDICT_ADMITTED));
	publish("", 24);
	struct ends ends = arrives("127.0.9.1", FOR("192.0.2.1"), VERDICT_ADMITTED);
	publish("", 32);
	leaves(ends);
	assert_false(names_take_memory());
	publish("127.0.9.0/24", 32);
	assert_false(names_take_memory());
	leaves(arrives("127.0.9.1", FOR("192.0.2.1"), VERDICT_ADMITTED));
	assert_true(names_take_memory());
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(headers_are_read_as_the_protocol_has_them),
	    cmocka_unit_test(a_line_that_does_not_end_is_none),
	    TEST(each_client_of_a_balancer_has_its_own_limit),
	    TEST(the_header_is_left_for_the_server),
	    TEST(what_has_no_header_is_the_balancers_own_and_is_counted),
	    TEST(a_slot_forgets_the_client_of_the_connection_before),
	    TEST(clients_are_known_when_a_prefix_changes),
	    TEST(what_is_gone_refuses_no_client),
	    TEST(a_unix_socket_is_no_balancers),
	    TEST(names_take_no_memory_without_balancers),
	};

	return cmocka_run_group_tests_name("balancer", tests, NULL, NULL);
}
