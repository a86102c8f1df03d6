/* Clients in the table: whose entry it is, what a client needs of memory, and that nothing of one is left to the next. */
#include "apart.h"
#include "table/bans.h"
#include "table/clients.h"
#include "table/remote.h"
#include "values/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

static struct table table;
static struct settings settings;

static void open_with(uint32_t capacity, uint32_t per_ip)
{
	settings_default(&settings);
	settings.per_ip = per_ip;
	settings.capacity = capacity;
	assert_true(table_open_anonymous(&table, "clients", &settings) && set_apart(&table));
}

static int close_table(void **state)
{
	(void)state;
	table_leave(&table);
	return 0;
}

static struct network network_of(const char *text)
{
	struct network network;
	const char *error;
	size_t position;

	assert_true(network_parse(&network, text, strlen(text), &error, &position));
	return network;
}

static enum verdict admit(const struct address *peer, reference *held)
{
	const struct connection connection = {.peer = {.address = *peer, .port = 1}, .local = {.port = 80}};

	return table_admit(&table, &connection, held);
}

static struct address numbered(uint32_t number)
{
	struct address address = {{[10] = 0xff, [11] = 0xff}};

	memcpy(address.bytes + 12, &number, sizeof(number));
	return address;
}

static uint32_t entry_of(const struct network *network)
{
	uint32_t entry;
	uint64_t word;

	assert_true(client_find(&table, client_fingerprint(&table, network), &entry, &word));
	return entry;
}

static bool takes_memory(const void *from, size_t size)
{
	static unsigned char there[4096];

	assert_true(size / 4096 <= sizeof(there));
	assert_int_equal(mincore((void *)(uintptr_t)from, size, there), 0);
	return memchr(there, 1, size / 4096) != NULL;
}

static bool notes_take_memory(void)
{
	return takes_memory(table.notes, sizeof(*table.notes) * table.entries);
}

/* Whatever half of an address is in the entry, also where the other half makes it look like IPv4. */
static void an_entry_says_whose_it_is(void **state)
{
	static const char *const texts[] = {"192.0.2.1",
					    "192.0.2.0/24",
					    "10.0.0.0/8",
					    "0.0.0.0/0",
					    "2001:db8::/64",
					    "2001:db8::/32",
					    "::/0",
					    "::1",
					    "::/64",
					    "::/65",
					    "::8000:0:0:0/65",
					    "2001:db8:0:0:8000::/65",
					    "2001:db8::1",
					    "2001:db8::fffe:0/112",
					    "2001:db8::/128",
					    "::2/127",
					    "fe80::ffff:c000:201",
					    "2001:db8::ffff:0:0/96",
					    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"};
	struct client_facts facts;
	uint32_t entry;
	uint64_t word;

	(void)state;
	open_with(1024, 0);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct network network = network_of(texts[i]);
		uint64_t fingerprint = client_fingerprint(&table, &network);

		assert_true(client_find_or_add(&table, fingerprint, &network, &entry, &word));
		assert_true(network_find_or_add(&table, fingerprint, &network, &entry, &word));
	}
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct network network = network_of(texts[i]);

		assert_true(table_client(&table, entry_of(&network), &facts));
		assert_int_equal(facts.network.prefix, network.prefix);
		assert_memory_equal(&facts.network.address, &network.address, sizeof(network.address));
		assert_int_equal(facts.limit, LIMIT_NONE);
	}
	struct network user = {.address = {{0xe8, 3}}, .prefix = NETWORK_UID};
	assert_true(client_find_or_add(&table, client_fingerprint(&table, &user), &user, &entry, &word));
	assert_true(table_client(&table, entry, &facts));
	assert_int_equal(facts.network.prefix, NETWORK_UID);
	assert_memory_equal(&facts.network.address, &user.address, sizeof(user.address));
	/* Of an entry that somebody else wrote to nothing is said. */
	atomic_fetch_add(&table.entry[entry].address, 1);
	assert_false(table_client(&table, entry, &facts));
}

/* Clients come, are looked at, hold several connections, let them go unseen, and go: none needs more than its entry. */
static void most_clients_have_no_notes(void **state)
{
	static reference held[2000];
	struct client_facts facts;

	(void)state;
	open_with(16384, 2);
	for (uint32_t i = 0; i < 2000; i++) {
		struct address peer = numbered(i / 2);
		struct network network = {.address = peer, .prefix = 128};

		assert_int_equal(admit(&peer, &held[i]), VERDICT_ADMITTED);
		assert_true(table_client(&table, entry_of(&network), &facts));
		assert_int_equal(facts.limit, 2);
		assert_int_equal(ban_of(&table, &network), 0);
		assert_true(remote_set(&table, &network, 0));
	}
	remote_forget(&table);
	for (uint32_t i = 0; i < 2000; i++)
		if (i % 3 == 0)
			table_doubt(&table, held[i]);
		else
			table_release(&table, held[i]);
	for (uint32_t i = 10000; i < 50000; i++) {
		struct address peer = numbered(i);
		assert_int_equal(admit(&peer, &held[0]), VERDICT_ADMITTED);
		table_release(&table, held[0]);
	}
	assert_false(notes_take_memory());
	assert_false(takes_memory(table.high, sizeof(*table.high) * table.entries));
	struct network fleet = network_of("192.0.2.1");
	assert_true(remote_set(&table, &fleet, 3));
	assert_true(notes_take_memory());
}

/* Each client is refused, banned, has connections elsewhere and takes a token, and then another one gets its entry. */
static void nothing_is_left_to_the_next_client(void **state)
{
	struct client_facts facts;
	reference held;
	reference none;

	(void)state;
	open_with(64, 1);
	for (uint32_t i = 0; i < 2000; i++) {
		struct address peer = numbered(i);
		struct network network = {.address = peer, .prefix = 128};

		assert_int_equal(admit(&peer, &held), VERDICT_ADMITTED);
		uint32_t entry = entry_of(&network);
		assert_true(table_client(&table, entry, &facts));
		assert_int_equal(facts.refused, 0);
		assert_int_equal(facts.observed, 0);
		assert_int_equal(facts.peak, 1);
		assert_int_equal(facts.banned, 0);
		const struct client_notes *notes = client_notes(&table, entry);
		assert_int_equal(atomic_load(&notes->tokens), 0);
		assert_int_equal(atomic_load(&notes->ban_tokens), 0);
		assert_int_equal(atomic_load(&notes->pace.word), 0);
		assert_int_equal(atomic_load(&notes->remote), 0);
		assert_int_equal(atomic_load(&notes->shown_refused), 0);
		assert_int_equal(client_marks(&table, entry) & (MARK_DOUBTFUL | MARK_BANNED | MARK_BY_RULE), 0);
		assert_int_equal(admit(&peer, &none), VERDICT_REFUSED);
		assert_true(table_client(&table, entry, &facts));
		assert_int_equal(facts.refused, 1);
		atomic_store(&client_noted(&table, entry)->tokens, clock_us());
		assert_true(ban_begin(&table, &network, 3600));
		assert_true(remote_set(&table, &network, 5));
		client_mark(&table, entry, MARK_DOUBTFUL);
		client_mark(&table, entry, MARK_BY_RULE);
		table_release(&table, held);
	}
}

/* A full table holds as many clients as connections; they come and go in any order. */
static void as_many_clients_as_connections(void **state)
{
	enum { CAPACITY = 65536 };
	static reference held[CAPACITY];
	uint32_t number = 0;

	(void)state;
	open_with(CAPACITY, 1);
	for (uint32_t i = 0; i < CAPACITY; i++) {
		struct address peer = numbered(number++);
		assert_int_equal(admit(&peer, &held[i]), VERDICT_ADMITTED);
	}
	for (uint32_t i = 0; i < 2 * CAPACITY; i++) {
		struct address peer = numbered(number++);
		uint32_t place = (uint32_t)(i * UINT64_C(40503)) % CAPACITY;
		table_release(&table, held[place]);
		assert_int_equal(admit(&peer, &held[place]), VERDICT_ADMITTED);
	}
	assert_int_equal(atomic_load(&table.header->uncounted), 0);
}

#define TEST(name) cmocka_unit_test_teardown(name, close_table)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(an_entry_says_whose_it_is),
	    TEST(most_clients_have_no_notes),
	    TEST(nothing_is_left_to_the_next_client),
	    TEST(as_many_clients_as_connections),
	};
	return cmocka_run_group_tests_name("clients", tests, NULL, NULL);
}
