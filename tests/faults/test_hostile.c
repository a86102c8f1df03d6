/* A process of another user that has the table mapped writes into it what it likes, while others admit, release, look, mend and
 * publish. Nobody crashes, nobody hangs; with a new table the limits are right again. Compiled with AddressSanitizer and
 * UndefinedBehaviorSanitizer, so that an index taken on trust is seen. HOSTILE_SECONDS (20), HOSTILE_SEED. */
#include "../unit/apart.h"
#include "decisions/check.h"
#include "decisions/regroup.h"
#include "table/clients.h"
#include "table/records.h"
#include "table/remote.h"
#include "scribble.h"
#include "table/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WORKERS = 3, ADDRESSES = 16, HELD = 32, PATIENCE_MS = 30000 };

static struct settings settings;
static struct settings copy;
static struct table table;
static _Atomic unsigned long *turns; /* of each worker */

static struct connection connection_of(uint64_t *seed)
{
	struct connection connection = {.peer.port = (uint16_t)(1 + random_number(seed) % 60000), .local.port = 80};

	connection.peer.address.bytes[10] = connection.peer.address.bytes[11] = 0xff;
	connection.peer.address.bytes[12] = 10;
	connection.peer.address.bytes[15] = (uint8_t)(random_number(seed) % ADDRESSES);
	connection.local.address.bytes[10] = connection.local.address.bytes[11] = 0xff;
	return connection;
}

/* For a child: however the test ends, a failed assertion and a timeout too, this process does. After a change of user, which
 * takes the kernel's promise back. */
static void end_with(pid_t parent)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
		_exit(1);
}

static void work(unsigned which, uint64_t seed)
{
	reference held[HELD] = {0};

	table.pid = (uint32_t)getpid();
	for (;;) {
		struct connection connection = connection_of(&seed);
		unsigned i = random_number(&seed) % HELD;
		struct network network = {.address = connection.peer.address, .prefix = 128};
		struct client_facts facts;
		struct refusal refusal;
		struct refusal_line line;
		char text[1024];

		if (held[i] != 0) {
			table_release(&table, held[i]);
			held[i] = 0;
		} else {
			table_decide(&table, &connection, &held[i], &refusal);
			if (refusal.reason != REFUSED_NOT)
				refusal_to_log(&table, &refusal, &line);
		}
		switch (random_number(&seed) % 64) {
		case 0: table_doubt(&table, held[i]); break;
		case 1: table_closing(&table, held[i]); break;
		case 2: table_holds_on(&table, held[i], (uint32_t)getpid(), random_number(&seed)); break;
		case 3: check_certain(&table, random_number(&seed) % (table.entries * 2)); break;
		case 4:
			table_count(&table, &connection.peer.address);
			table_count_network(&table, &connection.peer.address);
			break;
		case 5: table_client(&table, random_number(&seed) % (table.entries * 2), &facts); break;
		case 6: remote_set(&table, &network, random_number(&seed)); break;
		case 7:
			limits_copy(&table, &copy);
			settings_format(text, sizeof(text), &copy, random_number(&seed) % SETTINGS);
			break;
		case 8:
			limits_start(&table, &copy);
			settings_format(text, sizeof(text), &copy, random_number(&seed) % SETTINGS);
			break;
		case 9: table_release(&table, (uint64_t)random_number(&seed) << 32 | random_number(&seed)); break;
		case 10:
			if (random_number(&seed) % 16 == 0)
				check_all(&table);
			break;
		case 11:
			if (random_number(&seed) % 4 == 0)
				regroup_publish(&table, limits_turn(&table), &settings);
			break;
		default: break;
		}
		turns[which]++;
	}
}

static long number_of(const char *name, long standard)
{
	const char *text = getenv(name);

	return text != NULL ? strtol(text, NULL, 10) : standard;
}

static void nobody_crashes_and_nobody_hangs(void **state)
{
	time_t end = time(NULL) + number_of("HOSTILE_SECONDS", 20);
	uint64_t seed = (uint64_t)number_of("HOSTILE_SEED", (long)getpid());
	pid_t parent = getpid();
	pid_t worker[WORKERS];

	(void)state;
	printf("# HOSTILE_SEED=%llu\n", (unsigned long long)seed);
	fflush(NULL);
	settings_default(&settings);
	settings.per_ip = 4;
	settings.per_network = 12;
	settings.total = 40;
	settings.capacity = 256;
	settings.rules = 2;
	settings.rule[0] = (struct rule){.network = {.address.bytes = {[10] = 0xff, 0xff, 10}, .prefix = 120}, .limit = 3};
	settings.rule[1] = (struct rule){.port = 81, .limit = 2};
	assert_true(table_open_anonymous(&table, "hostile", &settings) && set_apart(&table));
	turns = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (unsigned i = 0; i < WORKERS; i++) {
		worker[i] = fork();
		if (worker[i] == 0) {
			end_with(parent);
			work(i, seed + i + 1);
		}
	}
	pid_t hostile = fork();
	if (hostile == 0) {
		if (geteuid() == 0 && setuid(65534) != 0)
			_exit(1);
		end_with(parent);
		scribble(&table, seed);
	}
	while (time(NULL) < end) {
		sleep(2);
		for (unsigned i = 0; i < WORKERS; i++) {
			int status;
			if (waitpid(worker[i], &status, WNOHANG) != 0)
				fail_msg("a worker ended with wait status 0x%x", (unsigned)status);
		}
	}
	for (unsigned i = 0; i < WORKERS; i++) {
		unsigned long before = turns[i];

		for (int waited = 0; turns[i] == before && waited < PATIENCE_MS; waited += 10)
			usleep(10000);
		if (turns[i] == before)
			fail_msg("a worker makes no more turns");
	}
	kill(hostile, SIGKILL);
	waitpid(hostile, NULL, 0);
	for (unsigned i = 0; i < WORKERS; i++) {
		kill(worker[i], SIGKILL);
		waitpid(worker[i], NULL, 0);
	}
	check_all(&table); /* as `connlimit status` does, on what is left */
	table_leave(&table);

	/* A new table, and all is right. */
	assert_true(table_open_anonymous(&table, "hostile", &settings) && set_apart(&table));
	reference held[4];
	uint64_t one = 7;
	struct connection connection = connection_of(&one);
	for (int i = 0; i < 3; i++) {
		connection.peer.port++;
		assert_int_equal(table_admit(&table, &connection, &held[i]), VERDICT_ADMITTED);
	}
	assert_int_equal(table_admit(&table, &connection, &held[3]), VERDICT_REFUSED);
	table_leave(&table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(nobody_crashes_and_nobody_hangs),
	};
	return cmocka_run_group_tests_name("hostile", tests, NULL, NULL);
}
