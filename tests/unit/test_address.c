/* Addresses: text in, address or error out; what is written reads as the same; the C library is asked for a second opinion. */
#include "values/address.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- networks ---- */

struct network_text {
	const char *text;
	const char *meaning; /* as network_format writes it; NULL: it is an error */
	const char *says;    /* part of the error */
	size_t position;     /* of the error */
};

/* clang-format off */
static const struct network_text networks[] = {
	{"192.0.2.1", "192.0.2.1", NULL, 0},
	{"0.0.0.0", "0.0.0.0", NULL, 0},
	{"255.255.255.255", "255.255.255.255", NULL, 0},
	{"192.0.2.0/24", "192.0.2.0/24", NULL, 0},
	{"192.0.2.1/32", "192.0.2.1", NULL, 0},
	{"0.0.0.0/0", "0.0.0.0/0", NULL, 0},
	{"128.0.0.0/1", "128.0.0.0/1", NULL, 0},
	{"10.0.0.0/8", "10.0.0.0/8", NULL, 0},
	{"10.0.0.4/30", "10.0.0.4/30", NULL, 0},
	{"::", "::", NULL, 0},
	{"::1", "::1", NULL, 0},
	{"::/0", "::/0", NULL, 0},
	{"2001:db8::1", "2001:db8::1", NULL, 0},
	{"2001:DB8::A", "2001:db8::a", NULL, 0},
	{"2001:0db8:0000:0000:0000:0000:0000:0001", "2001:db8::1", NULL, 0},
	{"2001:db8::/32", "2001:db8::/32", NULL, 0},
	{"2001:db8::/127", "2001:db8::/127", NULL, 0},
	{"2001:db8::/100", "2001:db8::/100", NULL, 0},
	{"2001:db8::1/128", "2001:db8::1", NULL, 0},
	{"[2001:db8::1]", "2001:db8::1", NULL, 0},
	{"[2001:db8::]/64", "2001:db8::/64", NULL, 0},
	{"1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8", NULL, 0},
	{"1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0", NULL, 0},
	{"::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8", NULL, 0},
	{"1:0:0:2:0:0:0:3", "1:0:0:2::3", NULL, 0},
	{"1:0:0:2:3:0:0:4", "1::2:3:0:0:4", NULL, 0},
	{"fe80::1:0:0:2", "fe80::1:0:0:2", NULL, 0},
	{"::ffff:192.0.2.1", "192.0.2.1", NULL, 0},
	{"::ffff:c000:201", "192.0.2.1", NULL, 0},
	{"::ffff:10.0.0.0/104", "10.0.0.0/8", NULL, 0},
	{"::ffff:0:0/96", "0.0.0.0/0", NULL, 0},
	{"64:ff9b::192.0.2.1", "64:ff9b::c000:201", NULL, 0},
	{"1:2:3:4:5:6:192.0.2.1", "1:2:3:4:5:6:c000:201", NULL, 0},
	{"", NULL, "is not an IPv4 address", 0},
	{"localhost", NULL, "is not an IPv4 address", 0},
	{"192.0.2", NULL, "is not an IPv4 address", 7},
	{"192.0.2.", NULL, "is not an IPv4 address", 8},
	{"192.0.2.256", NULL, "is not an IPv4 address", 8},
	{"192.0.2.1.5", NULL, "is not an IPv4 address", 9},
	{"192.0..1", NULL, "is not an IPv4 address", 6},
	{"192,0.2.1", NULL, "is not an IPv4 address", 3},
	{"192.0.2.01", NULL, "leading zeros", 8},
	{"0192.0.2.1", NULL, "leading zeros", 0},
	{"1234567890.0.0.1", NULL, "is not an IPv4 address", 0},
	{" 192.0.2.1", NULL, "is not an IPv4 address", 0},
	{"192.0.2.1 ", NULL, "is not an IPv4 address", 9},
	{"-1.0.0.1", NULL, "is not an IPv4 address", 0},
	{"[192.0.2.1]", NULL, "is not an IPv6 address", 10},
	{"192.0.2.0/33", NULL, "from 0 to 32", 10},
	{"192.0.2.0/", NULL, "from 0 to 32", 10},
	{"192.0.2.0/-1", NULL, "from 0 to 32", 10},
	{"192.0.2.0/024", NULL, "from 0 to 32", 10},
	{"192.0.2.0/24/24", NULL, "from 0 to 32", 10},
	{"192.0.2.0/255.255.255.0", NULL, "from 0 to 32", 10},
	{"192.0.2.0/4294967320", NULL, "from 0 to 32", 10},
	{"192.0.2.1/24", NULL, "has bits set after its prefix", 0},
	{"0.0.0.1/0", NULL, "has bits set", 0},
	{"2001:db8::1/64", NULL, "has bits set", 0},
	{"::ffff:10.0.0.0/8", NULL, "has bits set", 0},
	{"2001:db8::/129", NULL, "from 0 to 128", 11},
	{"/24", NULL, "is not an IPv4 address", 0},
	{":", NULL, "is not an IPv6 address", 0},
	{":::", NULL, "is not an IPv6 address", 2},
	{"1::2::3", NULL, "is not an IPv6 address", 4},
	{":1:2:3:4:5:6:7", NULL, "is not an IPv6 address", 0},
	{"1:2:3:4:5:6:7:", NULL, "is not an IPv6 address", 13},
	{"1:2:3:4:5:6:7", NULL, "is not an IPv6 address", 13},
	{"1:2:3:4:5:6:7:8:9", NULL, "is not an IPv6 address", 16},
	{"1:2:3:4:5:6:7:8::", NULL, "is not an IPv6 address", 17},
	{"12345::", NULL, "is not an IPv6 address", 0},
	{"g::", NULL, "is not an IPv6 address", 0},
	{"fe80::1%eth0", NULL, "is not an IPv6 address", 7},
	{"[::1", NULL, "is not an IPv6 address", 0},
	{"::1]", NULL, "is not an IPv6 address", 3},
	{"[]", NULL, "is not an IPv6 address", 1},
	{"[", NULL, "is not an IPv4 address", 0},
	{"::ffff:192.0.2.256", NULL, "is not an IPv6 address", 15},
	{"192.0.2.1::", NULL, "is not an IPv6 address", 9},
	{"1:2:3:4:5:6:7:192.0.2.1", NULL, "is not an IPv6 address", 17},
};
/* clang-format on */

/* A copy that ends where the text does, so that a sanitizer tells of a byte read too much. */
static bool parse(struct network *network, const char *text, size_t length, const char **error, size_t *position)
{
	char *copy = malloc(length > 0 ? length : 1);

	memcpy(copy, text, length);
	bool good = network_parse(network, copy, length, error, position);
	free(copy);
	return good;
}

static void every_network(void **state)
{
	int failures = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(networks) / sizeof(networks[0]); i++) {
		const struct network_text *wanted = &networks[i];
		struct network network = {.prefix = 77};
		struct network again;
		char shown[NETWORK_TEXT] = "";
		const char *error = NULL;
		size_t position = 0;

		bool good = parse(&network, wanted->text, strlen(wanted->text), &error, &position);
		if (good)
			network_format(shown, &network);
		bool right =
		    good ? wanted->meaning != NULL && strcmp(shown, wanted->meaning) == 0
			 : wanted->meaning == NULL && strstr(error, wanted->says) != NULL && position == wanted->position;
		/* What is written reads as the same; an error changes nothing, unless it tells what was meant. */
		if (right && good)
			right = parse(&again, shown, strlen(shown), &error, &position) && again.prefix == network.prefix &&
				memcmp(&again.address, &network.address, sizeof(again.address)) == 0;
		if (right && !good)
			right = network.prefix == 77 || error == network_has_more_bits;
		if (!right) {
			print_message("'%s': got %s, position %zu\n", wanted->text, good ? shown : error, position);
			failures++;
		}
	}
	assert_int_equal(failures, 0);
}

/* ---- the C library's opinion ---- */

static uint64_t random_state = 0x2545f4914f6cdd1d; /* the same each time: a failure repeats */

static unsigned random_below(unsigned most)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (unsigned)(random_state >> 33) % most;
}

static void same_as_inet_pton(const char *text)
{
	struct network network;
	struct in6_addr ipv6;
	struct in_addr ipv4;
	const char *error;
	size_t position = 0;
	bool is_ipv4 = strchr(text, ':') == NULL;
	bool wanted = inet_pton(is_ipv4 ? AF_INET : AF_INET6, text, is_ipv4 ? (void *)&ipv4 : (void *)&ipv6) == 1;
	bool good = parse(&network, text, strlen(text), &error, &position);

	if (good != wanted)
		fail_msg("'%s': %s", text, good ? "taken, but inet_pton refuses it" : "refused, but inet_pton takes it");
	if (!good) {
		assert_true(position <= strlen(text));
		return;
	}
	assert_memory_equal(network.address.bytes + (is_ipv4 ? 12 : 0), is_ipv4 ? (void *)&ipv4 : (void *)&ipv6,
			    is_ipv4 ? 4 : 16);
}

static void reads_as_the_c_library_does(void **state)
{
	static const char *const seeds[] = {
	    "192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1", "1:2:3:4:5:6:7:8", "fe80::", "::", "1::8"};
	static const char letters[] = "0123456789abcdefF::::....gx";
	int taken = 0;

	(void)state;
	for (int round = 0; round < 300000; round++) {
		char text[64];
		struct in6_addr ignored;

		strcpy(text, seeds[random_below(sizeof(seeds) / sizeof(seeds[0]))]);
		for (unsigned changes = random_below(4); changes > 0; changes--) {
			size_t length = strlen(text);
			size_t at = random_below((unsigned)length + 1);
			if (random_below(2) == 0 && at < length)
				memmove(text + at, text + at + 1, length - at);
			else if (length < 50) {
				memmove(text + at + 1, text + at, length - at + 1);
				text[at] = letters[random_below(sizeof(letters) - 1)];
			}
		}
		same_as_inet_pton(text);
		taken += inet_pton(AF_INET6, text, &ignored) == 1;
	}
	assert_true(taken > 1000); /* else this would have tried only errors */
}

static void writes_as_the_c_library_does(void **state)
{
	(void)state;
	for (int round = 0; round < 100000; round++) {
		struct address address;
		char shown[ADDRESS_TEXT];
		char wanted[INET6_ADDRSTRLEN];

		for (int i = 0; i < 8; i++) {
			unsigned group = random_below(3) == 0	? random_below(65536)
					 : random_below(3) == 0 ? random_below(256)
								: 0;
			address.bytes[2 * i] = (uint8_t)(group >> 8);
			address.bytes[2 * i + 1] = (uint8_t)group;
		}
		address.bytes[0] = 0x20; /* inet_ntop writes ::/96 with dots, which RFC 5952, 5 leaves to known prefixes */
		address_format(shown, &address);
		inet_ntop(AF_INET6, address.bytes, wanted, sizeof(wanted));
		assert_string_equal(shown, wanted);
	}
	for (int round = 0; round < 10000; round++) {
		struct address address = {{[10] = 0xff, [11] = 0xff}};
		char shown[ADDRESS_TEXT];
		char wanted[INET_ADDRSTRLEN];

		for (int i = 12; i < 16; i++)
			address.bytes[i] = (uint8_t)random_below(256);
		address_format(shown, &address);
		inet_ntop(AF_INET, address.bytes + 12, wanted, sizeof(wanted));
		assert_string_equal(shown, wanted);
	}
}

/* The longest there are fit what the header says they need. */
static void room_for_the_longest(void **state)
{
	struct network network = {.prefix = 127};
	char text[NETWORK_TEXT];

	(void)state;
	memset(network.address.bytes, 0xff, sizeof(network.address.bytes));
	network_format(text, &network);
	assert_string_equal(text, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/127");
	uint32_t uid = UINT32_MAX;
	network = (struct network){.prefix = NETWORK_UID};
	memcpy(network.address.bytes, &uid, sizeof(uid));
	network_format(text, &network);
	assert_string_equal(text, "uid 4294967295");
	network = (struct network){.prefix = NETWORK_UID};
	network_format(text, &network);
	assert_string_equal(text, "uid 0");
}

/* ---- masks ---- */

static void masks_and_containment(void **state)
{
	static const struct {
		const char *network;
		const char *address;
		bool inside;
	} cases[] = {
	    {"10.0.0.0/8", "10.255.255.255", true},
	    {"10.0.0.0/8", "11.0.0.0", false},
	    {"0.0.0.0/0", "255.1.2.3", true},
	    {"0.0.0.0/0", "::1", false},
	    {"::/0", "192.0.2.1", false},
	    {"::/64", "192.0.2.1", false},
	    {"::/64", "::1", true},
	    {"::/0", "2001:db8::1", true},
	    {"::ffff:0:0/96", "192.0.2.1", true},
	    {"192.0.2.128/25", "192.0.2.127", false},
	    {"192.0.2.128/25", "192.0.2.128", true},
	    {"192.0.2.1", "192.0.2.1", true},
	    {"192.0.2.1", "192.0.2.0", false},
	    {"2001:db8::/32", "2001:db8:ffff::1", true},
	    {"2001:db8::/32", "2001:db9::", false},
	    {"2001:db8::/33", "2001:db8:8000::", false},
	    {"192.0.2.1", "::ffff:192.0.2.1", true},
	    {"::/1", "8000::", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct network network;
		struct network address;
		const char *error;
		size_t position;

		assert_true(parse(&network, cases[i].network, strlen(cases[i].network), &error, &position));
		assert_true(parse(&address, cases[i].address, strlen(cases[i].address), &error, &position));
		if (network_contains(&network, &address.address) != cases[i].inside)
			fail_msg("%s in %s", cases[i].address, cases[i].network);
	}
	/* Bit by bit. */
	struct address full;
	memset(full.bytes, 0xff, sizeof(full.bytes));
	for (unsigned prefix = 0; prefix <= 128; prefix++) {
		struct address masked = address_masked(full, prefix);
		for (unsigned bit = 0; bit < 128; bit++)
			assert_int_equal(masked.bytes[bit / 8] >> (7 - bit % 8) & 1, bit < prefix);
	}
}

/* ---- peers ---- */

static void peers(void **state)
{
	struct sockaddr_in ipv4 = {.sin_family = AF_INET, .sin_port = htons(443)};
	struct sockaddr_in6 ipv6 = {.sin6_family = AF_INET6, .sin6_port = htons(65535), .sin6_scope_id = 3};
	struct sockaddr local = {.sa_family = AF_UNIX};
	struct endpoint a = {0};
	struct endpoint b = {0};

	(void)state;
	inet_pton(AF_INET, "192.0.2.1", &ipv4.sin_addr);
	inet_pton(AF_INET6, "::ffff:192.0.2.1", &ipv6.sin6_addr);
	assert_true(endpoint_from_sockaddr(&a, (struct sockaddr *)&ipv4, sizeof(ipv4)));
	assert_true(endpoint_from_sockaddr(&b, (struct sockaddr *)&ipv6, sizeof(ipv6)));
	/* One client, however it came. */
	assert_memory_equal(&a.address, &b.address, sizeof(a.address));
	assert_true(address_is_ipv4(&b.address));
	assert_int_equal(a.port, 443);
	assert_int_equal(b.port, 65535);
	assert_int_equal(b.interface, 0);
	/* Two link-local peers of one address on two links are two. */
	inet_pton(AF_INET6, "fe80::1", &ipv6.sin6_addr);
	assert_true(endpoint_from_sockaddr(&b, (struct sockaddr *)&ipv6, sizeof(ipv6)));
	assert_int_equal(b.interface, 3);
	assert_false(address_is_ipv4(&b.address));
	inet_pton(AF_INET6, "2001:db8::1", &ipv6.sin6_addr);
	assert_true(endpoint_from_sockaddr(&b, (struct sockaddr *)&ipv6, sizeof(ipv6)));
	assert_int_equal(b.interface, 0);

	assert_false(endpoint_from_sockaddr(&a, &local, sizeof(local)));
	assert_false(endpoint_from_sockaddr(&a, (struct sockaddr *)&ipv4, sizeof(ipv4) - 1));
	assert_false(endpoint_from_sockaddr(&a, (struct sockaddr *)&ipv6, sizeof(ipv6) - 1));
	assert_false(endpoint_from_sockaddr(&a, (struct sockaddr *)&ipv4, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_network),
	    cmocka_unit_test(reads_as_the_c_library_does),
	    cmocka_unit_test(writes_as_the_c_library_does),
	    cmocka_unit_test(room_for_the_longest),
	    cmocka_unit_test(masks_and_containment),
	    cmocka_unit_test(peers),
	};
	return cmocka_run_group_tests_name("address", tests, NULL, NULL);
}
