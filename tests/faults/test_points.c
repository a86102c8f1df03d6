/* A process dies, or is stopped, at each place between two writes to shared memory. Whatever it leaves: no client is refused
 * because of what is gone, none gets over its limit, nobody waits, and in the end nothing is counted.
 *
 * Compiled with the library's sources and CONNLIMIT_POINTS. */
#include "check.h"
#include "clients.h"
#include "point.h"
#include "records.h"
#include "table.h"

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

enum { LIMIT = 2 };

static int trap_at = -1; /* the point where this process falls, once */
static int trap_signal;

void point_reached(enum point point)
{
	if ((int)point != trap_at)
		return;
	trap_at = -1;
	raise(trap_signal);
}

static struct settings settings;
static struct table table;

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

static struct ends real_connection(void)
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
	struct network network = limits_client(&limits, &nobody.connection.peer.address);
	uint64_t fingerprint = client_fingerprint(&table, &network);
	if (client_find_or_add(&table, fingerprint, &network, &entry, &word))
		client_count(&table, entry, fingerprint, word, LIMIT, &generation);
}

/* Everything that passes points: a first admission, a release, a mend, a publication. With `keep` the admission is the last
 * act, so that the one that was stopped can tell whether it was admitted. */
static void pass_points(const struct ends *ends, int point)
{
	reference held = 0;

	if (point >= POINT_LIMITS_CLAIMED) {
		limits_publish(&table, limits_turn(&table), &settings);
		return;
	}
	if (point == POINT_MEND_MARKED || point == POINT_MEND_COUNTED)
		for (int i = 0; i < LIMIT; i++)
			leave_gap();
	if (table_admit(&table, &ends->connection, &held) != VERDICT_ADMITTED)
		return;
	if (point >= POINT_RELEASE_CLAIMED && point <= POINT_RELEASE_FREED) {
		table_drop(&table, held);
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
			table_drop(&table, held[i]);
	}
}

static void assert_empty(int point)
{
	check_all(&table);
	for (uint32_t entry = 0; entry < table.entries; entry++)
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
	settings.per_ip = LIMIT;
	settings.capacity = 64;
	assert_true(table_open_anonymous(&table, "points", &settings));
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(shared != MAP_FAILED);
}

static void close_table(void)
{
	munmap(shared, sizeof(*shared));
	table_leave(&table);
}

static void a_process_dies_at_each_point(void **state)
{
	(void)state;
	for (int point = 0; point < POINTS; point++) {
		struct ends ends[LIMIT + 1];
		reference held[LIMIT + 1] = {0};
		int status;

		open_table();
		struct ends gone = real_connection();
		pid_t child = fall(&gone, point, SIGKILL);
		/* A point that nothing passes would let this test pass for nothing. */
		for (int i = 0; i < 2000 && shared->done == 0 && waitpid(child, &status, WNOHANG) == 0; i++)
			usleep(1000);
		if (shared->done != 0)
			fail_msg("point %d was not reached", point);
		hang_up(&gone);
		/* The first attempts are admitted, exactly up to the limit. */
		int admitted = open_all(ends, held, LIMIT + 1);
		if (admitted != LIMIT)
			fail_msg("point %d: %d admitted, not %d", point, admitted, LIMIT);
		close_all(ends, held, LIMIT + 1);
		assert_empty(point);
		/* And limits can still be published. */
		settings.per_ip = LIMIT + 1;
		assert_true(limits_publish(&table, limits_turn(&table), &settings));
		admitted = open_all(ends, held, LIMIT + 1);
		assert_int_equal(admitted, LIMIT + 1);
		close_all(ends, held, LIMIT + 1);
		close_table();
	}
}

static void a_process_is_stopped_at_each_point_and_goes_on(void **state)
{
	(void)state;
	for (int point = 0; point < POINTS; point++) {
		struct ends ends[LIMIT + 1];
		reference held[LIMIT + 1] = {0};
		int status;

		open_table();
		struct ends slow = real_connection();
		pid_t child = fall(&slow, point, SIGSTOP);
		assert_int_equal(waitpid(child, &status, WUNTRACED), child);
		assert_true(WIFSTOPPED(status));
		/* We neither wait for it nor get over the limit together with it, whatever it does when it goes on. */
		int admitted = open_all(ends, held, LIMIT + 1);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_process_dies_at_each_point),
	    cmocka_unit_test(a_process_is_stopped_at_each_point_and_goes_on),
	};
	return cmocka_run_group_tests_name("points", tests, NULL, NULL);
}
