/* The table alone, without a preload and without a socket.
 *
 *     table cycle CLIENTS HELD      so many connections held, spread over so many clients; prints ns for one admit and release
 *     table turn CLIENTS            one connection of each client held; prints ns for closing any one, with a system call, and
 *                                   admitting its client again
 *     table floor LINES             prints ns for one admit and release of one client after a load of any of so many lines
 *     table pair distinct|hot|apart prints how much more two processes do together than one, on distinct clients, on one, or
 *                                   with nothing in common at all: what the machine gives
 *     table refused                 prints the time of a refusal after a million refusals over that of one after a hundred
 *     table resident CLIENTS HELD   prints bytes of memory that became resident for each connection held
 *     table size                    prints bytes of shared memory for each connection that can be held
 *     table fill NAME CLIENTS HELD  a table of that name that others can look at; says "filled", and for each line on standard
 *                                   input it admits and releases for half a second, and prints the p99 of an admission in ns */
#include "table/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CYCLES = 200000, ROUNDS = 9 };

static int each_round = CYCLES; /* cycles */

static struct table table;
static uint64_t dice = 88172645463325252U;

static uint64_t roll(void)
{
	dice ^= dice << 13;
	dice ^= dice >> 7;
	dice ^= dice << 17;
	return dice;
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static struct connection connection_of(uint32_t client, uint32_t number)
{
	struct connection connection;

	memset(&connection, 0, sizeof(connection));
	memset(connection.peer.address.bytes + 10, 0xff, 2);
	memcpy(connection.peer.address.bytes + 12, &client, 4);
	connection.peer.port = (uint16_t)number;
	memset(connection.local.address.bytes + 10, 0xff, 2);
	connection.local.port = 80;
	return connection;
}

static void open_table(uint32_t capacity, uint32_t per_ip)
{
	static struct settings settings;

	settings_default(&settings);
	settings.per_ip = per_ip;
	settings.capacity = capacity;
	if (!table_open_anonymous(&table, "bench", &settings)) {
		perror("table");
		exit(1);
	}
}

static __attribute__((noinline)) void cycle(uint32_t client)
{
	struct connection connection = connection_of(client, (uint32_t)roll());
	reference held;

	if (table_admit(&table, &connection, &held) != VERDICT_ADMITTED) {
		fprintf(stderr, "not admitted\n");
		exit(1);
	}
	table_release(&table, held);
}

static uint32_t room_for(uint32_t held)
{
	return held * 2 > 65536 ? held * 2 : 65536;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void any_client(uint32_t number)
{
	cycle(1 + number);
}

static reference *held_of; /* client 1, 2, ... */

/* Between the two halves of a close is the system call; this one fails. */
static void any_held(uint32_t number)
{
	struct connection connection = connection_of(1 + number, (uint32_t)roll());

	table_closing(&table, held_of[number]);
	close(-1);
	table_release(&table, held_of[number]);
	table_admit(&table, &connection, &held_of[number]);
}

static volatile struct line {
	_Alignas(64) uint32_t zero;
} * line; /* in shared memory, as the table is */

static void one_after_a_load(uint32_t number)
{
	cycle(1 + line[number].zero);
}

static double timed(void (*step)(uint32_t number), uint32_t clients)
{
	double rounds[ROUNDS];

	for (int round = 0; round < ROUNDS; round++) {
		double began = now();
		for (int i = 0; i < each_round; i++)
			step((uint32_t)(roll() % clients));
		rounds[round] = (now() - began) / each_round;
	}
	qsort(rounds, ROUNDS, sizeof(rounds[0]), by_size);
	return rounds[ROUNDS / 2];
}

static void hold(uint32_t clients, uint32_t number)
{
	held_of = calloc(number, sizeof(*held_of));
	for (uint32_t i = 0; i < number; i++) {
		struct connection connection = connection_of(1 + i % clients, i);

		if (held_of == NULL || table_admit(&table, &connection, &held_of[i]) != VERDICT_ADMITTED) {
			fprintf(stderr, "not admitted: %u of %u\n", i, number);
			exit(1);
		}
	}
}

/* There are no sockets behind these connections, so the kernel's answers prove nothing, and the refusals are made. */
static double refused(void)
{
	static double early[101];
	static double late[101];
	struct connection connection = connection_of(1, 1);
	reference held;

	table_admit(&table, &connection, &held);
	for (int i = 0; i < 1000000; i++) {
		double *place = i >= 100 && i < 201 ? &early[i - 100] : i >= 1000000 - 101 ? &late[i - (1000000 - 101)] : NULL;
		double began = place != NULL ? now() : 0;
		if (table_admit(&table, &connection, &held) != VERDICT_REFUSED)
			exit(1);
		if (place != NULL)
			*place = now() - began;
	}
	qsort(early, 101, sizeof(early[0]), by_size);
	qsort(late, 101, sizeof(late[0]), by_size);
	return late[50] / early[50];
}

static size_t resident(void)
{
	static unsigned char pages[1 << 20];
	size_t number = 0;

	if (mincore(table.segment.base, table.segment.size, pages) != 0)
		exit(1);
	for (size_t i = 0; i < table.segment.size / 4096; i++)
		number += pages[i] & 1U;
	return number * 4096;
}

static double together(int processes, bool distinct, bool apart)
{
	double *done = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	double sum = 0;

	for (int p = 0; p < processes; p++) {
		if (fork() == 0) {
			if (apart)
				open_table(65536, LIMIT_MOST);
			table.pid = (uint32_t)getpid();
			dice += (uint64_t)p * 0x9e3779b97f4a7c15U;
			double began = now();
			long cycles = 0;
			while (now() - began < 2e8) {
				for (int i = 0; i < 100; i++)
					cycle(distinct ? 1 + (uint32_t)p * 1000000U + (uint32_t)(roll() % 1000) : 1);
				cycles += 100;
			}
			done[p] = (double)cycles / (now() - began);
			_exit(0);
		}
	}
	while (wait(NULL) > 0)
		;
	for (int p = 0; p < processes; p++)
		sum += done[p];
	munmap(done, 4096);
	return sum;
}

enum { SAMPLES_MOST = 1 << 20 };

static double p99_of_admissions(uint32_t clients)
{
	static double took[SAMPLES_MOST];
	double until = now() + 5e8;
	int number = 0;

	for (double began; number < SAMPLES_MOST && (began = now()) < until; number++) {
		struct connection connection = connection_of(1 + (uint32_t)(roll() % clients), (uint32_t)roll());
		reference held;

		if (table_admit(&table, &connection, &held) != VERDICT_ADMITTED)
			exit(1);
		took[number] = now() - began;
		table_release(&table, held);
	}
	qsort(took, (size_t)number, sizeof(took[0]), by_size);
	return took[(size_t)number * 99 / 100];
}

static void fill(const char *name, uint32_t clients, uint32_t number)
{
	static struct settings settings;

	settings_default(&settings);
	settings.per_ip = LIMIT_MOST;
	settings.capacity = number + number / 20;
	if (!table_open(&table, name, &settings, NULL)) {
		perror("table");
		exit(1);
	}
	hold(clients, number);
	puts("filled");
	fflush(stdout);
	while (getchar() != EOF) {
		printf("%.0f\n", p99_of_admissions(clients));
		fflush(stdout);
	}
	table_leave(&table);
}

int main(int count, char **arguments)
{
	if (count == 5 && strcmp(arguments[1], "fill") == 0) {
		fill(arguments[2], (uint32_t)atol(arguments[3]), (uint32_t)atol(arguments[4]));
	} else if (count == 4 && strcmp(arguments[1], "cycle") == 0) {
		uint32_t clients = (uint32_t)atol(arguments[2]);
		uint32_t held = (uint32_t)atol(arguments[3]);
		open_table(room_for(held), LIMIT_MOST);
		if (getenv("CYCLES") != NULL)
			each_round = atoi(getenv("CYCLES")) / ROUNDS;
		hold(clients, held);
		printf("%.1f\n", timed(any_client, clients));
	} else if (count == 3 && strcmp(arguments[1], "turn") == 0) {
		uint32_t clients = (uint32_t)atol(arguments[2]);
		open_table(room_for(clients), LIMIT_MOST);
		hold(clients, clients);
		printf("%.1f\n", timed(any_held, clients));
	} else if (count == 3 && strcmp(arguments[1], "floor") == 0) {
		uint32_t lines = (uint32_t)atol(arguments[2]);
		open_table(65536, LIMIT_MOST);
		line =
		    mmap(NULL, lines * sizeof(*line), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
		if (line == MAP_FAILED)
			return 1;
		printf("%.1f\n", timed(one_after_a_load, lines));
	} else if (count == 3 && strcmp(arguments[1], "pair") == 0) {
		bool apart = strcmp(arguments[2], "apart") == 0;
		bool distinct = apart || strcmp(arguments[2], "distinct") == 0;
		open_table(65536, LIMIT_MOST);
		double ratio[ROUNDS];
		for (int round = 0; round < ROUNDS; round++) {
			double one = together(1, distinct, apart);
			ratio[round] = together(2, distinct, apart) / one;
		}
		qsort(ratio, ROUNDS, sizeof(ratio[0]), by_size);
		printf("%.2f\n", ratio[ROUNDS / 2]);
	} else if (count == 2 && strcmp(arguments[1], "refused") == 0) {
		open_table(65536, 1);
		printf("%.3f\n", refused());
	} else if (count == 4 && strcmp(arguments[1], "resident") == 0) {
		open_table(65536, LIMIT_MOST);
		size_t before = resident();
		hold((uint32_t)atol(arguments[2]), (uint32_t)atol(arguments[3]));
		printf("%.1f\n", (double)(resident() - before) / atof(arguments[3]));
	} else if (count == 2) {
		printf("%.1f\n", (double)(table_size(1U << 20) - table_size(1U << 16)) / ((1U << 20) - (1U << 16)));
	} else {
		return 2;
	}
	return 0;
}
