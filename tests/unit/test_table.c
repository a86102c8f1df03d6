/* The table: limits hold exactly, what is in doubt is the kernel's to say, what the dead leave is repaired. */
#include "apart.h"
#include "decisions/check.h"
#include "decisions/regroup.h"
#include "table/clients.h"
#include "decisions/pace.h"
#include "values/clock.h"
#include "table/records.h"
#include "skipped.h"
#include "table/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static struct settings settings;

struct fixture {
	struct table table;
};

static int open_table(void **state)
{
	static struct fixture fixture;
	static int opened;
	char name[32];

	/* Each its own: a status that looks at this moment keeps the one that was left from being removed. */
	snprintf(name, sizeof(name), "test-%d-%d", (int)getpid(), ++opened);
	settings_default(&settings);
	settings.per_ip = 3;
	settings.capacity = 1024;
	assert_true(table_open(&fixture.table, name, &settings, NULL));
	set_apart(&fixture.table);
	*state = &fixture;
	return 0;
}

static int close_table(void **state)
{
	struct fixture *fixture = *state;

	table_leave(&fixture->table);
	return 0;
}

/* Connections that exist nowhere but in the table. */
static struct connection connection_from(const char *address, uint16_t port)
{
	struct connection connection = {0};
	struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in local = {.sin_family = AF_INET, .sin_port = htons(80)};

	assert_int_equal(inet_pton(AF_INET, address, &peer.sin_addr), 1);
	local.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_true(endpoint_from_sockaddr(&connection.peer, (struct sockaddr *)&peer, sizeof(peer)));
	assert_true(endpoint_from_sockaddr(&connection.local, (struct sockaddr *)&local, sizeof(local)));
	return connection;
}

/* A real connection over loopback: [0] the client's end, [1] the accepted one. */
static struct connection real_connection(int end[2])
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_storage name;
	socklen_t length = sizeof(address);
	struct connection connection = {0};
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 8), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &length), 0);
	end[0] = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(end[0], (struct sockaddr *)&address, sizeof(address)), 0);
	length = sizeof(name);
	end[1] = accept(listener, (struct sockaddr *)&name, &length);
	assert_true(end[1] >= 0);
	assert_true(endpoint_from_sockaddr(&connection.peer, (struct sockaddr *)&name, length));
	length = sizeof(name);
	assert_int_equal(getsockname(end[1], (struct sockaddr *)&name, &length), 0);
	assert_true(endpoint_from_sockaddr(&connection.local, (struct sockaddr *)&name, length));
	close(listener);
	return connection;
}

static uint32_t count_of(struct table *table, const char *address)
{
	struct connection connection = connection_from(address, 1);

	return table_count(table, &connection.peer.address);
}

static uint32_t entry_of(struct table *table, const struct connection *connection, uint64_t *word)
{
	struct limits limits;
	uint32_t entry = 0;

	limits_read(table, &limits);
	struct network network = limits_client(&limits, &connection->peer.address);
	assert_true(client_find_or_add(table, client_fingerprint(table, &network), &network, &entry, word));
	return entry;
}

static void admits_up_to_the_limit_and_frees(void **state)
{
	struct table *table = &((struct fixture *)*state)->table;
	struct connection connection[4];
	int end[4][2];
	reference held[4];

	for (int i = 0; i < 4; i++)
		connection[i] = real_connection(end[i]);
	for (int i = 0; i < 3; i++)
		assert_int_equal(table_admit(table, &connection[i], &held[i]), VERDICT_ADMITTED);
	assert_int_equal(table_admit(table, &connection[3], &held[3]), VERDICT_REFUSED);
	assert_int_equal(count_of(table, "127.0.0.1"), 3);
	table_release(table, held[1]);
	assert_int_equal(count_of(table, "127.0.0.1"), 2);
	table_release(table, held[1]); /* again: an old reference finds nothing */
	assert_int_equal(count_of(table, "127.0.0.1"), 2);
	assert_int_equal(table_admit(table, &connection[3], &held[3]), VERDICT_ADMITTED);
	table_release(table, held[0]);
	table_release(table, held[2]);
	table_release(table, held[3]);
	assert_int_equal(count_of(table, "127.0.0.1"), 0);
	for (int i = 0; i < 4; i++) {
		close(end[i][0]);
		close(end[i][1]);
	}
}

/* A refusal that nothing is asked for does without the local address; a record, and a question to the kernel, have it. */
static void the_local_address_is_asked_for_when_it_is_wanted(void **state)
{
	struct table *table = &((struct fixture *)*state)->table;
	struct connection connection[4];
	struct connection found;
	struct refusal refusal;
	int end[4][2];
	reference held[4];
	uint64_t record;

	for (int i = 0; i < 4; i++) {
		connection[i] = real_connection(end[i]);
		found = connection[i];
		connection_ask_later(&connection[i], end[i][1], 0);
		enum verdict verdict = table_decide_arrival(table, &connection[i], &held[i], &refusal);
		assert_int_equal(verdict, i < 3 ? VERDICT_ADMITTED : VERDICT_REFUSED);
		assert_false(connection[i].unasked);
		assert_memory_equal(&connection[i].local, &found.local, sizeof(found.local));
	}
	assert_true(record_read(table, (uint32_t)held[2] - 1, &record, &found));
	assert_memory_equal(&found.local.address, &connection[2].local.address, sizeof(found.local.address));
	assert_int_equal(found.local.port, connection[2].local.port);
	/* The check has just found nothing, and is put off. */
	connection_ask_later(&connection[3], end[3][1], 0);
	atomic_store(&client_noted(table, refusal.entry)->pace.word, (clock_us() + 30000000) / PACE_TICK_US << 24);
	assert_int_equal(table_decide_arrival(table, &connection[3], &held[3], &refusal), VERDICT_REFUSED);
	assert_true(connection[3].unasked);
	/* Where the kernel does not say, the daemon gets the connection, and it is told. */
	table_release(table, held[0]);
	connection_ask_later(&connection[3], 9999, 0);
	assert_int_equal(table_decide_arrival(table, &connection[3], &held[3], &refusal), VERDICT_UNCOUNTED);
	assert_true(refusal.uncounted);
	assert_int_equal(count_of(table, "127.0.0.1"), 2);
	for (int i = 0; i < 4; i++) {
		close(end[i][0]);
		close(end[i][1]);
	}
}

static void a_doubtful_record_is_the_kernels_to_free(void **state)
{
	struct table *table = &((struct fixture *)*state)->table;
	struct connection connection[4];
	int end[4][2];
	reference held[4];

	for (int i = 0; i < 4; i++)
		connection[i] = real_connection(end[i]);
	for (int i = 0; i < 3; i++)
		assert_int_equal(table_admit(table, &connection[i], &held[i]), VERDICT_ADMITTED);
	table_doubt(table, held[0]);
	table_release(table, held[0]);
	assert_int_equal(count_of(table, "127.0.0.1"), 3);
	assert_int_equal(table_admit(table, &connection[3], &held[3]), VERDICT_REFUSED);
	/* Closed, but for all we know this process is still at work for it. */
	close(end[0][0]);
	close(end[0][1]);
	pace_forgive(&client_noted(table, (uint32_t)atomic_load(&table->owner[(uint32_t)held[0] - 1]) - 1)->pace);
	assert_int_equal(table_admit(table, &connection[3], &held[3]), VERDICT_REFUSED);
	assert_int_equal(table_closing(table, held[0]), (uint32_t)getpid());
	pace_forgive(&client_noted(table, (uint32_t)atomic_load(&table->owner[(uint32_t)held[0] - 1]) - 1)->pace);
	assert_int_equal(table_admit(table, &connection[3], &held[3]), VERDICT_ADMITTED);
	assert_int_equal(count_of(table, "127.0.0.1"), 3);
	for (int i = 1; i < 4; i++) {
		table_release(table, held[i]);
		close(end[i][0]);
		close(end[i][1]);
	}
	assert_int_equal(count_of(table, "127.0.0.1"), 0);
}

/* Sessions one after another in a daemon that forks: each is asked about before it would count as one more at once. */
static void a_peak_is_of_connections_that_are_open(void **state)
{
	struct table *table = &((struct fixture *)*state)->table;
	struct client_facts facts;
	struct connection connection;
	uint64_t word;
	int end[2];
	reference held;

	for (int i = 0; i < 20; i++) {
		connection = real_connection(end);
		assert_int_equal(table_admit(table, &connection, &held), VERDICT_ADMITTED);
		table_closing(table, held);
		table_doubt(table, held);
		close(end[0]);
		close(end[1]);
	}
	assert_true(table_client(table, entry_of(table, &connection, &word), &facts));
	assert_int_equal(facts.peak, 1);
	assert_int_equal(facts.refused, 0);
	assert_true(atomic_load(&table->header->checks) <= 19);
}

/* A connection was passed on, was still open when a peak was checked, and ends unseen afterwards. */
static void a_peak_is_checked_again_while_any_is_doubtful(void **state)
{
	struct table *table = &((struct fixture *)*state)->table;
	struct client_facts facts;
	struct connection connection;
	uint64_t word;
	int end[3][2];
	reference held[3];

	for (int i = 0; i < 3; i++) {
		if (i == 2) {
			close(end[0][0]);
			close(end[0][1]);
		}
		connection = real_connection(end[i]);
		assert_int_equal(table_admit(table, &connection, &held[i]), VERDICT_ADMITTED);
		if (i == 0) {
			table_closing(table, held[0]);
			table_doubt(table, held[0]);
		}
	}
	assert_true(table_client(table, entry_of(table, &connection, &word), &facts));
	assert_int_equal(facts.open, 2);
	assert_int_equal(facts.peak, 2);
	for (int i = 1; i < 3; i++) {
		table_release(table, held[i]);
		close(end[i][0]);
		close(end[i][1]);
	}
}

static void a_connection_that_the_kernel_forgot_refuses_nobody(void **state)
{
	struct table *table = &((struct fixture *)*state)->table;
	struct connection gone[3];
	int end[2];
	reference held;

	for (int i = 0; i < 3; i++) {
		gone[i] = real_connection(end);
		assert_int_equal(table_admit(table, &gone[i], &held), VERDICT_ADMITTED);
		table_closing(table, held);
		close(end[0]);
		close(end[1]); /* behind the table's back */
	}
	struct connection next = real_connection(end);
	assert_int_equal(table_admit(table, &next, &held), VERDICT_ADMITTED);
	assert_int_equal(count_of(table, "127.0.0.1"), 1);
	table_release(table, held);
	close(end[0]);
	close(end[1]);
}

/* The kernel has let a connection go, its closer was stopped before it could drop the record, and checks are put off. */
static void a_count_without_a_slot_is_mended(void **state)
{
	struct table *table = &((struct fixture *)*state)->table;
	int end[2];
	struct connection connection = real_connection(end);
	uint64_t word;
	uint64_t generation;
	reference held;
	struct limits limits;

	limits_read(table, &limits);
	struct network network = limits_client(&limits, &connection.peer.address);
	uint64_t fingerprint = client_fingerprint(table, &network);
	uint32_t entry = entry_of(table, &connection, &word);
	for (int i = 0; i < 3; i++) {
		entry = entry_of(table, &connection, &word);
		assert_int_equal(client_count(table, entry, fingerprint, word, 3, &generation), COUNTED);
	}
	assert_int_equal(table_admit(table, &connection, &held), VERDICT_ADMITTED);
	assert_int_equal(count_of(table, "127.0.0.1"), 1);
	/* The dead one rises: it must not take back what was mended. */
	client_uncount(table, entry, generation);
	assert_int_equal(count_of(table, "127.0.0.1"), 1);
	table_release(table, held);
	close(end[0]);
	close(end[1]);
}

/* One that died between claiming and publishing a slot. */
static void a_slot_claimed_by_the_dead_is_freed(void **state)
{
	struct table *table = &((struct fixture *)*state)->table;
	pid_t child = fork();

	if (child == 0)
		_exit(0);
	assert_int_equal(waitpid(child, NULL, 0), child);
	int end[2];
	struct connection connection = real_connection(end);
	uint32_t own = table->pid;
	table->pid = (uint32_t)child;
	for (int i = 0; i < 3; i++) {
		uint64_t word;
		uint64_t generation;
		uint64_t claimed;
		uint32_t slot;
		struct limits limits;
		limits_read(table, &limits);
		struct network network = limits_client(&limits, &connection.peer.address);
		uint32_t entry = entry_of(table, &connection, &word);
		assert_int_equal(client_count(table, entry, client_fingerprint(table, &network), word, 3, &generation),
				 COUNTED);
		assert_true(record_claim(table, &slot, &claimed));
		atomic_store(&table->owner[slot], entry + 1);
	}
	table->pid = own;
	reference held;
	assert_int_equal(table_admit(table, &connection, &held), VERDICT_ADMITTED);
	assert_int_equal(count_of(table, "127.0.0.1"), 1);
	table_release(table, held);
	assert_int_equal(count_of(table, "127.0.0.1"), 0);
	close(end[0]);
	close(end[1]);
}

static void a_full_table_admits_uncounted(void **state)
{
	struct table *table = &((struct fixture *)*state)->table;
	static reference held[1100];
	unsigned uncounted = 0;

	for (unsigned i = 0; i < 1100; i++) {
		char address[32];
		snprintf(address, sizeof(address), "10.0.%u.%u", i / 256, i % 256);
		struct connection connection = connection_from(address, 5);
		enum verdict verdict = table_admit(table, &connection, &held[i]);
		assert_int_not_equal(verdict, VERDICT_REFUSED);
		uncounted += verdict == VERDICT_UNCOUNTED;
	}
	assert_true(uncounted >= 76);
	assert_int_equal(atomic_load(&table->header->uncounted), uncounted);
	for (unsigned i = 0; i < 1100; i++)
		table_release(table, held[i]);
	for (uint32_t entry = 0; entry < table->entries; entry++)
		assert_int_equal(atomic_load(&table->entry[entry].word) & CLIENT_COUNT, 0);
}

static void limits_are_published_whole_and_in_order(void **state)
{
	struct table *table = &((struct fixture *)*state)->table;
	struct limits limits;
	static struct settings other;

	other = settings;
	/* Of two that begin at once, the one that began last wins, whichever is faster. */
	uint64_t first = limits_turn(table);
	uint64_t second = limits_turn(table);
	other.per_ip = 10;
	assert_true(regroup_publish(table, first, &other));
	other.per_ip = 20;
	assert_true(regroup_publish(table, second, &other));
	limits_read(table, &limits);
	assert_int_equal(limits.per_ip, 20);
	first = limits_turn(table);
	second = limits_turn(table);
	other.per_ip = 40;
	assert_true(regroup_publish(table, second, &other));
	other.per_ip = 30; /* read earlier, published later */
	assert_true(regroup_publish(table, first, &other));
	limits_read(table, &limits);
	assert_int_equal(limits.per_ip, 40);
}

enum { HAMMERS = 4, THREADS = 4, ROUNDS = 20000, ADDRESSES = 8 };

struct tally {
	_Atomic int open[ADDRESSES];
	_Atomic int over;
	_Atomic int uncounted;
};

struct hammer {
	struct table *table;
	struct tally *tally;
	unsigned seed;
	int end; /* the address is one that the kernel knows, so that checks find every record open */
};

/* Loopback connections would be needed for true refusals; here the records are unknown to the kernel, and a control that is not
 * found proves nothing, so the table's word counts: exactly what must hold under any interleaving. */
static void *hammer(void *with)
{
	struct hammer *own = with;

	for (int i = 0; i < ROUNDS; i++) {
		unsigned who = (unsigned)rand_r(&own->seed) % ADDRESSES;
		char address[32];
		reference held;
		snprintf(address, sizeof(address), "10.1.0.%u", who);
		struct connection connection = connection_from(address, (uint16_t)(1 + rand_r(&own->seed) % 60000));
		enum verdict verdict = table_admit(own->table, &connection, &held);
		if (verdict == VERDICT_UNCOUNTED)
			own->tally->uncounted++;
		if (verdict != VERDICT_ADMITTED)
			continue;
		if (atomic_fetch_add(&own->tally->open[who], 1) >= 3)
			own->tally->over++;
		if (i % 16 == 0)
			sched_yield();
		atomic_fetch_sub(&own->tally->open[who], 1);
		table_release(own->table, held);
	}
	return NULL;
}

static void never_over_the_limit_with_processes_and_threads(void **state)
{
	struct table *table = &((struct fixture *)*state)->table;
	int id = shmget(IPC_PRIVATE, sizeof(struct tally), IPC_CREAT | 0600);
	struct tally *tally = shmat(id, NULL, 0);
	pid_t child[HAMMERS];

	shmctl(id, IPC_RMID, NULL);
	for (int p = 0; p < HAMMERS; p++) {
		child[p] = fork();
		if (child[p] == 0) {
			pthread_t thread[THREADS];
			struct hammer own[THREADS];
			table->pid = (uint32_t)getpid();
			for (int t = 0; t < THREADS; t++) {
				own[t] = (struct hammer){.table = table, .tally = tally, .seed = (unsigned)(p * 100 + t)};
				pthread_create(&thread[t], NULL, hammer, &own[t]);
			}
			for (int t = 0; t < THREADS; t++)
				pthread_join(thread[t], NULL);
			_exit(0);
		}
	}
	for (int p = 0; p < HAMMERS; p++) {
		int status;
		assert_int_equal(waitpid(child[p], &status, 0), child[p]);
		assert_int_equal(status, 0);
	}
	assert_int_equal(tally->over, 0);
	assert_int_equal(tally->uncounted, 0);
	for (unsigned who = 0; who < ADDRESSES; who++) {
		char address[32];
		snprintf(address, sizeof(address), "10.1.0.%u", who);
		assert_int_equal(count_of(table, address), 0);
	}
	for (uint32_t slot = 0; slot < table->capacity; slot++)
		assert_int_equal(record_kind(atomic_load(&table->record[slot].state)), RECORD_FREE);
	shmdt(tally);
}

static void another_user_cannot_attach(void **state)
{
	struct table *table = &((struct fixture *)*state)->table;
	struct shmid_ds facts;

	assert_int_equal(shmctl(table->segment.id, IPC_STAT, &facts), 0);
	assert_int_equal(facts.shm_perm.mode & 0777, 0600);
	if (geteuid() != 0)
		skip();
	pid_t child = fork();
	if (child == 0) {
		struct table other;
		if (setuid(65534) != 0)
			_exit(1);
		_exit(table_open(&other, table->header->name, NULL, NULL) || shmat(table->segment.id, NULL, 0) != (void *)-1);
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

/* A child that has the segment, as another user or without it, until `told` is closed. */
static pid_t holder(const struct table *table, uid_t user, bool holds, int *told)
{
	int began[2];
	int ends[2];
	char word;

	assert_true(pipe(began) == 0 && pipe(ends) == 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		close(ends[1]);
		if ((!holds && shmdt(table->segment.base) != 0) || (user != 0 && setuid(user) != 0) ||
		    write(began[1], "+", 1) != 1)
			_exit(1);
		_exit(read(ends[0], &word, 1) != 0);
	}
	close(began[1]);
	close(ends[0]);
	assert_int_equal(read(began[0], &word, 1), 1);
	close(began[0]);
	*told = ends[1];
	return child;
}

/* That it took the table over is believed of nobody who dropped its privileges, or has let go of it. */
static void who_holds_it(void **state)
{
	const struct table *table = &((struct fixture *)*state)->table;
	const uid_t users[] = {0, 0, 65534};
	int status;
	int told;

	assert_true(segment_is_held_by(&table->segment, (uint32_t)getpid()));
	assert_false(segment_is_held_by(&table->segment, 0));
	assert_false(segment_is_held_by(&table->segment, INT32_MAX));
	for (int i = 0; i < (geteuid() == 0 ? 3 : 2); i++) {
		pid_t child = holder(table, users[i], i != 1, &told);
		assert_int_equal(segment_is_held_by(&table->segment, (uint32_t)child), i == 0);
		close(told);
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_int_equal(status, 0);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_table, close_table)

/* Segments that nobody has attached, of a table's size and of another: what a daemon left that executed itself and died. */
static void what_nobody_has_attached_is_removed(void **state)
{
	struct shmid_ds facts;
	int id[2];

	(void)state;
	for (int i = 0; i < 2; i++) {
		id[i] = shmget(IPC_PRIVATE, table_size(64) + (i == 1 ? 4096 : 0), IPC_CREAT | 0600);
		assert_true(id[i] >= 0);
	}
	for (int tries = 0; tries < 200 && shmctl(id[0], IPC_STAT, &facts) == 0; tries++) {
		usleep(100000);
		table_remove_abandoned();
	}
	assert_int_equal(shmctl(id[0], IPC_STAT, &facts), -1);
	assert_int_equal(shmctl(id[1], IPC_RMID, NULL), 0);
}

/* Processes of one daemon that come to make its table at the same moment have one. */
static void a_name_is_one_table_however_many_make_it(void **state)
{
	enum { MAKERS = 12, TIMES = 10 };
	char name[] = "made-at-once-0";
	struct settings wanted;

	(void)state;
	settings_default(&wanted);
	wanted.capacity = 64;
	for (int round = 0; round < TIMES; round++) {
		int go[2];
		int told[2];
		int first = 0;
		name[sizeof(name) - 2] = (char)('a' + round);
		assert_int_equal(pipe(go), 0);
		assert_int_equal(pipe(told), 0);
		for (int i = 0; i < MAKERS; i++) {
			if (fork() == 0) {
				struct table table;
				char c;
				close(go[1]);
				if (read(go[0], &c, 1) != 0 || !table_open(&table, name, &wanted, NULL))
					_exit(1);
				_exit(write(told[1], &table.segment.id, sizeof(int)) != sizeof(int) || sleep(1) != 0);
			}
		}
		close(go[1]);
		for (int i = 0; i < MAKERS; i++) {
			int id = -1;
			assert_int_equal(read(told[0], &id, sizeof(id)), sizeof(id));
			if (i == 0)
				first = id;
			assert_int_equal(id, first);
		}
		for (int i = 0; i < MAKERS; i++)
			wait(NULL);
		close(go[0]);
		close(told[0]);
		close(told[1]);
		/* Whoever looks at all segments at that moment has it attached a little longer. */
		struct shmid_ds facts;
		for (int tries = 0; tries < 200 && shmctl(first, IPC_STAT, &facts) == 0; tries++)
			usleep(100000);
		assert_int_equal(shmctl(first, IPC_STAT, &facts), -1);
	}
}

int main(void)
{
	/* Where we may: whoever looks at all tables of this machine attaches them, and so keeps them for a while. */
	(void)!unshare(CLONE_NEWIPC);
	const struct CMUnitTest tests[] = {
	    TEST(admits_up_to_the_limit_and_frees),
	    TEST(the_local_address_is_asked_for_when_it_is_wanted),
	    TEST(a_doubtful_record_is_the_kernels_to_free),
	    TEST(a_peak_is_of_connections_that_are_open),
	    TEST(a_peak_is_checked_again_while_any_is_doubtful),
	    TEST(a_connection_that_the_kernel_forgot_refuses_nobody),
	    TEST(a_count_without_a_slot_is_mended),
	    TEST(a_slot_claimed_by_the_dead_is_freed),
	    TEST(a_full_table_admits_uncounted),
	    TEST(limits_are_published_whole_and_in_order),
	    TEST(never_over_the_limit_with_processes_and_threads),
	    TEST(another_user_cannot_attach),
	    TEST(who_holds_it),
	    TEST(what_nobody_has_attached_is_removed),
	    TEST(a_name_is_one_table_however_many_make_it),
	};
	return cmocka_run_group_tests_name("table", tests, NULL, NULL);
}
