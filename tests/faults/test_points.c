/* A process dies, or is stopped, at each place between two writes to shared memory. Whatever it leaves: no client is refused
 * because of what is gone, none gets over its limit, nobody waits, and in the end nothing is counted.
 *
 * Nobody waits: what is done beside one that is stopped, or beside one that writes to a word without end, passes no more than
 * so many points and swaps. They are counted, for time would be another's on a busy machine.
 *
 * Compiled with the library's sources and CONNLIMIT_POINTS. */
#include "../unit/apart.h"
#include "decisions/check.h"
#include "decisions/regroup.h"
#include "table/bans.h"
#include "table/clients.h"
#include "values/point.h"
#include "table/records.h"
#include "table/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	LIMIT = 2,
	BESIDE_ONE_STOPPED = 200,   /* points passed by LIMIT + 1 admissions */
	BESIDE_ONE_HOSTILE = 50000, /* swaps tried by one of each thing that is done to a table */
};

static int trap_at = -1; /* the point where this process falls, once */
static int trap_signal;
static unsigned long steps;
static _Atomic uint64_t *hammered; /* a word that another process changes before each swap */
static uint64_t hammer;

void point_reached(enum point point)
{
	steps++;
	if (point == POINT_SWAP && hammered != NULL)
		atomic_fetch_xor(hammered, hammer);
	if ((int)point != trap_at)
		return;
	trap_at = -1;
	raise(trap_signal);
}

bool left_out(enum ordering ordering)
{
	(void)ordering;
	return false;
}

static struct settings settings;
static struct table table;
static bool networks; /* the limit is on networks, of one address each, and not on clients */

/* What the child tells the parent. */
struct shared {
	_Atomic int admitted; /* by the one that was stopped, when it went on */
	_Atomic int done;
};
static struct shared *shared;

struct ends {
	int client;
	int server;
	struct connection connection;
};

static struct ends real_connection_from(uint32_t host)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_storage name;
	socklen_t length = sizeof(address);
	struct ends ends = {0};
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 8), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &length), 0);
	ends.client = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK + host)};
	assert_int_equal(bind(ends.client, (struct sockaddr *)&from, sizeof(from)), 0);
	assert_int_equal(connect(ends.client, (struct sockaddr *)&address, sizeof(address)), 0);
	length = sizeof(name);
	ends.server = accept(listener, (struct sockaddr *)&name, &length);
	assert_true(endpoint_from_sockaddr(&ends.connection.peer, (struct sockaddr *)&name, length));
	length = sizeof(name);
	assert_int_equal(getsockname(ends.server, (struct sockaddr *)&name, &length), 0);
	assert_true(endpoint_from_sockaddr(&ends.connection.local, (struct sockaddr *)&name, length));
	close(listener);
	return ends;
}

static struct ends real_connection(void)
{
	return real_connection_from(0);
}

static void hang_up(struct ends *ends)
{
	close(ends->client);
	close(ends->server);
}

/* One that died after it counted, so that the next refusal has something to mend. */
static void leave_gap(void)
{
	struct ends nobody = {.connection.peer.address.bytes = {[10] = 0xff, 0xff, 127, 0, 0, 1}};
	struct limits limits;
	uint32_t entry;
	uint64_t word;
	uint64_t generation;

	limits_read(&table, &limits);
	struct network network = networks ? limits_network(&limits, &nobody.connection.peer.address)
					  : limits_client(&limits, &nobody.connection.peer.address);
	uint64_t fingerprint = client_fingerprint(&table, &network);
	if ((networks ? network_find_or_add : client_find_or_add)(&table, fingerprint, &network, &entry, &word))
		client_count(&table, entry, fingerprint, word, LIMIT, &generation);
}

static bool changes_prefix(int point)
{
	return point == POINT_LIMITS_CURRENT || point == POINT_REGROUP_SLOT || point == POINT_REGROUP_COUNTED ||
	       point == POINT_REGROUP_MOVED;
}

/* Everything that passes points: a first admission, a release, a mend, a publication. With `keep` the admission is the last
 * act, so that the one that was stopped can tell whether it was admitted. */
static void pass_points(const struct ends *ends, int point)
{
	reference held = 0;

	if (point == POINT_START_CLAIMED || point == POINT_START_WRITTEN) {
		limits_keep_start(&table, &settings);
		return;
	}
	if (point == POINT_BAN_WRITTEN) {
		struct network other = {.address = ends->connection.peer.address, .prefix = 128};
		other.address.bytes[15] ^= 64;
		ban_begin(&table, &other, 60);
		return;
	}
	if (point >= POINT_LIMITS_CLAIMED) {
		if (changes_prefix(point))
			*(networks ? &settings.network_ipv4_prefix : &settings.ipv4_prefix) = 8;
		regroup_publish(&table, limits_turn(&table), &settings);
		return;
	}
	if (point == POINT_MEND_MARKED || point == POINT_MEND_COUNTED)
		for (int i = 0; i < LIMIT; i++)
			leave_gap();
	if (table_admit(&table, &ends->connection, &held) != VERDICT_ADMITTED)
		return;
	if (point >= POINT_RELEASE_CLAIMED && point <= POINT_RELEASE_NETWORK) {
		table_release(&table, held);
		return;
	}
	shared->admitted = 1;
}

static pid_t fall(const struct ends *ends, int point, int signal)
{
	fflush(NULL);
	pid_t child = fork();

	if (child != 0)
		return child;
	table.pid = (uint32_t)getpid();
	trap_at = point;
	trap_signal = signal;
	pass_points(ends, point);
	shared->done = 1;
	/* Holds what it was admitted with until it is killed. */
	for (;;)
		pause();
}

static int open_all(struct ends *ends, reference *held, int tries)
{
	int admitted = 0;

	for (int i = 0; i < tries; i++) {
		ends[i] = real_connection();
		admitted += table_admit(&table, &ends[i].connection, &held[i]) == VERDICT_ADMITTED;
	}
	return admitted;
}

static void close_all(struct ends *ends, const reference *held, int number)
{
	for (int i = 0; i < number; i++) {
		hang_up(&ends[i]);
		if (held[i] != 0)
			table_release(&table, held[i]);
	}
}

/* Under the new prefix the client has its limit already, by connections from another of its addresses, although whoever
 * published has not moved them. */
struct neighbour {
	struct ends ends[LIMIT];
	reference held[LIMIT];
};

static void neighbour_comes(struct neighbour *neighbour)
{
	for (int i = 0; i < LIMIT; i++) {
		neighbour->ends[i] = real_connection_from(1);
		assert_int_equal(table_admit(&table, &neighbour->ends[i].connection, &neighbour->held[i]), VERDICT_ADMITTED);
	}
}

static void assert_none_admitted(int point)
{
	struct ends ends[1];
	reference held[1] = {0};

	if (open_all(ends, held, 1) != 0)
		fail_msg("point %d: admitted past the limit under the new prefix", point);
	close_all(ends, held, 1);
}

/* What the daemon was started with can be had, as soon as a start has written it. */
static void assert_start_kept(int point, bool stopped)
{
	static struct settings kept;

	if (point != POINT_START_CLAIMED && point != POINT_START_WRITTEN)
		return;
	assert_false(limits_start(&table, &kept));
	limits_keep_start(&table, &settings);
	if (limits_start(&table, &kept) == stopped)
		fail_msg("point %d: what the daemon was started with is %s", point,
			 stopped ? "taken from the one at it" : "lost");
}

/* An onlooker believes that some are gone where it finds one that is open. */
static void look(void)
{
	struct ends open = real_connection_from(200);
	struct connection connection = open.connection;
	reference held;

	assert_int_equal(table_admit(&table, &connection, &held), VERDICT_ADMITTED);
	check_all(&table);
	table_release(&table, held);
	hang_up(&open);
}

static void assert_empty(int point)
{
	look();
	for (uint32_t entry = 0; entry < table.entries * 2; entry++)
		if ((atomic_load(&table.entry[entry].word) & CLIENT_COUNT) != 0)
			fail_msg("point %d: entry %u still counts %u", point, entry,
				 (unsigned)(atomic_load(&table.entry[entry].word) & CLIENT_COUNT));
	for (uint32_t slot = 0; slot < table.capacity; slot++)
		if (record_kind(atomic_load(&table.record[slot].state)) != RECORD_FREE)
			fail_msg("point %d: slot %u is not free", point, slot);
}

static void open_table(void)
{
	settings_default(&settings);
	if (networks)
		settings.per_network = LIMIT;
	else
		settings.per_ip = LIMIT;
	settings.network_ipv4_prefix = 32;
	settings.capacity = 64;
	assert_true(table_open_anonymous(&table, "points", &settings) && set_apart(&table));
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(shared != MAP_FAILED);
}

static void close_table(void)
{
	munmap(shared, sizeof(*shared));
	table_leave(&table);
}

static bool is_passed(int point)
{
	return networks || (point != POINT_NETWORK_COUNTED && point != POINT_RELEASE_NETWORK);
}

static int limit_networks(void **state)
{
	networks = true;
	return state == NULL;
}

static int limit_clients(void **state)
{
	networks = false;
	return state == NULL;
}

static void a_process_dies_at_each_point(void **state)
{
	(void)state;
	for (int point = 0; point < POINT_TABLE_NAMED; point++) {
		if (!is_passed(point))
			continue;
		struct ends ends[LIMIT + 1];
		reference held[LIMIT + 1] = {0};
		struct neighbour neighbour;
		int status;

		open_table();
		if (changes_prefix(point))
			neighbour_comes(&neighbour);
		struct ends gone = real_connection();
		pid_t child = fall(&gone, point, SIGKILL);
		/* A point that nothing passes would let this test pass for nothing. */
		for (int i = 0; i < 2000 && shared->done == 0 && waitpid(child, &status, WNOHANG) == 0; i++)
			usleep(1000);
		if (shared->done != 0)
			fail_msg("point %d was not reached", point);
		hang_up(&gone);
		if (changes_prefix(point)) {
			assert_none_admitted(point);
			close_all(neighbour.ends, neighbour.held, LIMIT);
		}
		assert_start_kept(point, false);
		/* The first attempts are admitted, exactly up to the limit. */
		int admitted = open_all(ends, held, LIMIT + 1);
		if (admitted != LIMIT)
			fail_msg("point %d: %d admitted, not %d", point, admitted, LIMIT);
		close_all(ends, held, LIMIT + 1);
		assert_empty(point);
		/* And limits can still be published. */
		*(networks ? &settings.per_network : &settings.per_ip) = LIMIT + 1;
		assert_true(regroup_publish(&table, limits_turn(&table), &settings));
		admitted = open_all(ends, held, LIMIT + 1);
		assert_int_equal(admitted, LIMIT + 1);
		close_all(ends, held, LIMIT + 1);
		close_table();
	}
}

static void a_process_is_stopped_at_each_point_and_goes_on(void **state)
{
	(void)state;
	for (int point = 0; point < POINT_TABLE_NAMED; point++) {
		struct ends ends[LIMIT + 1];
		reference held[LIMIT + 1] = {0};
		struct neighbour neighbour;
		int status;

		if (!is_passed(point))
			continue;
		open_table();
		if (changes_prefix(point))
			neighbour_comes(&neighbour);
		struct ends slow = real_connection();
		pid_t child = fall(&slow, point, SIGSTOP);
		assert_int_equal(waitpid(child, &status, WUNTRACED), child);
		assert_true(WIFSTOPPED(status));
		if (changes_prefix(point)) {
			assert_none_admitted(point);
			close_all(neighbour.ends, neighbour.held, LIMIT);
		}
		assert_start_kept(point, true);
		/* We neither wait for it nor get over the limit together with it, whatever it does when it goes on. */
		steps = 0;
		int admitted = open_all(ends, held, LIMIT + 1);
		if (steps > BESIDE_ONE_STOPPED)
			fail_msg("point %d: %lu steps beside one that is stopped", point, steps);
		assert_in_range(admitted, LIMIT - 1, LIMIT);
		kill(child, SIGCONT);
		for (int i = 0; i < 5000 && shared->done == 0; i++)
			usleep(1000);
		assert_int_equal(shared->done, 1);
		if (admitted + shared->admitted > LIMIT)
			fail_msg("point %d: %d and %d admitted, over %d", point, admitted, shared->admitted, LIMIT);
		kill(child, SIGKILL);
		waitpid(child, &status, 0);
		hang_up(&slow);
		close_all(ends, held, LIMIT + 1);
		assert_empty(point);
		/* And exactly the limit can be opened again. */
		memset(held, 0, sizeof(held));
		admitted = open_all(ends, held, LIMIT + 1);
		if (admitted != LIMIT)
			fail_msg("point %d: afterwards %d admitted, not %d", point, admitted, LIMIT);
		close_all(ends, held, LIMIT + 1);
		close_table();
	}
}

/* A table whose maker died, or is stopped, before it was done is finished by the next who comes. */
static void a_table_that_was_begun_is_finished(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		int point = i % 2 == 0 ? POINT_TABLE_NAMED : POINT_TABLE_LIMITED;
		char name[TABLE_NAME_MOST + 1];
		struct limits limits;
		int status;

		snprintf(name, sizeof(name), "points-%d-%d", (int)getpid(), i);
		settings_default(&settings);
		settings.per_ip = LIMIT;
		settings.capacity = 64;
		fflush(NULL);
		pid_t child = fork();
		if (child == 0) {
			trap_at = point;
			trap_signal = i < 2 ? SIGKILL : SIGSTOP;
			if (!table_open(&table, name, &settings, NULL))
				_exit(1);
			pause();
		}
		assert_int_equal(waitpid(child, &status, WUNTRACED), child);
		assert_true(WIFSTOPPED(status) || WIFSIGNALED(status));
		assert_true(table_open(&table, name, &settings, NULL) && set_apart(&table));
		assert_true(atomic_load(&table.header->magic) == TABLE_MAGIC);
		assert_string_equal(table.header->name, name);
		limits_read(&table, &limits);
		assert_int_equal(limits.per_ip, LIMIT);
		kill(child, SIGCONT);
		kill(child, SIGKILL);
		waitpid(child, &status, 0);
		table_leave(&table);
	}
}

static void drop_or_hold(reference held)
{
	table_closing(&table, held);
	table_doubt(&table, held);
	table_release(&table, held);
}

static void open_hammered_table(void)
{
	open_table();
	settings.total = 10;
	settings.rate = (struct rate){.every_us = 1000, .burst = 100};
	assert_true(regroup_publish(&table, limits_turn(&table), &settings));
}

enum { AIMS = 12 };

static void aim(unsigned which, uint32_t slot)
{
	uint32_t entry = atomic_load(&table.owner[slot]) - 1;
	uint32_t network = networks ? network_of_record(&table, slot) : entry;
	struct {
		_Atomic uint64_t *word;
		uint64_t bits;
	} at[AIMS] = {
	    {&table.entry[entry].word, CLIENT_MENDING},	   {&table.entry[entry].word, CLIENT_TENTATIVE},
	    {&table.entry[entry].word, CLIENT_GENERATION}, {&table.entry[entry].fingerprint, 1},
	    {&client_noted(&table, entry)->tokens, 1},	   {&table.header->total, CLIENT_MENDING},
	    {&table.header->total, TOTAL_COUNTING},	   {&table.record[slot].state, 2},
	    {&client_noted(&table, entry)->pace.word, 1},  {&table.header->current, 4},
	    {&table.entry[network].word, CLIENT_MENDING},  {&table.entry[network].word, CLIENT_GENERATION},
	};

	hammered = at[which].word;
	hammer = at[which].bits;
}

static void one_who_writes_without_end_holds_nobody_up(void **state)
{
	struct ends ends;
	reference held = 0;

	(void)state;
	open_hammered_table();
	ends = real_connection();
	for (unsigned i = 0; i < AIMS; i++) {
		struct refusal refusal;
		reference other = 0;

		assert_int_equal(table_admit(&table, &ends.connection, &held), VERDICT_ADMITTED);
		aim(i, (uint32_t)held - 1);
		steps = 0;
		alarm(60);
		drop_or_hold(held);
		table_decide(&table, &ends.connection, &other, &refusal);
		regroup_publish(&table, limits_turn(&table), &settings);
		hammered = NULL;
		if (steps > BESIDE_ONE_HOSTILE)
			fail_msg("aim %u: %lu steps", i, steps);
		print_message("# aim %u: %lu steps\n", i, steps);
		/* What it did is undone, so that each is tried by itself. */
		close_table();
		open_hammered_table();
	}
	alarm(0);
	hang_up(&ends);
	close_table();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_process_dies_at_each_point),
	    cmocka_unit_test(a_process_is_stopped_at_each_point_and_goes_on),
	    cmocka_unit_test_setup_teardown(a_process_dies_at_each_point, limit_networks, limit_clients),
	    cmocka_unit_test_setup_teardown(a_process_is_stopped_at_each_point_and_goes_on, limit_networks, limit_clients),
	    cmocka_unit_test(a_table_that_was_begun_is_finished),
	    cmocka_unit_test(one_who_writes_without_end_holds_nobody_up),
	    cmocka_unit_test_setup_teardown(one_who_writes_without_end_holds_nobody_up, limit_networks, limit_clients),
	};
	return cmocka_run_group_tests_name("points", tests, NULL, NULL);
}
