/* The limit on all clients together: exact under any interleaving, also while it is set and unset, and counts that are mended
 * while others are between their two steps. Built with the numbered points (point.h), so that an interleaving can be chosen. */
#include "apart.h"
#include "decisions/check.h"
#include "decisions/regroup.h"
#include "kernel/kernel.h"
#include "table/clients.h"
#include "values/point.h"
#include "table/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "hammer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static struct settings settings;
static struct table table;

/* What happens when this thread gets to a point: once. */
static _Thread_local enum point hooked = POINTS;
static _Thread_local void (*hook)(void);

bool left_out(enum ordering ordering)
{
	(void)ordering;
	return false;
}

void point_reached(enum point point)
{
	if (point == hooked) {
		hooked = POINTS;
		hook();
	}
}

static void at(enum point point, void (*action)(void))
{
	hooked = point;
	hook = action;
}

static int open_table(void **state)
{
	(void)state;
	settings_default(&settings);
	settings.capacity = 1024;
	settings.total = LIMIT_NONE;
	return table_open_anonymous(&table, "total", &settings) && set_apart(&table) ? 0 : -1;
}

static int close_table(void **state)
{
	(void)state;
	table_leave(&table);
	return 0;
}

static void publish_total(uint32_t total)
{
	settings.total = total;
	assert_true(regroup_publish(&table, limits_turn(&table), &settings));
}

static struct connection connection_of(unsigned client, unsigned port)
{
	struct connection connection = {.peer = {.port = (uint16_t)port}, .local = {.port = 80}};

	connection.peer.address.bytes[0] = 0x20;
	connection.peer.address.bytes[7] = (uint8_t)client;
	return connection;
}

static enum verdict admit(unsigned client, unsigned port, reference *held)
{
	struct connection connection = connection_of(client, port);

	return table_admit(&table, &connection, held);
}

static uint32_t total(void)
{
	return (uint32_t)(atomic_load(&table.header->total) & CLIENT_COUNT);
}

static bool counting(void)
{
	return (atomic_load(&table.header->total) & TOTAL_COUNTING) != 0;
}

static void holds_over_all_clients(void **state)
{
	reference held[5];

	(void)state;
	publish_total(4);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(admit(i, 1, &held[i]), VERDICT_ADMITTED);
	struct connection another = connection_of(9, 1);
	struct refusal refusal;
	assert_int_equal(table_decide(&table, &another, &held[4], &refusal), VERDICT_REFUSED);
	assert_int_equal(refusal.reason, REFUSED_TOTAL);
	assert_int_equal(refusal.limit, 4);
	table_release(&table, held[2]);
	assert_int_equal(admit(9, 1, &held[2]), VERDICT_ADMITTED);
	for (unsigned i = 0; i < 4; i++)
		table_release(&table, held[i]);
	assert_int_equal(total(), 0);
}

static void set_while_connections_are_open(void **state)
{
	reference held[10];
	reference more;

	(void)state;
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(admit(i, 1, &held[i]), VERDICT_ADMITTED);
	assert_false(counting());
	publish_total(8);
	assert_int_equal(admit(6, 1, &held[6]), VERDICT_ADMITTED);
	assert_int_equal(total(), 7);
	assert_int_equal(admit(7, 1, &held[7]), VERDICT_ADMITTED);
	assert_int_equal(admit(8, 1, &more), VERDICT_REFUSED);
	/* Unset: nobody counts. Set again: those that came meanwhile are found. */
	publish_total(LIMIT_NONE);
	assert_int_equal(admit(8, 1, &held[8]), VERDICT_ADMITTED);
	assert_false(counting());
	table_release(&table, held[0]);
	publish_total(9);
	assert_int_equal(admit(9, 1, &held[0]), VERDICT_ADMITTED);
	assert_int_equal(total(), 9);
	assert_int_equal(admit(10, 1, &more), VERDICT_REFUSED);
	/* Lowered under what is open: nobody is closed, nobody admitted until enough have gone. */
	publish_total(7);
	for (unsigned i = 0; i < 2; i++) {
		table_release(&table, held[i]);
		assert_int_equal(admit(10, 1, &more), VERDICT_REFUSED);
	}
	table_release(&table, held[2]);
	assert_int_equal(admit(10, 1, &held[2]), VERDICT_ADMITTED);
	for (unsigned i = 2; i < 9; i++)
		table_release(&table, held[i]);
	assert_int_equal(total(), 0);
}

static void set_total_to_one(void)
{
	reference held;

	publish_total(1);
	/* Refused where the one under way has its slot already. */
	admit(2, 2, &held);
}

/* A process that saw no limit on the total is between its steps when one is set and used up. */
static void set_while_an_admission_is_under_way(void **state)
{
	const enum point points[] = {POINT_COUNTED, POINT_SLOT_CLAIMED, POINT_SLOT_OWNED, POINT_SLOT_WRITTEN, POINT_PUBLISHED};

	(void)state;
	for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
		reference held = 0;
		publish_total(LIMIT_NONE);
		at(points[i], set_total_to_one);
		admit(1, 1, &held);
		unsigned slots = 0;
		for (uint32_t slot = 0; slot < table.capacity; slot++)
			slots += atomic_load(&table.owner[slot]) != 0;
		assert_int_equal(slots, 1);
		assert_true(total() >= slots || total() == TOTAL_UNKNOWN || !counting());
		publish_total(1);
		assert_int_equal(admit(3, 3, &held), VERDICT_REFUSED);
		close_table(NULL);
		open_table(NULL);
	}
}

static uint32_t entry_of(unsigned client)
{
	struct connection connection = connection_of(client, 1);
	struct network network = {.address = connection.peer.address, .prefix = 64};
	uint32_t entry;
	uint64_t word;

	assert_true(client_find(&table, client_fingerprint(&table, &network), &entry, &word));
	return entry;
}

/* The kernel knows none of these connections, the control neither: it proves nothing, and only the counts are mended. */
static void mend_total(void)
{
	struct connection control = connection_of(1, 1);

	atomic_store(&table.header->total_pace.word, 0);
	check_total(&table, &control);
}

static void mend_both(void)
{
	check_count(&table, entry_of(1));
	mend_total();
}

/* Counted, the slot not yet taken; the count is mended meanwhile. Afterwards the count must not be lower than the slots. */
static void mended_while_an_admission_is_under_way(void **state)
{
	const enum point points[] = {POINT_COUNTED, POINT_SLOT_CLAIMED, POINT_SLOT_OWNED, POINT_SLOT_WRITTEN, POINT_PUBLISHED};

	(void)state;
	publish_total(100);
	for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
		reference held;
		at(points[i], mend_both);
		assert_int_equal(admit(1, (unsigned)i + 1, &held), VERDICT_ADMITTED);
		check_count(&table, entry_of(1));
		assert_int_equal(atomic_load(&table.entry[entry_of(1)].word) & CLIENT_COUNT, 1);
		mend_total();
		assert_int_equal(total(), 1);
		table_release(&table, held);
		assert_int_equal(total(), 0);
	}
}

static reference came_meanwhile;
static reference went_meanwhile;

static void one_comes(void)
{
	assert_int_equal(admit(1, 77, &came_meanwhile), VERDICT_ADMITTED);
}

static void one_comes_one_goes(void)
{
	one_comes();
	table_release(&table, went_meanwhile);
}

/* The mend has begun, and others come and go before it counts, so that the count is as it was. */
static void others_come_and_go_while_a_count_is_mended(void **state)
{
	(void)state;
	for (int goes = 0; goes < 2; goes++) {
		_Atomic uint64_t *word;
		assert_int_equal(admit(1, 1, &went_meanwhile), VERDICT_ADMITTED);
		word = &table.entry[entry_of(1)].word;
		atomic_fetch_add(word, 1); /* what one leaves that died after it counted */
		at(POINT_MEND_MARKED, goes ? one_comes_one_goes : one_comes);
		check_count(&table, entry_of(1));
		unsigned slots = goes ? 1 : 2;
		assert_true((atomic_load(word) & CLIENT_COUNT) >= slots);
		hooked = POINTS;
		check_count(&table, entry_of(1));
		assert_int_equal(atomic_load(word) & CLIENT_COUNT, slots);
		table_release(&table, came_meanwhile);
		if (!goes)
			table_release(&table, went_meanwhile);
		assert_int_equal(atomic_load(word) & CLIENT_COUNT, 0);
	}
}

/* A thread that waits at a point for its turn. */
struct player {
	void *(*plays)(void *);
	pthread_t thread;
	sem_t arrived;
	sem_t go;
};

static struct player mender;
static struct player leaver;
static _Thread_local struct player *self;

static void wait_for_turn(void)
{
	sem_post(&self->arrived);
	sem_wait(&self->go);
}

static void wait_and_wait_again_when_counted(void)
{
	wait_for_turn();
	at(POINT_MEND_COUNTED, wait_for_turn);
}

static void *mends(void *with)
{
	(void)with;
	self = &mender;
	at(POINT_MEND_MARKED, wait_and_wait_again_when_counted);
	check_count(&table, entry_of(1));
	sem_post(&self->arrived);
	return NULL;
}

static void *leaves(void *with)
{
	(void)with;
	self = &leaver;
	at(POINT_RELEASE_FREED, wait_for_turn);
	table_release(&table, went_meanwhile);
	return NULL;
}

static void begin_to_play(struct player *player, void *(*plays)(void *))
{
	sem_init(&player->arrived, 0, 0);
	sem_init(&player->go, 0, 0);
	assert_int_equal(pthread_create(&player->thread, NULL, plays, NULL), 0);
	sem_wait(&player->arrived);
}

static void play_on(struct player *player)
{
	sem_post(&player->go);
	sem_wait(&player->arrived);
}

/* One leaves before the slots are counted and lowers the count behind it, another comes after they are counted: the count reads
 * as it did when the mend began, but what was counted is no longer true. */
static void one_leaves_before_and_one_comes_after_the_slots_are_counted(void **state)
{
	_Atomic uint64_t *word;

	(void)state;
	assert_int_equal(admit(1, 1, &went_meanwhile), VERDICT_ADMITTED);
	word = &table.entry[entry_of(1)].word;
	atomic_fetch_add(word, 1);
	begin_to_play(&mender, mends);
	begin_to_play(&leaver, leaves);
	play_on(&mender);
	sem_post(&leaver.go);
	pthread_join(leaver.thread, NULL);
	one_comes();
	play_on(&mender);
	pthread_join(mender.thread, NULL);
	assert_true((atomic_load(word) & CLIENT_COUNT) >= 1);
	table_release(&table, came_meanwhile);
}

static void publish_prefix(uint8_t prefix)
{
	settings.ipv6_prefix = prefix;
	assert_true(regroup_publish(&table, limits_turn(&table), &settings));
}

static uint32_t count_of(unsigned client)
{
	struct connection connection = connection_of(client, 1);

	return table_count(&table, &connection.peer.address);
}

/* Clients 0 to 3 are one client by /62, and each its own by /64. */
static void open_connections_move_when_the_prefix_changes(void **state)
{
	reference held[8];
	reference more;

	(void)state;
	settings.per_ip = 6;
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(admit(i % 4, i + 1, &held[i]), VERDICT_ADMITTED);
	assert_int_equal(count_of(1), 2);
	publish_prefix(62);
	assert_int_equal(count_of(1), 8);
	assert_int_equal(admit(1, 99, &more), VERDICT_REFUSED);
	for (unsigned i = 0; i < 3; i++)
		table_release(&table, held[i]);
	assert_int_equal(count_of(1), 5);
	assert_int_equal(admit(1, 99, &more), VERDICT_ADMITTED);
	table_release(&table, more);
	publish_prefix(64);
	assert_int_equal(count_of(0), 1);
	assert_int_equal(count_of(3), 2);
	for (unsigned i = 3; i < 8; i++)
		table_release(&table, held[i]);
	for (uint32_t entry = 0; entry < table.entries; entry++)
		assert_int_equal(atomic_load(&table.entry[entry].word) & CLIENT_COUNT, 0);
	settings.per_ip = LIMIT_NONE;
}

/* ---- processes and threads ---- */

enum { HAMMERS = 4, ROUNDS = 15000, MOST = 20 };

struct tally {
	_Atomic int open;
	_Atomic int over;
	_Atomic int uncounted;
	_Atomic int refused;
	_Atomic int limited; /* the limit has been in force for all since */
};

static struct tally *tally;

static void *hammer(void *with)
{
	unsigned seed = *(unsigned *)with;

	for (int i = 0; i < ROUNDS; i++) {
		reference held[3];
		int holds = 0;
		for (int n = 0; n < 3; n++) {
			enum verdict verdict =
			    admit((unsigned)rand_r(&seed) % 32, (unsigned)rand_r(&seed) % 65536, &held[holds]);
			if (verdict == VERDICT_UNCOUNTED)
				tally->uncounted++;
			else if (verdict == VERDICT_REFUSED)
				tally->refused++;
			else if (atomic_fetch_add(&tally->open, 1) >= MOST && ++holds)
				tally->over += tally->limited;
			else
				holds++;
		}
		if (i % 16 == 0)
			sched_yield();
		while (holds > 0) {
			atomic_fetch_sub(&tally->open, 1);
			table_release(&table, held[--holds]);
		}
	}
	return NULL;
}

static void hammer_all(void (*meanwhile)(void))
{
	tally = mmap(NULL, sizeof(*tally), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	tally->limited = meanwhile == NULL;
	hammer_in_processes_and_threads(&table, HAMMERS, hammer, meanwhile);
}

static void never_over_the_total_with_processes_and_threads(void **state)
{
	(void)state;
	publish_total(MOST);
	hammer_all(NULL);
	assert_int_equal(tally->over, 0);
	assert_int_equal(tally->uncounted, 0);
	assert_true(tally->refused > 0);
	mend_total();
	assert_int_equal(total(), 0);
}

static void set_and_unset(void)
{
	for (int i = 0; i < 400; i++) {
		publish_total(i % 2 ? LIMIT_NONE : MOST);
		usleep(500);
	}
}

static void set_and_unset_under_load(void **state)
{
	reference held[MOST + 1];

	(void)state;
	publish_total(LIMIT_NONE);
	hammer_all(set_and_unset);
	publish_total(MOST);
	/* Whatever was in the air: now exactly MOST fit. */
	for (unsigned i = 0; i < MOST; i++)
		assert_int_equal(admit(i, 1, &held[i]), VERDICT_ADMITTED);
	assert_int_equal(admit(MOST, 1, &held[MOST]), VERDICT_REFUSED);
	assert_int_equal(total(), MOST);
	for (unsigned i = 0; i < MOST; i++)
		table_release(&table, held[i]);
	for (uint32_t entry = 0; entry < table.entries; entry++)
		check_count(&table, entry);
	for (uint32_t entry = 0; entry < table.entries; entry++)
		assert_int_equal(atomic_load(&table.entry[entry].word) & CLIENT_COUNT, 0);
}

static void change_the_prefix(void)
{
	for (int i = 0; i < 400; i++) {
		publish_prefix(i % 2 ? 62 : 64);
		usleep(300);
	}
	publish_prefix(64);
}

static void the_prefix_changes_under_load(void **state)
{
	(void)state;
	hammer_all(change_the_prefix);
	for (uint32_t entry = 0; entry < table.entries; entry++)
		check_count(&table, entry);
	for (uint32_t entry = 0; entry < table.entries; entry++)
		assert_int_equal(atomic_load(&table.entry[entry].word) & CLIENT_COUNT, 0);
	for (uint32_t slot = 0; slot < table.capacity; slot++)
		assert_int_equal(atomic_load(&table.owner[slot]), 0);
}

static void stand_still(void)
{
	usleep(400000);
}

/* Or on a busy machine checks would be put off by what others take, and who was refused by connections that are gone with them.
 */
static void a_check_costs_what_it_works_not_what_it_waits(void **state)
{
	reference held[2];

	(void)state;
	publish_total(2);
	assert_int_equal(admit(0, 1, &held[0]), VERDICT_ADMITTED);
	atomic_fetch_add(&table.header->total, 1); /* as an admission leaves it that died */
	at(POINT_MEND_MARKED, stand_still);
	assert_int_equal(admit(1, 1, &held[1]), VERDICT_ADMITTED);
	assert_true(atomic_load(&table.header->check_us) < 200000);
	table_release(&table, held[0]);
	table_release(&table, held[1]);
}

static uint32_t total_in_force(void)
{
	struct limits limits;

	limits_read(&table, &limits);
	return limits.total;
}

static void publish_two(void)
{
	publish_total(2);
}

static void publish_two_in_a_thread(void)
{
	static struct settings own;
	pthread_t thread;

	own = settings;
	pthread_create(&thread, NULL, (void *(*)(void *))publish_two, NULL);
	pthread_join(thread, NULL);
	settings = own;
}

/* Another thread, or a signal handler of this one, publishes in between: each writes a block of its own, and the later turn
 * holds. */
static void publications_of_one_process_do_not_share_a_block(void **state)
{
	void (*const others[])(void) = {publish_two, publish_two_in_a_thread};

	(void)state;
	for (int i = 0; i < 4; i++) {
		settings.total = 1;
		uint64_t turn = limits_turn(&table);
		at(i % 2 == 0 ? POINT_LIMITS_CLAIMED : POINT_LIMITS_WRITTEN, others[i / 2]);
		static struct settings one;
		settings_copy(&one, &settings);
		assert_true(regroup_publish(&table, turn, &one));
		assert_int_equal(total_in_force(), 2);
		publish_total(3 + (uint32_t)i);
		assert_int_equal(total_in_force(), 3 + i);
	}
}

static int loopback(struct sockaddr_in *address)
{
	socklen_t length = sizeof(*address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	assert_int_equal(bind(listener, (struct sockaddr *)address, sizeof(*address)), 0);
	assert_int_equal(listen(listener, 8), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)address, &length), 0);
	return listener;
}

/* A real connection: both ends, and what the table would know of it. */
struct real {
	int client;
	int server;
	struct connection connection;
};

static struct real connect_to(int listener, const struct sockaddr_in *address)
{
	struct real real = {.client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
	struct sockaddr_in peer;
	socklen_t length = sizeof(peer);

	assert_int_equal(connect(real.client, (const struct sockaddr *)address, sizeof(*address)), 0);
	real.server = accept(listener, (struct sockaddr *)&peer, &length);
	assert_true(endpoint_from_sockaddr(&real.connection.peer, (struct sockaddr *)&peer, length));
	assert_true(endpoint_from_sockaddr(&real.connection.local, (const struct sockaddr *)address, sizeof(*address)));
	return real;
}

static void reset_by_client(const struct real *real)
{
	struct linger at_once = {.l_onoff = 1};

	setsockopt(real->client, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(real->client);
}

/* Or an attacker who resets whatever he opens would have everybody refused because of connections that are gone. */
static void a_client_that_resets_at_once_hides_nobody_who_is_gone(void **state)
{
	struct sockaddr_in address;
	reference held[3];

	(void)state;
	int listener = loopback(&address);
	publish_total(2);
	struct real gone = connect_to(listener, &address);
	struct real open = connect_to(listener, &address);
	assert_int_equal(table_admit(&table, &gone.connection, &held[0]), VERDICT_ADMITTED);
	assert_int_equal(table_admit(&table, &open.connection, &held[1]), VERDICT_ADMITTED);
	reset_by_client(&gone);
	table_closing(&table, held[0]);
	close(gone.server);
	struct real resets = connect_to(listener, &address);
	kernel_know(&resets.connection, resets.server);
	resets.connection.network = open.connection.network;
	reset_by_client(&resets);
	assert_int_equal(table_admit(&table, &resets.connection, &held[2]), VERDICT_ADMITTED);
	assert_int_equal(total(), 2);
	table_release(&table, held[1]);
	table_release(&table, held[2]);
	close(open.client);
	close(open.server);
	close(resets.server);
	close(listener);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_table, close_table)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(publications_of_one_process_do_not_share_a_block),
	    TEST(holds_over_all_clients),
	    TEST(set_while_connections_are_open),
	    TEST(set_while_an_admission_is_under_way),
	    TEST(mended_while_an_admission_is_under_way),
	    TEST(others_come_and_go_while_a_count_is_mended),
	    TEST(one_leaves_before_and_one_comes_after_the_slots_are_counted),
	    TEST(open_connections_move_when_the_prefix_changes),
	    TEST(the_prefix_changes_under_load),
	    TEST(a_client_that_resets_at_once_hides_nobody_who_is_gone),
	    TEST(a_check_costs_what_it_works_not_what_it_waits),
	    TEST(never_over_the_total_with_processes_and_threads),
	    TEST(set_and_unset_under_load),
	};
	return cmocka_run_group_tests_name("total", tests, NULL, NULL);
}
