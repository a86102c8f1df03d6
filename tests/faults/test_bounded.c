/* A worker that was taken over writes into the table whatever makes others work: each decision beside it stays within 1 ms of
 * CPU, its lines of log within their rate, and root's commands within 2 s. One attack after another, at two capacities, each
 * for BOUNDED_MS (300).
 *
 * What an interrupt takes is counted to whom it interrupts, so single decisions may stand out that are not longer by our doing:
 * judged is that not more than one in a thousand and FEW are over; the worst is printed.
 *
 * Decisions that search through all of the kernel's connections take as long as these are many. They are judged by what they
 * take together: 2 % of a CPU behind the first 0.4 s, and no decision searches twice. */
#include "decisions/check.h"
#include "kernel/kernel.h"
#include "scribble.h"
#include "table/clients.h"
#include "table/records.h"
#include "table/table.h"
#include "values/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	LIMIT = 4,
	TOTAL = 48,
	MOST_US = 1000,
	FEW = 3,
	STEP_US = 10,
	STEPS = 2000,
	PIDS = 32,
	LOOK_US = 2000000,
	STATUS_USAGE = 2, /* connlimit(1) */
	TIMES = 3,
	SEARCH_BURST_US = 400000
};

static struct settings settings;
static struct table table;
static struct connection open_connection; /* one that the kernel has */
static int descriptor;
static uint32_t client;	 /* its entry */
static uint32_t network; /* that of its network, if there is a limit on networks */
static uint32_t pids[PIDS];

/* A search among all of the kernel's connections takes as long as these are many, and is judged by itself. */
static uint64_t searches;
static uint64_t searching_us;
static void (*behind_a_search)(void);
bool __real_kernel_search(struct asking *asking, struct kernel_search *search);
bool __wrap_kernel_search(struct asking *asking, struct kernel_search *search);
bool __wrap_kernel_search(struct asking *asking, struct kernel_search *search)
{
	uint64_t began = clock_cpu_us();
	bool searched = __real_kernel_search(asking, search);

	searching_us += clock_cpu_us() - began;
	searches++;
	if (behind_a_search != NULL)
		behind_a_search();
	return searched;
}

/* ---- attacks: prepared once, then repeated without end ---- */

static void all_slots(enum record_kind kind, bool of_client, bool placed)
{
	atomic_store(&table.header->extent, table.capacity);
	for (uint32_t slot = 0; slot < table.capacity; slot++) {
		struct record *record = &table.record[slot];

		record->peer = open_connection.peer.address;
		if (!of_client)
			memcpy(record->peer.bytes + 13, &slot, 3);
		record->local = placed ? open_connection.local.address : (struct address){0};
		record->peer_port = (uint16_t)(1 + slot % 60000);
		record->local_port = open_connection.local.port;
		record->network = open_connection.network;
		record->since = clock_since();
		record->interface = 0;
		record->mptcp = 0;
		atomic_store(&record->holder, pids[slot % PIDS]);
		atomic_store(&record->state, record_state(1, kind, kind == RECORD_CLAIMED ? pids[slot % PIDS] : 0));
		atomic_store(&table.owner[slot], 1 + (of_client ? client : slot % table.entries));
	}
}

static void nothing_is_paid(void)
{
	atomic_store_explicit(&client_noted(&table, client)->pace.word, 0, memory_order_relaxed);
	atomic_store_explicit(&table.header->all_pace.word, 0, memory_order_relaxed);
	atomic_store_explicit(&table.header->total_pace.word, 0, memory_order_relaxed);
	atomic_store_explicit(&table.header->room_pace.word, 0, memory_order_relaxed);
	atomic_store_explicit(&table.header->search_pace.word, 0, memory_order_relaxed);
}

static void count_is(_Atomic uint64_t *word, uint64_t count)
{
	uint64_t seen = atomic_load(word);

	atomic_store(word, (seen & ~(CLIENT_COUNT | CLIENT_TENTATIVE)) | count);
}

static void owners_are(uint32_t owner)
{
	for (uint32_t slot = 0; slot < table.capacity; slot++)
		atomic_store_explicit(&table.owner[slot], owner, memory_order_relaxed);
}

static void prepare_regroup(void)
{
	all_slots(RECORD_OPEN, false, true);
}
static void regroup_storm(uint64_t turn)
{
	atomic_store(&table.header->grouped, (uint32_t)turn % 3);
	if (turn % 65536 == 0)
		for (uint32_t slot = 0; slot < table.capacity; slot++)
			atomic_store_explicit(&table.owner[slot], 1 + slot % table.entries, memory_order_relaxed);
}

static void prepare_claims(void)
{
	all_slots(RECORD_CLAIMED, true, true);
}
static void prepare_claimed_by_one(void)
{
	for (int i = 0; i < PIDS; i++)
		pids[i] = 1;
	all_slots(RECORD_CLAIMED, true, true);
}
static void prepare_unowned_claims(void)
{
	all_slots(RECORD_CLAIMED, true, true);
	owners_are(0);
}
static void prepare_held(void)
{
	all_slots(RECORD_DOUBTFUL, true, true);
}
static void prepare_unplaced(void)
{
	all_slots(RECORD_OPEN, true, false);
	for (uint32_t i = 0; i < ARRIVED; i++)
		atomic_store(&table.header->arrived[i].word[1],
			     UINT64_C(0x7fffff0000) | (uint64_t)i << 56 | UINT64_C(0xffff) << 16);
}
static void prepare_others(void)
{
	all_slots(RECORD_DOUBTFUL, false, true);
}
static void prepare_kinds(void)
{
	all_slots(RECORD_DOUBTFUL, true, true);
	for (uint32_t slot = 0; slot < table.capacity; slot++) {
		struct record *record = &table.record[slot];
		switch (slot % 4) {
		case 0: record->interface = INTERFACE_UNIX; break;
		case 1: record->mptcp = 1 + slot; break;
		case 2: record->network = NETWORK_OTHER; break;
		default: record->interface = slot; break;
		}
	}
}
static void prepare_nothing(void)
{
	for (uint32_t slot = 0; slot < table.capacity; slot++) /* the pages are there: to make them is not the walk's */
		atomic_store(&table.owner[slot], 0);
	atomic_store(&table.header->extent, table.capacity);
}

static void full_client(uint64_t turn)
{
	(void)turn;
	nothing_is_paid();
	count_is(&table.entry[client].word, 0xfffff0);
}

static void full_total(uint64_t turn)
{
	(void)turn;
	nothing_is_paid();
	count_is(&table.entry[client].word, 0);
	atomic_store(&table.header->total, (atomic_load(&table.header->total) & ~CLIENT_COUNT) | TOTAL_COUNTING | 0xfffff0);
}

static void unknown_total(uint64_t turn)
{
	nothing_is_paid();
	count_is(&table.entry[client].word, 0);
	if (turn % 2 == 0)
		atomic_store(&table.header->total, TOTAL_COUNTING | TOTAL_UNKNOWN | turn * CLIENT_GENERATION);
}

static void new_peaks(uint64_t turn)
{
	(void)turn;
	nothing_is_paid();
	count_is(&table.entry[client].word, 0);
	atomic_store(&table.entry[client].peak, 0);
	client_mark(&table, client, MARK_DOUBTFUL);
	atomic_store(&table.header->total, 0);
}

static void no_room(uint64_t turn)
{
	nothing_is_paid();
	count_is(&table.entry[client].word, 0);
	atomic_store(&table.header->total, 0);
	atomic_store(&table.header->extent, turn % 2 == 0 ? 0 : table.capacity);
}

static void words_move(uint64_t turn)
{
	uint32_t bucket = client / BUCKET * BUCKET;
	uint64_t word = turn * CLIENT_GENERATION | (turn % 3 == 0 ? CLIENT_TENTATIVE : turn % 3 == 1 ? CLIENT_MENDING : 0);

	atomic_store_explicit(&table.entry[client].word, word | turn % LIMIT, memory_order_relaxed);
	atomic_store_explicit(&table.header->total, word | TOTAL_COUNTING | turn % 16, memory_order_relaxed);
	for (uint32_t i = bucket; i < bucket + BUCKET; i++) {
		atomic_store_explicit(&table.entry[i].fingerprint, table.entry[client].fingerprint, memory_order_relaxed);
		if (i != client)
			atomic_store_explicit(&table.entry[i].word, word | CLIENT_TENTATIVE, memory_order_relaxed);
	}
}

static void prepare_limits(void)
{
	for (int b = 0; b < LIMIT_BLOCKS; b++) {
		struct limit_block *block = &table.blocks[b];

		atomic_store(&block->writer, 1);
		block->settings.rules = RULES_MOST;
		block->rules.networks = RULES_MOST;
		/* All of them contain every address, each larger than the one before it, with as many rules as may be. */
		for (uint32_t i = 0; i < RULES_MOST; i++)
			block->rules.network[i] = (struct rules_network){.prefix = (uint8_t)(i % 129),
									 .outer = (uint16_t)(i == 0 ? RULES_MOST : i),
									 .rule = 0,
									 .rules = RULES_MOST};
	}
}
static void limits_flip(uint64_t turn)
{
	atomic_store_explicit(&table.header->current, turn, memory_order_relaxed);
	for (int b = 0; b < LIMIT_BLOCKS; b++)
		atomic_store_explicit(&table.header->brief[b].word[3], turn * 0x9e3779b97f4a7c15, memory_order_relaxed);
}

/* In mode observe a connection is counted beyond its limit, but not beyond what a count can be. */
static void prepare_observed(void)
{
	static struct settings observing;

	prepare_nothing();
	observing = settings;
	observing.mode = MODE_OBSERVE;
	assert_true(limits_publish(&table, limits_turn(&table), &observing));
}
static void observed_counts(uint64_t turn)
{
	nothing_is_paid();
	count_is(&table.entry[client].word, turn % 2 == 0 ? CLIENT_COUNT - 1 : 0);
	atomic_store(&table.header->total, TOTAL_COUNTING | (CLIENT_COUNT - 2));
	if (settings.per_network != LIMIT_NONE)
		count_is(&table.entry[network].word, CLIENT_COUNT - 1);
}

static void paces_far_ahead(uint64_t turn)
{
	uint64_t word = turn % 2 == 0 ? ~UINT64_C(0) : (clock_us() / 256 + 4000) << 24;

	atomic_store(&client_noted(&table, client)->pace.word, word);
	atomic_store(&table.header->all_pace.word, word);
	atomic_store(&table.header->total_pace.word, word);
	atomic_store(&table.header->room_pace.word, word);
	atomic_store(&table.header->search_pace.word, word);
	count_is(&table.entry[client].word, 0xfffff0);
}

static void log_is_new(uint64_t turn)
{
	(void)turn;
	atomic_store(&table.header->log_tokens, 0);
	for (uint32_t entry = 0; entry < table.entries; entry++) {
		atomic_store_explicit(&client_noted(&table, entry)->shown_refused, 0, memory_order_relaxed);
		if (entry % 1024 == 0) {
			atomic_store_explicit(&client_noted(&table, client)->shown_refused, 0, memory_order_relaxed);
			atomic_store(&table.header->log_tokens, 0);
			count_is(&table.entry[client].word, 0xfffff0);
			atomic_store(&client_noted(&table, client)->pace.word, (clock_us() / 256 + 4000) << 24);
		}
	}
}

static void steered(uint64_t turn)
{
	full_client(turn);
	atomic_store(&table.header->steered, clock_since() + (uint32_t)turn % 3);
	for (int i = 0; i < UNVERIFIABLE; i++)
		atomic_store(&table.header->unverifiable[i].word[2], turn % 2);
	for (int i = 0; i < ARRIVED; i++)
		atomic_store(&table.header->arrived[i].word[0], turn);
}

static void everything_at_random(uint64_t turn)
{
	static uint64_t seed;

	if (seed == 0)
		seed = clock_us();
	scribble_once(&table, &seed);
	if (turn % 16 == 0)
		nothing_is_paid();
}

static void prepare_network(enum record_kind kind, bool placed)
{
	all_slots(kind, false, placed);
	for (uint32_t slot = 0; slot < table.capacity; slot++)
		atomic_store_explicit(&table.within[slot], network + 1, memory_order_relaxed);
}
static void prepare_network_held(void)
{
	prepare_network(RECORD_DOUBTFUL, true);
}
static void prepare_network_unplaced(void)
{
	prepare_network(RECORD_OPEN, false);
}
static void prepare_network_claims(void)
{
	prepare_network(RECORD_CLAIMED, true);
}

static void full_network(uint64_t turn)
{
	(void)turn;
	nothing_is_paid();
	atomic_store_explicit(&client_noted(&table, network)->pace.word, 0, memory_order_relaxed);
	count_is(&table.entry[client].word, 0);
	count_is(&table.entry[network].word, 0xfffff0);
	atomic_store(&table.header->total, 0);
}

static void new_peaks_of_both(uint64_t turn)
{
	new_peaks(turn);
	atomic_store_explicit(&client_noted(&table, network)->pace.word, 0, memory_order_relaxed);
	count_is(&table.entry[network].word, 0);
	atomic_store(&table.entry[network].peak, 0);
	client_mark(&table, network, MARK_DOUBTFUL);
}

static void networks_regroup_storm(uint64_t turn)
{
	regroup_storm(turn);
	atomic_store_explicit(&table.within[turn % table.capacity], (uint32_t)turn, memory_order_relaxed);
	if (turn % 65536 == 0)
		for (uint32_t slot = 0; slot < table.capacity; slot++)
			atomic_store_explicit(&table.within[slot], 1 + table.entries + slot % table.entries,
					      memory_order_relaxed);
}

static const struct attack {
	const char *name;
	void (*prepare)(void);
	void (*strike)(uint64_t turn);
} attacks[] = {
    {"regrouping without end", prepare_regroup, regroup_storm},
    {"slots claimed by processes that live", prepare_claims, full_client},
    {"slots claimed by one", prepare_claimed_by_one, full_client},
    {"connections held by processes that live", prepare_held, full_client},
    {"connections without their address", prepare_unplaced, full_client},
    {"the total by connections without their address", prepare_unplaced, full_total},
    {"other kinds of connections", prepare_kinds, full_client},
    {"the total", prepare_others, full_total},
    {"the total, claimed", prepare_claims, full_total},
    {"the total unknown", prepare_others, unknown_total},
    {"new peaks", prepare_held, new_peaks},
    {"new peaks without their address", prepare_unplaced, new_peaks},
    {"no room", prepare_others, no_room},
    {"no room, claimed", prepare_claims, no_room},
    {"no room, claimed for nobody", prepare_unowned_claims, no_room},
    {"counts with no slots", prepare_nothing, full_client},
    {"clients' words and generations", prepare_nothing, words_move},
    {"limits", prepare_limits, limits_flip},
    {"counts at their most, observed", prepare_observed, observed_counts},
    {"paces far ahead", prepare_held, paces_far_ahead},
    {"log words zeroed", prepare_nothing, log_is_new},
    {"steered, arrived, unverifiable", prepare_held, steered},
    {"everything at random", prepare_others, everything_at_random},
    {"networks: regrouping without end", prepare_network_held, networks_regroup_storm},
    {"networks: connections held by processes that live", prepare_network_held, full_network},
    {"networks: connections without their address", prepare_network_unplaced, full_network},
    {"networks: slots claimed by processes that live", prepare_network_claims, full_network},
    {"networks: new peaks of both", prepare_network_held, new_peaks_of_both},
    {"networks: limits", prepare_limits, limits_flip},
    {"networks: counts at their most, observed", prepare_observed, observed_counts},
    {"networks: everything at random", prepare_network_held, everything_at_random},
};

static bool is_of_networks(const struct attack *attack)
{
	return strncmp(attack->name, "networks", strlen("networks")) == 0;
}

/* ---- the decisions beside it ---- */

struct seen {
	uint32_t step[STEPS + 1];
	uint64_t decisions;
	uint64_t over;
	uint64_t worst_us;
	uint64_t searches;
	uint64_t most_searches; /* of one decision */
	uint64_t search_us;
	uint64_t worst_search_us;
	uint64_t lines;
	uint64_t refused;
};

static void note(struct seen *seen, uint64_t us)
{
	seen->decisions++;
	seen->over += us >= MOST_US ? 1 : 0;
	seen->worst_us = us > seen->worst_us ? us : seen->worst_us;
	seen->step[us / STEP_US < STEPS ? us / STEP_US : STEPS]++;
}

static uint64_t most_but_for(const struct seen *seen, uint64_t few)
{
	uint64_t above = 0;

	for (int step = STEPS; step > 0; step--) {
		above += seen->step[step];
		if (above > few)
			return (uint64_t)step * STEP_US + STEP_US;
	}
	return STEP_US;
}

static void decide_and_close(struct seen *seen, uint64_t *seed)
{
	struct connection connection = open_connection;
	struct refusal refusal;
	struct refusal_line line;
	uint64_t searched = searches;
	uint64_t searched_us = searching_us;
	reference held = 0;

	switch (random_number(seed) % 4) {
	case 0:
		connection.peer.address.bytes[12] = 10;
		connection.peer.address.bytes[15] = (uint8_t)random_number(seed);
		connection.descriptor = 0;
		break;
	case 1: connection_ask_later(&connection, descriptor, open_connection.local.port); break;
	default: break;
	}
	uint64_t began = clock_cpu_us();
	enum verdict verdict = table_decide_arrival(&table, &connection, &held, &refusal);
	uint64_t took = clock_cpu_us() - began;
	if (searches == searched) {
		note(seen, took);
	} else {
		uint64_t its_own = searches - searched;

		seen->searches++;
		seen->most_searches = its_own > seen->most_searches ? its_own : seen->most_searches;
		seen->search_us += searching_us - searched_us;
		seen->worst_search_us = took > seen->worst_search_us ? took : seen->worst_search_us;
	}
	if (refusal.reason != REFUSED_NOT) {
		seen->refused += verdict == VERDICT_REFUSED ? 1 : 0;
		seen->lines += refusal_to_log(&table, &refusal, &line) ? 1 : 0;
	}
	began = clock_cpu_us();
	if (random_number(seed) % 4 == 0)
		table_doubt(&table, held);
	table_closing(&table, held);
	table_release(&table, held);
	note(seen, clock_cpu_us() - began);
}

static void make_connection(void)
{
	struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(name);
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	int peer = socket(AF_INET, SOCK_STREAM, 0);

	assert_true(bind(listener, (struct sockaddr *)&name, length) == 0 && listen(listener, 5) == 0 &&
		    getsockname(listener, (struct sockaddr *)&name, &length) == 0 &&
		    connect(peer, (struct sockaddr *)&name, length) == 0);
	descriptor = accept(listener, (struct sockaddr *)&name, &length);
	assert_true(descriptor >= 0);
	struct connection connection = {.peer = {.port = ntohs(name.sin_port)}, .descriptor = descriptor + 1};
	connection.peer.address.bytes[10] = connection.peer.address.bytes[11] = 0xff;
	memcpy(connection.peer.address.bytes + 12, &name.sin_addr, 4);
	getsockname(descriptor, (struct sockaddr *)&name, &length);
	connection.local.address = connection.peer.address;
	memcpy(connection.local.address.bytes + 12, &name.sin_addr, 4);
	connection.local.port = ntohs(name.sin_port);
	kernel_know(&connection, descriptor);
	open_connection = connection;
}

static pid_t begin_attack(const struct attack *attack)
{
	pid_t parent = getpid();
	pid_t hostile = fork();
	assert_true(hostile >= 0);
	if (hostile != 0)
		return hostile;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
		_exit(1);
	for (uint64_t turn = 1;; turn++)
		attack->strike(turn);
}

static uint64_t children_us(void)
{
	struct rusage used;

	getrusage(RUSAGE_CHILDREN, &used);
	return (uint64_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000 +
	       (uint64_t)(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
}

/* What root's commands take of the table while it is written to. Returns the most of them. */
static uint64_t look_at_it(const char *name)
{
	const char *const words[][3] = {{"status", name},  {"status", name, "--json"},
					{"metrics"},	   {"clients", "0.0.0.0/0", name},
					{"suggest", name}, {"set", name, "ipv4-prefix=24"}};
	const char *command = getenv("CONNLIMIT");
	uint64_t most = 0;

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]) && command != NULL && command[0] != '\0'; i++) {
		uint64_t before = children_us();
		pid_t looks = fork();
		int how;

		if (looks == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			if (freopen("/dev/null", "w", stdout) == NULL || freopen("/dev/null", "w", stderr) == NULL)
				_exit(99);
			execl(command, command, words[i][0], words[i][1], words[i][2], (char *)NULL);
			_exit(99);
		}
		waitpid(looks, &how, 0);
		uint64_t took = children_us() - before;
		if (!WIFEXITED(how) || WEXITSTATUS(how) == 99 || WEXITSTATUS(how) == STATUS_USAGE)
			took = UINT64_MAX;
		most = took > most ? took : most;
	}
	return most;
}

static uint64_t number_of(const char *name, uint64_t standard)
{
	const char *text = getenv(name);

	return text != NULL ? strtoull(text, NULL, 10) : standard;
}

/* Finds the client, which has a connection, and its network. */
static void know_client(void)
{
	struct network alone = {.address = open_connection.peer.address, .prefix = 128};
	struct network around = {.address = address_masked(open_connection.peer.address, 120), .prefix = 120};
	uint64_t word;

	assert_true(client_find(&table, client_fingerprint(&table, &alone), &client, &word));
	if (settings.per_network != LIMIT_NONE)
		assert_true(network_find(&table, client_fingerprint(&table, &around), &network, &word));
}

static void open_table(uint32_t capacity, const char *name)
{
	reference held;

	settings.capacity = capacity;
	assert_true(table_open_anonymous(&table, name, &settings));
	assert_int_equal(table_admit(&table, &open_connection, &held), VERDICT_ADMITTED);
	know_client();
}

/* ---- calls of accept beside it ---- */

struct accepting {
	pid_t pid;
	int to;
	FILE *from;
	struct sockaddr_in name;
};

static void set_number(const char *name, unsigned number)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", number);
	setenv(name, text, 1);
}

/* Begins accepts.c, with a table of this name and a capacity. */
static struct accepting begin_accepting(const char *program, const char *name, uint32_t capacity)
{
	struct accepting accepting = {.name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
	int in[2];
	int out[2];
	unsigned port;

	assert_true(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0);
	accepting.pid = fork();
	assert_true(accepting.pid >= 0);
	if (accepting.pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		set_number("CONNLIMIT_CAPACITY", capacity);
		set_number("CONNLIMIT_PER_IP", settings.per_ip);
		set_number("CONNLIMIT_TOTAL", settings.total);
		set_number("CONNLIMIT_PER_NETWORK", settings.per_network == LIMIT_NONE ? 0 : settings.per_network);
		setenv("CONNLIMIT_TABLE", name, 1);
		setenv("CONNLIMIT_LOG", "off", 1);
		dup2(in[0], STDIN_FILENO);
		dup2(out[1], STDOUT_FILENO);
		/* What is written into the table says where refusals are logged. */
		if (freopen("/dev/null", "w", stderr) == NULL)
			_exit(99);
		execl(program, program, (char *)NULL);
		_exit(99);
	}
	close(in[0]);
	close(out[1]);
	accepting.to = in[1];
	accepting.from = fdopen(out[0], "r");
	assert_int_equal(fscanf(accepting.from, "%u", &port), 1);
	accepting.name.sin_port = htons((uint16_t)port);
	return accepting;
}

/* So many connect at once, and go when each has been taken, or after a while. */
static void crowd(const struct accepting *accepting)
{
	enum { CROWD = 64, PATIENCE_MS = 200 };
	struct pollfd of[CROWD];
	uint64_t until = clock_us() + PATIENCE_MS * 1000;

	for (int i = 0; i < CROWD; i++) {
		of[i] = (struct pollfd){.fd = socket(AF_INET, SOCK_STREAM, 0), .events = POLLIN};
		assert_int_equal(connect(of[i].fd, (const struct sockaddr *)&accepting->name, sizeof(accepting->name)), 0);
	}
	for (int i = 0; i < CROWD; i++) {
		uint64_t now = clock_us();

		poll(&of[i], 1, now < until ? (int)((until - now) / 1000) : 0);
	}
	for (int i = 0; i < CROWD; i++)
		close(of[i].fd);
}

/* Whether calls of accept, each of which may take many connections away, take longer than a decision may. */
static bool accept_takes_long(const struct attack *attack, uint32_t capacity)
{
	enum { CROWDS = 8 };
	const char *program = getenv("ACCEPTS");
	unsigned long seen[4];
	char name[32];

	if (program == NULL)
		return false;
	snprintf(name, sizeof(name), "accepts-%d", (int)getpid());
	struct accepting accepting = begin_accepting(program, name, capacity);
	assert_true(table_open(&table, name, NULL, NULL));
	crowd(&accepting);
	know_client();
	attack->prepare();
	pid_t hostile = begin_attack(attack);
	for (int i = 0; i < CROWDS; i++)
		crowd(&accepting);
	kill(hostile, SIGKILL);
	waitpid(hostile, NULL, 0);
	close(accepting.to);
	bool told = fscanf(accepting.from, "%lu %lu %lu %lu", &seen[0], &seen[1], &seen[2], &seen[3]) == 4;
	fclose(accepting.from);
	waitpid(accepting.pid, NULL, 0);
	table_leave(&table);
	assert_true(told);
	/* The first touches pages that nobody has, and interrupts weigh more on few. */
	bool held_up = seen[1] > FEW + seen[0] / 100 || seen[3] > 1;
	printf("# %8u %-48s %7lu calls of accept; worst %5lu us of CPU, %lu over; %lu searches in one%s\n", capacity,
	       attack->name, seen[0], seen[2], seen[1], seen[3], held_up ? "  <---" : "");
	return held_up;
}

static uint64_t withstand(const struct attack *attack, uint32_t capacity)
{
	static struct seen seen;
	uint64_t ms = number_of("BOUNDED_MS", 300);
	uint64_t seed = 1;
	char name[32];

	seen = (struct seen){0};
	snprintf(name, sizeof(name), "bounded-%d", (int)getpid());
	settings.per_network = is_of_networks(attack) ? LIMIT : LIMIT_NONE;
	open_table(capacity, name);
	attack->prepare();
	pid_t hostile = begin_attack(attack);
	/* So long of its own time: what is left to it on a busy machine is no matter. If that went into searches, on beyond
	 * what these may take at first. */
	uint64_t began = clock_us();
	uint64_t cpu = clock_cpu_us();
	uint64_t used;
	do {
		decide_and_close(&seen, &seed);
		used = clock_cpu_us() - cpu;
	} while (used < ms * 1000 || (seen.search_us > used / 4 && used < 4 * SEARCH_BURST_US));
	uint64_t took = clock_us() - began;
	uint64_t looked = look_at_it(name);
	kill(hostile, SIGKILL);
	waitpid(hostile, NULL, 0);
	table_leave(&table);
	/* A burst, and what comes in the time. */
	uint64_t lines = LOG_LINES + 1 + LOG_LINES * took / 1000000;
	uint64_t few = seen.decisions / 1000 + FEW;
	uint64_t most = most_but_for(&seen, seen.decisions / 1000);
	bool searched = seen.search_us > SEARCH_BURST_US + took / 50 + seen.worst_search_us || seen.most_searches > 1;
	bool held_up = looked > LOOK_US || searched || seen.over > few || seen.lines > lines;
	printf(
	    "# %8u %-48s %7llu decisions, %7llu refused; CPU us: 99.9%% %5llu, second %5llu, worst %5llu; %llu over; %llu "
	    "searched, %llu times at most, worst %llu; %llu lines; root's commands %llu ms%s\n",
	    capacity, attack->name, (unsigned long long)seen.decisions / 2, (unsigned long long)seen.refused,
	    (unsigned long long)most, (unsigned long long)most_but_for(&seen, 1), (unsigned long long)seen.worst_us,
	    (unsigned long long)seen.over, (unsigned long long)seen.searches, (unsigned long long)seen.most_searches,
	    (unsigned long long)seen.worst_search_us, (unsigned long long)seen.lines, (unsigned long long)looked / 1000,
	    held_up ? "  <---" : "");
	held_up |= accept_takes_long(attack, capacity);
	fflush(stdout);
	return held_up ? 1 : 0;
}

static void each_decision_is_bounded(uint32_t capacity)
{
	uint64_t failed = 0;

	for (size_t i = 0; i < sizeof(attacks) / sizeof(attacks[0]); i++)
		if (getenv("ATTACK") == NULL || strstr(attacks[i].name, getenv("ATTACK")) != NULL)
			/* Where others have the memory's lines and the processor in turns, a look may be over. */
			for (int times = 1; times <= TIMES && withstand(&attacks[i], capacity) != 0; times++)
				failed += times == TIMES ? 1 : 0;
	assert_int_equal(failed, 0);
}

static void at_65536(void **state)
{
	(void)state;
	each_decision_is_bounded(65536);
}

static void at_a_million(void **state)
{
	(void)state;
	each_decision_is_bounded(1 << 20);
}

/* The client has room again, and all together have not: a search would be next. */
static void only_the_total_is_full(void)
{
	nothing_is_paid();
	count_is(&table.entry[client].word, 0);
}

static void a_decision_searches_once(void **state)
{
	struct connection connection = open_connection;
	struct refusal refusal;
	reference held;

	(void)state;
	settings.per_network = LIMIT_NONE;
	open_table(65536, "searches");
	all_slots(RECORD_OPEN, true, false);
	atomic_store(&table.header->extent, 64); /* few, so that much of the budget is left behind them */
	memset(table.header->arrived, 0, sizeof(table.header->arrived));
	full_total(0);
	full_client(0);
	searches = 0;
	behind_a_search = only_the_total_is_full;
	assert_int_equal(table_decide_arrival(&table, &connection, &held, &refusal), VERDICT_REFUSED);
	behind_a_search = NULL;
	assert_int_equal(refusal.reason, REFUSED_TOTAL);
	assert_int_equal(searches, 1);
	table_leave(&table);
}

static pid_t sleeper[PIDS];

static int begin(void **state)
{
	(void)state;
	for (int i = 0; i < PIDS; i++) {
		sleeper[i] = fork();
		assert_true(sleeper[i] >= 0);
		if (sleeper[i] == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			for (;;)
				pause();
		}
		pids[i] = (uint32_t)sleeper[i];
	}
	settings_default(&settings);
	settings.per_ip = LIMIT;
	settings.total = TOTAL;
	make_connection();
	return 0;
}

static int end(void **state)
{
	(void)state;
	for (int i = 0; i < PIDS; i++) {
		kill(sleeper[i], SIGKILL);
		waitpid(sleeper[i], NULL, 0);
	}
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_decision_searches_once),
	    cmocka_unit_test(at_65536),
	    cmocka_unit_test(at_a_million),
	};
	return cmocka_run_group_tests_name("bounded", tests, begin, end);
}
