/* What a process knows of its descriptors, under a scheduler: three threads accept, close, copy, fork and close ranges in every
 * order there is. The code is the shim's own, from the interposed call down to the table; the kernel below it is a table of
 * descriptors here. Each thread is a stack that gives way at the points of lib/values/point.h and before and behind each real
 * call; a state that was met before is not followed again.
 *
 * After every step: no record is released while its connection is open in any process, and the client counts no less. At the
 * end: nothing that is closed everywhere is taken for held by this process, and where nothing was copied nothing is counted.
 *
 * With LEFT_OUT=N one of the orderings that this rests on (enum ordering in lib/values/point.h) is not kept: then this must
 * fail, or it proves nothing.
 *
 * Compiled with CONNLIMIT_POINTS, and with what a thread has for itself in a section that is changed with the stack. */
#include "../unit/apart.h"
#include "calls/vfork.h"
#include "process/children.h"
#include "process/descriptors.h"
#include "process/handlers.h"
#include "process/limiter_open.h"
#include "process/reload.h"
#include "process/linger.h"
#include "process/listeners.h"
#include "process/log.h"
#include "process/peer.h"
#include "process/real.h"
#include "process/refuse.h"
#include "process/report.h"
#include "process/sole.h"
#include "table/records.h"
#include "values/fingerprint.h"
#include "values/point.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/single_threaded.h>
#include <ucontext.h>
#include <unistd.h>

enum {
	ACTORS = 3,
	STACK = 64 * 1024,
	STACK_USED = 8 * 1024,
	STEPS_MOST = 256,
	NUMBERS = 8,	 /* of descriptors in a simulated process */
	PROCESSES = 6,	 /* the first is ours */
	CONNECTIONS = 8, /* accepted in one run */
	LISTENER = 90,
	FIRST_PORT = 1000,
	STATES_MOST = 1 << 21,
	KEPT_MOST = 24,
};

struct actor {
	bool ended;
	bool (*waits_for)(void);
	void (*act)(void);
	char *apiece; /* its copy of what a thread has for itself */
	ucontext_t context;
	_Alignas(64) char stack[STACK];
};

static struct actor actors[ACTORS];
static ucontext_t scheduler;
static struct actor *running;
static enum ordering without;

static bool failed;
static const char *scenario;
static char trace[STEPS_MOST + 1];

/* ---- the kernel ---- */

static struct {
	uint8_t open[PROCESSES][NUMBERS]; /* connection + 1 */
	uint8_t processes;
	uint8_t connections;
	uint8_t returned; /* bits: its accept has returned */
	bool copied;
} kernel;

static struct {
	uint32_t slot;
	uint32_t generation;
	bool published;
} seen[CONNECTIONS];

static void give_way(void)
{
	if (running != NULL)
		swapcontext(&running->context, &scheduler);
}

static int lowest_free(void)
{
	for (int i = 0; i < NUMBERS; i++)
		if (kernel.open[0][i] == 0)
			return i;
	abort();
}

static int kernel_accept(int listener, struct sockaddr *address, socklen_t *length)
{
	(void)listener;
	give_way();
	int number = lowest_free();
	struct sockaddr_in *peer = (struct sockaddr_in *)address;
	memset(peer, 0, sizeof(*peer));
	peer->sin_family = AF_INET;
	peer->sin_addr.s_addr = htonl(0x0a000001);
	peer->sin_port = htons((uint16_t)(FIRST_PORT + kernel.connections));
	*length = sizeof(*peer);
	kernel.open[0][number] = (uint8_t)++kernel.connections;
	give_way();
	return number;
}

static int kernel_close(int number)
{
	give_way();
	bool was = number >= 0 && number < NUMBERS && kernel.open[0][number] != 0;
	if (was)
		kernel.open[0][number] = 0;
	give_way();
	return was ? 0 : -1;
}

static int kernel_dup(int number)
{
	kernel.copied = true; /* or so it seemed */
	give_way();
	int copy = -1;
	if (kernel.open[0][number] != 0) {
		copy = lowest_free();
		kernel.open[0][copy] = kernel.open[0][number];
	}
	give_way();
	return copy;
}

static int kernel_dup2(int number, int wanted)
{
	kernel.copied = true;
	give_way();
	bool was = kernel.open[0][number] != 0;
	if (was)
		kernel.open[0][wanted] = kernel.open[0][number];
	give_way();
	return was ? wanted : -1;
}

static int kernel_close_range(unsigned first, unsigned last, int flags)
{
	(void)flags;
	give_way();
	for (unsigned i = first; i < NUMBERS && i <= last; i++)
		kernel.open[0][i] = 0;
	kernel.copied = true; /* what is closed so is left to the kernel */
	give_way();
	return 0;
}

static pid_t kernel_fork(void)
{
	give_way();
	memcpy(kernel.open[kernel.processes++], kernel.open[0], NUMBERS);
	kernel.copied = true;
	give_way();
	return 100000 + kernel.processes;
}

/* There is no such program. */
static int kernel_execve(const char *path, char *const arguments[], char *const environment[])
{
	(void)path;
	(void)arguments;
	(void)environment;
	kernel.copied = true; /* what is let go is left to the kernel */
	give_way();
	errno = ENOENT;
	return -1;
}

/* ---- what is linked with the code under test ---- */

struct real_calls real_calls = {
    .accept = kernel_accept,
    .close = kernel_close,
    .dup = kernel_dup,
    .dup2 = kernel_dup2,
    .close_range = kernel_close_range,
    .fork = kernel_fork,
    ._Fork = kernel_fork,
    .execve = kernel_execve,
};
_Thread_local int vfork_depth;
bool handlers_by_hand;
struct table limiter_of_process;
_Atomic int limiter_state = LIMITER_OPEN;
struct lingering *_Atomic lingering;
struct listener listeners[LISTENERS_MOST + 1];

#define FIND(result, name, parameters)                                                                                         \
	result(*real_find_##name(void)) parameters                                                                             \
	{                                                                                                                      \
		abort();                                                                                                       \
	}
INTERPOSED_CALLS(FIND)

bool limiter_open_table(void)
{
	return true;
}

bool limiter_open_for_slowly(int listener)
{
	(void)listener;
	return true;
}

void limiter_in_child(void)
{
}

void limiter_in_any_child(void)
{
}

void reload_belongs_here(void)
{
}

void report_urgent(const char *part, ...)
{
	(void)part;
}

void handlers_inherit(bool beside)
{
	(void)beside;
}

void handlers_inherited(bool beside)
{
	(void)beside;
}

void linger_sweep(struct lingering *kept)
{
	(void)kept;
}

_Atomic uint64_t listeners_version;

void listeners_follow_limits(int connection)
{
	(void)connection;
}

void limiter_listens(void)
{
}

void listener_set_up(int listener)
{
	(void)listener;
}

void listener_learn(int listener)
{
	(void)listener;
}

bool connection_with_peer(struct connection *connection, int descriptor, const struct sockaddr *peer, socklen_t length,
			  const struct listener *listener)
{
	(void)descriptor;
	(void)listener;
	*connection = (struct connection){.local.port = 80, .port_known = true};
	if (!endpoint_from_sockaddr(&connection->peer, peer, length))
		abort();
	connection->local.address = connection->peer.address;
	return true;
}

void connection_ask_client(struct connection *connection, struct address *client, int descriptor)
{
	(void)connection;
	(void)client;
	(void)descriptor;
}

bool refuse_may_close(int descriptor)
{
	(void)descriptor;
	abort();
}

void refuse(int descriptor, const struct refusal *refusal)
{
	(void)descriptor;
	(void)refusal;
	abort();
}

bool refuse_in_place(int descriptor, int flags, const struct refusal *refusal)
{
	(void)descriptor;
	(void)flags;
	(void)refusal;
	abort();
}

void log_refusal(const struct refusal *refusal, const struct connection *connection)
{
	(void)refusal;
	(void)connection;
}

void log_uncounted(void)
{
}

void log_unverified(void)
{
}

/* What lies between two threads inside the table is test_interleavings.c's. */
void point_reached(enum point point)
{
	if (point > POINT_SWAP)
		give_way();
}

bool left_out(enum ordering ordering)
{
	return ordering == without;
}

/* ---- what threads do ---- */

static int take(void)
{
	int number = accept(LISTENER, NULL, NULL);

	kernel.returned |= (uint8_t)(1U << number);
	return number;
}

static void accept_and_close(void)
{
	close(take());
}

static void accept_and_close_twice(void)
{
	accept_and_close();
	accept_and_close();
}

static void accept_one(void)
{
	take();
}

static void accept_two(void)
{
	take();
	take();
}

static void fork_once(void)
{
	fork();
}

static void fork_twice(void)
{
	fork();
	fork();
}

/* As a handler's fork that interrupted one, or spawn beside it. */
static void fork_in_fork(void)
{
	child_begins();
	fork();
	child_made(0);
}

static void execute_in_vain(void)
{
	char *none[] = {NULL};

	execve("", none, none);
}

/* The child is in our memory, and has its own descriptors. */
static void execute_in_vain_in_vfork(void)
{
	child_begins();
	kernel_fork();
	vfork_depth = 1;
	execute_in_vain();
	vfork_depth = 0;
	child_made(0);
}

static bool first_is_known(void)
{
	return (kernel.returned & 1U) != 0;
}

static void wait_for(bool (*condition)(void))
{
	if (condition())
		return;
	running->waits_for = condition;
	give_way();
}

/* Beside a close of the number, and not behind it: who copies what it has closed knows not what it copies. */
static void copy_first(void)
{
	wait_for(first_is_known);
	if (descriptor_held(0) != 0)
		dup(0);
}

static bool both_are_known(void)
{
	return (kernel.returned & 3U) == 3;
}

static void put_first_elsewhere(void)
{
	wait_for(both_are_known);
	dup2(0, 1);
}

static void close_all(void)
{
	close_range(0, ~0U, 0);
}

static void close_first(void)
{
	wait_for(first_is_known);
	close(0);
}

static void nothing(void)
{
}

struct scenario {
	const char *name;
	void (*act[ACTORS])(void);
};

static const struct scenario scenarios[] = {
    {"three accept and close", {accept_and_close, accept_and_close, accept_and_close}},
    {"one accepts and closes twice, two fork", {accept_and_close_twice, fork_once, fork_once}},
    {"two accept and close, one forks", {accept_and_close, accept_and_close, fork_once}},
    {"two accept and close, one forks twice", {accept_and_close, accept_and_close, fork_twice}},
    {"one accepts and closes, two fork, one of them within a fork", {accept_and_close, fork_in_fork, fork_once}},
    {"one accepts and closes, one copies, one forks", {accept_and_close, copy_first, fork_once}},
    {"two close what one copies", {accept_and_close, close_first, copy_first}},
    {"one accepts and closes twice, one copies the number", {accept_and_close_twice, copy_first, nothing}},
    {"two accept and close, one copies", {accept_and_close, accept_and_close, copy_first}},
    {"one accepts and closes, one accepts, one puts the first in its place",
     {accept_and_close, accept_one, put_first_elsewhere}},
    {"two accept and close, one executes in vain", {accept_and_close, accept_and_close, execute_in_vain}},
    {"one accepts and closes, one forks, one executes in vain", {accept_and_close, fork_once, execute_in_vain}},
    {"one accepts and closes, one forks, one executes in vain in a vfork child",
     {accept_and_close, fork_once, execute_in_vain_in_vfork}},
    {"two accept, one closes all", {accept_two, accept_one, close_all}},
    {"one accepts and closes, one forks, one closes all", {accept_and_close, fork_once, close_all}},
    {"one accepts and closes twice, one copies, one closes all", {accept_and_close_twice, copy_first, close_all}},
};

/* ---- what must hold ---- */

static void wrong(const char *what, unsigned which)
{
	if (!failed)
		printf("# %s: %s, connection %u\n# in the order %s\n", scenario, what, which, trace);
	failed = true;
}

static bool is_open(unsigned connection)
{
	for (unsigned i = 0; i < kernel.processes; i++)
		if (memchr(kernel.open[i], (int)connection + 1, NUMBERS) != NULL)
			return true;
	return false;
}

static void note_published(void)
{
	struct table *table = &limiter_of_process;

	for (uint32_t slot = 0; slot < table->capacity; slot++) {
		uint64_t state = atomic_load(&table->record[slot].state);
		unsigned connection = table->record[slot].peer_port - (unsigned)FIRST_PORT;

		if (!record_is_held(state) || connection >= kernel.connections || seen[connection].published)
			continue;
		seen[connection].published = true;
		seen[connection].slot = slot;
		seen[connection].generation = record_generation(state);
	}
}

static bool has_record(unsigned connection)
{
	uint64_t state = atomic_load(&limiter_of_process.record[seen[connection].slot].state);

	return record_is_held(state) && record_generation(state) == seen[connection].generation;
}

static void look(void)
{
	struct address address = {.bytes = {[10] = 0xff, 0xff, 10, 0, 0, 1}};
	unsigned open = 0;

	note_published();
	for (unsigned i = 0; i < kernel.connections; i++) {
		if (!seen[i].published || !is_open(i))
			continue;
		open++;
		if (!has_record(i))
			wrong("released while it is open", i);
	}
	if (table_count(&limiter_of_process, &address) < open)
		wrong("the client counts less than it has open", 0);
}

static void look_at_end(void)
{
	struct table *table = &limiter_of_process;

	for (unsigned i = 0; i < kernel.connections; i++) {
		if (!has_record(i) || is_open(i))
			continue;
		const struct record *record = &table->record[seen[i].slot];
		if (!kernel.copied)
			wrong("counted, though its one holder has closed it", i);
		else if (atomic_load(&record->holder) == table->pid)
			wrong("taken for held, though it is closed", i);
	}
}

/* ---- every order ---- */

extern char __start_apiece[], __stop_apiece[];
extern char __start_connlimit_near[], __stop_connlimit_near[];
extern char __start_connlimit_nearest[], __stop_connlimit_nearest[];

/* What changes, and how it is at the beginning. */
static struct {
	void *place;
	size_t size;
	void *content;
} kept[KEPT_MOST];
static unsigned number_kept;

static size_t size_of(const char *start, const char *stop)
{
	return (size_t)(stop - start);
}

static void begin(unsigned which)
{
	actors[which].act();
	actors[which].ended = true;
	give_way();
}

static void set_up(const struct scenario *chosen)
{
	for (unsigned i = 0; i < number_kept; i++)
		memcpy(kept[i].place, kept[i].content, kept[i].size);
	kernel.processes = 1;
	for (unsigned i = 0; i < ACTORS; i++) {
		struct actor *actor = &actors[i];

		memset(actor->stack + STACK - STACK_USED, 0, STACK_USED);
		actor->ended = false;
		actor->waits_for = NULL;
		actor->act = chosen->act[i];
		getcontext(&actor->context);
		actor->context.uc_stack.ss_sp = actor->stack;
		actor->context.uc_stack.ss_size = STACK;
		makecontext(&actor->context, (void (*)(void))begin, 1, i);
	}
}

static bool can_go_on(struct actor *actor)
{
	return !actor->ended && (actor->waits_for == NULL || actor->waits_for());
}

/* Lets the n-th of those who can go on take a step. Returns how many there were to choose from before it; 0 at the end. */
static unsigned step(unsigned choice, unsigned steps)
{
	struct actor *chosen = NULL;
	unsigned able = 0;

	for (unsigned i = 0; i < ACTORS; i++)
		if (can_go_on(&actors[i]) && able++ == choice)
			chosen = &actors[i];
	if (chosen != NULL) {
		size_t size = size_of(__start_apiece, __stop_apiece);

		snprintf(trace + steps, 2, "%d", (int)(chosen - actors));
		chosen->waits_for = NULL;
		memcpy(__start_apiece, chosen->apiece, size);
		running = chosen;
		swapcontext(&scheduler, &chosen->context);
		running = NULL;
		memcpy(chosen->apiece, __start_apiece, size);
		look();
	}
	return able;
}

static uint64_t mixed;

static void mix(const void *bytes, size_t size)
{
	const unsigned char *at = bytes;

	for (; size >= sizeof(uint64_t); at += sizeof(uint64_t), size -= sizeof(uint64_t)) {
		uint64_t word;
		memcpy(&word, at, sizeof(word));
		mixed = (mixed ^ word) * UINT64_C(0x9e3779b97f4a7c15);
		mixed ^= mixed >> 32;
	}
	for (; size > 0; at++, size--)
		mixed = (mixed ^ *at) * UINT64_C(0x100000001b3);
}

static const char *stack_of(const ucontext_t *context)
{
#if defined(__x86_64__)
	return (const char *)context->uc_mcontext.gregs[REG_RSP]; // NOLINT(performance-no-int-to-ptr)
#elif defined(__aarch64__)
	return (const char *)context->uc_mcontext.sp; // NOLINT(performance-no-int-to-ptr)
#else
#error "where does the stack of one that gave way begin?"
#endif
}

/* The registers that are kept over a call. */
static void mix_registers(const ucontext_t *context)
{
#if defined(__x86_64__)
	static const int saved[] = {REG_RBX, REG_RBP, REG_R12, REG_R13, REG_R14, REG_R15, REG_RSP, REG_RIP};

	for (unsigned i = 0; i < sizeof(saved) / sizeof(saved[0]); i++)
		mix(&context->uc_mcontext.gregs[saved[i]], sizeof(greg_t));
#else
	mix(&context->uc_mcontext.regs[19], 12 * sizeof(context->uc_mcontext.regs[0]));
#endif
}

static uint64_t state(void)
{
	struct table *table = &limiter_of_process;

	mixed = 1;
	mix(&kernel, sizeof(kernel));
	mix(*descriptor_chunk_of(0), NUMBERS * sizeof(struct descriptor));
	mix(sole_here(), sizeof(struct sole));
	mix(__start_connlimit_near, size_of(__start_connlimit_near, __stop_connlimit_near));
	mix(__start_connlimit_nearest, size_of(__start_connlimit_nearest, __stop_connlimit_nearest));
	mix(&table->header->tokens, sizeof(table->header->tokens));
	for (uint32_t entry = 0; entry < table->entries; entry++)
		if (atomic_load(&table->entry[entry].fingerprint) != 0)
			mix(&table->entry[entry], sizeof(table->entry[entry]));
	for (uint32_t slot = 0; slot < table->capacity; slot++) {
		mix(&table->owner[slot], sizeof(table->owner[slot]));
		mix(&table->record[slot].state, sizeof(table->record[slot].state));
		mix(&table->record[slot].peer_port, sizeof(table->record[slot].peer_port));
		mix(&table->record[slot].holder, sizeof(table->record[slot].holder));
	}
	for (unsigned i = 0; i < ACTORS; i++) {
		struct actor *actor = &actors[i];

		mix(&actor->ended, sizeof(actor->ended));
		mix(&actor->waits_for, sizeof(actor->waits_for));
		mix(actor->apiece, size_of(__start_apiece, __stop_apiece));
		if (actor->ended)
			continue;
		mix_registers(&actor->context);
		const char *from = stack_of(&actor->context);
		mix(from, size_of(from, actor->stack + STACK));
	}
	return mixed != 0 ? mixed : 1;
}

static uint64_t *met;
static unsigned long states;
static unsigned long orders; /* those that end in a state of their own */

static bool met_before(uint64_t one)
{
	size_t at = one % STATES_MOST;

	while (met[at] != 0 && met[at] != one)
		at = (at + 1) % STATES_MOST;
	if (met[at] == one)
		return true;
	met[at] = one;
	if (++states > STATES_MOST / 2) {
		printf("# %s: more states than are kept\n", scenario);
		exit(1);
	}
	return false;
}

static void *copy_of(const void *place, size_t size)
{
	void *copy = malloc(size + 1);

	if (copy == NULL)
		exit(1);
	return memcpy(copy, place, size);
}

static void keep(void *place, size_t size)
{
	kept[number_kept].place = place;
	kept[number_kept].size = size;
	kept[number_kept++].content = copy_of(place, size);
}

/* A moment to come back to. */
struct moment {
	char *content[KEPT_MOST];
	char *stack[ACTORS];
};

static struct moment moments[STEPS_MOST];

static size_t stack_used(const struct actor *actor)
{
	return actor->ended ? 0 : size_of(stack_of(&actor->context), actor->stack + STACK);
}

static void remember(struct moment *moment)
{
	for (unsigned i = 0; i < number_kept; i++) {
		if (moment->content[i] == NULL)
			moment->content[i] = copy_of(kept[i].place, kept[i].size);
		memcpy(moment->content[i], kept[i].place, kept[i].size);
	}
	for (unsigned i = 0; i < ACTORS; i++) {
		size_t used = stack_used(&actors[i]);

		if (used > STACK_USED)
			abort();
		if (moment->stack[i] == NULL)
			moment->stack[i] = copy_of(actors[i].stack, STACK_USED);
		memcpy(moment->stack[i], actors[i].stack + STACK - used, used);
	}
}

static void go_back_to(const struct moment *moment)
{
	for (unsigned i = 0; i < number_kept; i++)
		memcpy(kept[i].place, moment->content[i], kept[i].size);
	for (unsigned i = 0; i < ACTORS; i++) {
		size_t used = stack_used(&actors[i]);

		memcpy(actors[i].stack + STACK - used, moment->stack[i], used);
	}
}

/* Goes on from here in every order. */
static void every_order(unsigned steps) // NOLINT(misc-no-recursion)
{
	struct moment *here = &moments[steps];
	unsigned choice = 0;

	if (steps == STEPS_MOST - 1) {
		printf("# %s: does not end\n", scenario);
		exit(1);
	}
	remember(here);
	do {
		if (choice > 0)
			go_back_to(here);
		unsigned able = step(choice, steps);
		if (able == 0) {
			look_at_end();
			orders++;
			return;
		}
		if (!failed && !met_before(state()))
			every_order(steps + 1);
		choice = choice + 1 < able ? choice + 1 : 0;
	} while (choice > 0 && !failed);
}

/* A client that has had more open than it will: so that none of its admissions is a new peak, for which the kernel would be
 * asked.
 */
static void have_peak(void)
{
	reference held[CONNECTIONS];

	for (unsigned i = 0; i < CONNECTIONS; i++) {
		struct sockaddr_in peer = {
		    .sin_family = AF_INET, .sin_port = htons((uint16_t)(1 + i)), .sin_addr.s_addr = htonl(0x0a000001)};
		struct connection connection;

		connection_with_peer(&connection, 0, (struct sockaddr *)&peer, sizeof(peer), NULL);
		if (table_admit(&limiter_of_process, &connection, &held[i]) != VERDICT_ADMITTED)
			exit(1);
	}
	for (unsigned i = 0; i < CONNECTIONS; i++)
		table_release(&limiter_of_process, held[i]);
}

int main(void)
{
	static struct settings settings;
	unsigned tests = sizeof(scenarios) / sizeof(scenarios[0]);
	const char *text = getenv("LEFT_OUT");
	bool any_failed = false;

	without = text != NULL ? (enum ordering)strtol(text, NULL, 10) : ORDERING_NONE_LEFT_OUT;
	settings_default(&settings);
	settings.capacity = 16;
	met = malloc(STATES_MOST * sizeof(*met));
	if (met == NULL || !table_open_anonymous(&limiter_of_process, "schedule", &settings) || !set_apart(&limiter_of_process))
		return 1;
	have_peak();
	__libc_single_threaded = 0;
	sole_begin();
	descriptor_mark(0, LISTENER_MARK); /* makes the map's first chunk */
	sole_here()->accepted = true;
	descriptor_unmark(0, LISTENER_MARK);
	struct table *table = &limiter_of_process;
	keep(table->header, sizeof(*table->header));
	keep(table->entry, table->entries * sizeof(*table->entry));
	keep(table->notes, table->entries * sizeof(*table->notes));
	keep(table->owner, table->capacity * sizeof(*table->owner));
	keep(table->record, table->capacity * sizeof(*table->record));
	keep(sole_here(), sizeof(struct sole));
	keep(__start_connlimit_near, size_of(__start_connlimit_near, __stop_connlimit_near));
	keep(__start_connlimit_nearest, size_of(__start_connlimit_nearest, __stop_connlimit_nearest));
	keep(*descriptor_chunk_of(0), NUMBERS * sizeof(struct descriptor));
	keep(&kernel, sizeof(kernel));
	keep(seen, sizeof(seen));
	for (unsigned i = 0; i < ACTORS; i++) {
		actors[i].apiece = copy_of(__start_apiece, size_of(__start_apiece, __stop_apiece));
		keep(actors[i].apiece, size_of(__start_apiece, __stop_apiece));
		keep(&actors[i], offsetof(struct actor, stack));
	}
	printf("1..%u\n", tests);
	for (unsigned i = 0; i < tests && !(any_failed && without != ORDERING_NONE_LEFT_OUT); i++) {
		scenario = scenarios[i].name;
		failed = false;
		states = 0;
		memset(met, 0, STATES_MOST * sizeof(*met));
		orders = 0;
		set_up(&scenarios[i]);
		every_order(0);
		printf("%s %u - %s, %lu states, %lu orders\n", failed ? "not ok" : "ok", i + 1, scenario, states, orders);
		any_failed |= failed;
	}
	return any_failed ? 1 : 0;
}
