/* The memory of a table: its layout, and how it is made, attached and left. */
#include "table/table.h"

#include "values/alive.h"
#include "values/clock.h"
#include "values/fingerprint.h"
#include "values/point.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#if __has_include("table/layout_version.h")
#include "table/layout_version.h"
#else /* a test that compiles these files itself */
#define LAYOUT_VERSION UINT64_C(1)
#define LAYOUT_OF "?"
#endif

enum { PAGE = 4096, CAPACITY_LEAST = 64, CAPACITY_MOST = 1 << 24 };

static uint32_t capacity_rounded(uint32_t capacity)
{
	uint32_t rounded = CAPACITY_LEAST;

	while (rounded < capacity && rounded < CAPACITY_MOST)
		rounded *= 2;
	return rounded;
}

static size_t pages(size_t bytes)
{
	return (bytes + PAGE - 1) / PAGE * PAGE;
}

/* Sets our pointers into `start` for a capacity, and returns the whole size. With NULL only the size is computed. */
static size_t lay_out(struct table *table, void *start, uint32_t capacity)
{
	uintptr_t base = (uintptr_t)start; /* an integer, as nothing may be added to a null pointer */
	size_t at = 0;

	table->own_searches = (struct pace){0};
	table->capacity = capacity;
	table->entries = capacity / 2 * 3;
	table->header = (void *)(base + at);
	at += pages(sizeof(struct table_header));
	table->events = (void *)(base + at);
	at += pages(sizeof(struct event_ring));
	table->blocks = (void *)(base + at);
	at += pages(sizeof(struct limit_block) * (LIMIT_BLOCKS + 1));
	table->entry = (void *)(base + at);
	at += pages(sizeof(struct client_entry) * table->entries * 2);
	table->notes = (void *)(base + at);
	at += pages(sizeof(struct client_notes) * table->entries * 2);
	table->high = (void *)(base + at);
	at += pages(sizeof(uint64_t) * table->entries * 2);
	table->owner = (void *)(base + at);
	at += pages(sizeof(uint32_t) * capacity);
	table->within = (void *)(base + at);
	at += pages(sizeof(uint32_t) * capacity);
	table->named = (void *)(base + at);
	at += pages(sizeof(struct address) * capacity);
	table->record = (void *)(base + at);
	at += pages(sizeof(struct record) * capacity);
	return at;
}

size_t table_size(uint32_t capacity)
{
	struct table table;

	return lay_out(&table, NULL, capacity_rounded(capacity));
}

/* The capacity follows from the size of the segment, for which the kernel vouches, and not from shared memory. 0 if no capacity
 * has this size. */
static uint32_t capacity_of_size(size_t size)
{
	uint32_t capacity = CAPACITY_LEAST;

	while (capacity < CAPACITY_MOST && table_size(capacity) < size)
		capacity *= 2;
	return table_size(capacity) == size ? capacity : 0;
}

static bool names(const struct table_header *header, const char *name)
{
	return strnlen(header->name, sizeof(header->name)) < sizeof(header->name) && strcmp(header->name, name) == 0;
}

static bool is_table(const struct table_header *header)
{
	return atomic_load_explicit(&header->magic, memory_order_acquire) == TABLE_MAGIC &&
	       atomic_load_explicit(&header->layout, memory_order_relaxed) == LAYOUT_VERSION;
}

uint64_t table_layout(void)
{
	return LAYOUT_VERSION;
}

bool table_is_of_another_version(const void *base, char version[VERSION_TEXT], char name[TABLE_NAME_MOST + 1], uint64_t *layout)
{
	const struct table_header *header = base;

	if (atomic_load_explicit(&header->magic, memory_order_acquire) != TABLE_MAGIC)
		return false;
	*layout = atomic_load_explicit(&header->layout, memory_order_relaxed);
	memcpy(version, header->version, sizeof(header->version));
	version[VERSION_TEXT - 1] = '\0';
	memcpy(name, header->name, sizeof(header->name));
	name[TABLE_NAME_MOST] = '\0';
	return *layout != LAYOUT_VERSION;
}

static void set_once(_Atomic uint64_t *word, uint64_t value)
{
	uint64_t expected = 0;

	atomic_compare_exchange_strong(word, &expected, value);
}

static uint64_t random_word(void)
{
	uint64_t word = 0;

	if (door(SYS_getrandom, (long)&word, sizeof(word), 0, 0, 0, 0) == sizeof(word) && word != 0)
		return word;
	/* If getrandom is forbidden. */
	return fingerprint_of_program(clock_us() ^ (uint64_t)door_getpid() << 40, (uintptr_t)&word);
}

static void program_name(char *text, size_t size)
{
	const char *name = program_invocation_short_name != NULL ? program_invocation_short_name : "";

	strncpy(text, name, size - 1);
}

static uint64_t namespace(const char *path)
{
	struct stat facts;

	return door_fstatat(AT_FDCWD, path, &facts, 0) == 0 ? facts.st_ino : 0;
}

uint64_t network_namespace(void)
{
	return namespace("/proc/self/ns/net");
}

void table_know_pid(struct table *table)
{
	uint64_t pids = atomic_load(&table->header->pids);
	uint32_t pid = process_self();
	bool same = pids != 0 ? namespace("/proc/self/ns/pid") == pids : atomic_load(&table->header->maker) == pid;

	table->pid = same ? pid : 0;
}

static void prepare(struct table *table, const char *name, const struct settings *settings, const struct rules_index *listed)
{
	struct table_header *header = table->header;

	if (atomic_load_explicit(&header->magic, memory_order_acquire) == 0) {
		set_once(&header->secret[0], random_word());
		set_once(&header->secret[1], random_word());
		set_once(&header->layout, LAYOUT_VERSION);
		strncpy(header->version, LAYOUT_OF, sizeof(header->version));
		set_once(&header->born, clock_ms());
		set_once(&header->network, network_namespace());
		set_once(&header->pids, namespace("/proc/self/ns/pid"));
		if (settings != NULL)
			set_once(&header->start, settings->start_id);
		uint32_t nobody = 0;
		atomic_compare_exchange_strong(&header->maker, &nobody, process_self());
		strncpy(header->name, name, sizeof(header->name) - 1);
		program_name(header->program, sizeof(header->program));
		atomic_store(&header->extent, CAPACITY_LEAST);
		point_reached(POINT_TABLE_NAMED);
		if (settings != NULL && atomic_load(&header->current) == 0)
			limits_publish_listed(table, limits_turn(table), settings, listed);
		point_reached(POINT_TABLE_LIMITED);
		atomic_store_explicit(&header->magic, TABLE_MAGIC, memory_order_release);
	}
	table->secret[0] = atomic_load(&header->secret[0]);
	table->secret[1] = atomic_load(&header->secret[1]);
}

static bool settle(struct table *table, const char *name, const struct settings *settings, const struct rules_index *listed)
{
	uint32_t capacity = capacity_of_size(table->segment.size);

	if (capacity == 0) {
		segment_detach(&table->segment);
		errno = EINVAL;
		return false;
	}
	lay_out(table, table->segment.base, capacity);
	/* A core dump that contains the table would contain the addresses of all clients. */
	door_madvise(table->segment.base, table->segment.size, MADV_DONTDUMP);
	prepare(table, name, settings, listed);
	table_know_pid(table);
	return true;
}

/* Removes this user's tables that nobody has attached: left by a daemon that executed itself and never came back, or by older
 * versions. Only after a while, as a daemon that executes itself detaches its table for a moment. */
enum { ABANDONED_SECONDS = 10 };

static bool remove_abandoned(const struct segment_facts *facts, void *with)
{
	(void)with;
	if (facts->attached == 0 && facts->detached >= ABANDONED_SECONDS && facts->own && capacity_of_size(facts->size) != 0)
		segment_remove(facts->id);
	return true;
}

void table_remove_abandoned(void)
{
	segment_list(remove_abandoned, NULL);
}

/* ---- by name ----
 *
 * A table is found by going over the user's own segments. Processes of one daemon may try to make it at the same time. Each
 * makes a segment and takes a ticket, one higher than the highest that it sees. The lowest ticket wins (Lamport's bakery
 * algorithm); the others wait until that table is made, and drop their own. Nobody waits for one whose maker has died, or for
 * longer than WAIT_US. */
enum { WAIT_US = 200000, LOOK_EACH_US = 500 };

struct rivals {
	const char *name;
	struct segment found; /* a finished table of this name */
	int own;	      /* id of our segment; -1 before there is one */
	uint64_t ticket;
	uint64_t highest; /* highest ticket seen */
	bool wait;	  /* somebody else goes first */
};

/* Called for each segment: it may be a finished table, or one that is being made at this moment. */
static bool meet(const struct segment_facts *facts, void *with)
{
	struct rivals *rivals = with;
	struct segment segment;

	if (!facts->own || facts->attached == 0 || facts->id == rivals->own || capacity_of_size(facts->size) == 0 ||
	    !segment_attach_id(&segment, facts->id, false))
		return true;
	struct table_header *header = segment.base;
	uint64_t magic = atomic_load_explicit(&header->magic, memory_order_acquire);
	uint64_t ticket = atomic_load(&header->ticket);
	bool ours = names(header, rivals->name);
	if (ours && is_table(header)) {
		rivals->found = segment;
		return false;
	}
	if (magic == 0 && facts->maker_lives) {
		/* A segment without a ticket may not have its name yet. */
		bool first =
		    ticket == 0 || (ours && (ticket < rivals->ticket || (ticket == rivals->ticket && facts->id < rivals->own)));
		rivals->wait |= rivals->own >= 0 && first;
		if (ours && ticket > rivals->highest)
			rivals->highest = ticket;
	}
	segment_detach(&segment);
	return true;
}

static bool make_or_join(struct table *table, struct rivals *rivals, const struct settings *settings)
{
	struct segment segment;

	if (!segment_make(&segment, table_size(settings->capacity)))
		return false;
	struct table_header *header = segment.base;
	rivals->own = segment.id;
	strncpy(header->name, rivals->name, sizeof(header->name) - 1);
	rivals->ticket = UINT64_MAX;
	segment_list(meet, rivals);
	rivals->ticket = rivals->highest + 1;
	atomic_store(&header->ticket, rivals->ticket);
	for (uint64_t until = clock_us() + WAIT_US; rivals->found.base == NULL;) {
		rivals->wait = false;
		segment_list(meet, rivals);
		if (rivals->found.base != NULL || !rivals->wait || clock_us() >= until)
			break;
		door_sleep_us(LOOK_EACH_US);
	}
	if (rivals->found.base != NULL) {
		segment_detach(&segment);
		segment = rivals->found;
	}
	table->segment = segment;
	return true;
}

bool table_open_listed(struct table *table, const char *name, const struct settings *settings, const struct rules_index *listed,
		       bool *new)
{
	struct rivals rivals = {.name = name, .own = -1};

	segment_list(meet, &rivals);
	if (rivals.found.base != NULL)
		table->segment = rivals.found;
	else if (settings == NULL) {
		errno = ENOENT;
		return false;
	} else if (!make_or_join(table, &rivals, settings)) {
		return false;
	}
	if (!settle(table, name, settings, listed))
		return false;
	if (new != NULL)
		*new = rivals.found.base == NULL;
	if (rivals.found.base == NULL)
		table_remove_abandoned();
	return true;
}

struct other_version {
	const char *name;
	char *version;
	bool found;
};

static bool find_other_version(const struct segment_facts *facts, void *with)
{
	struct other_version *other = with;
	char name[TABLE_NAME_MOST + 1];
	struct segment segment;
	uint64_t layout;

	if (!facts->own || facts->attached == 0 || facts->size < PAGE || !segment_attach_id(&segment, facts->id, true))
		return true;
	other->found =
	    table_is_of_another_version(segment.base, other->version, name, &layout) && strcmp(name, other->name) == 0;
	segment_detach(&segment);
	return !other->found;
}

bool table_has_other_version(const char *name, char version[VERSION_TEXT])
{
	struct other_version other = {.name = name, .version = version};

	segment_list(find_other_version, &other);
	return other.found;
}

bool table_open_anonymous_listed(struct table *table, const char *name, const struct settings *settings,
				 const struct rules_index *listed)
{
	struct segment segment;

	if (!segment_anonymous(&segment, table_size(settings->capacity)))
		return false;
	table->segment = segment;
	return settle(table, name, settings, listed);
}

bool table_has_size(size_t size)
{
	return capacity_of_size(size) != 0;
}

bool table_look_at(struct table *table, void *base, size_t size)
{
	uint32_t capacity = capacity_of_size(size);

	if (capacity == 0 || !is_table(base)) {
		errno = EINVAL;
		return false;
	}
	table->segment = (struct segment){.id = -1, .base = base, .size = size};
	lay_out(table, base, capacity);
	table_know_pid(table);
	table->secret[0] = atomic_load(&table->header->secret[0]);
	table->secret[1] = atomic_load(&table->header->secret[1]);
	return true;
}

static bool look_at(struct table *table, struct segment segment)
{
	if (!table_look_at(table, segment.base, segment.size)) {
		segment_detach(&segment);
		return false;
	}
	table->segment = segment;
	return true;
}

bool table_open_id(struct table *table, int id)
{
	struct segment segment;

	return segment_attach_id(&segment, id, false) && look_at(table, segment);
}

void table_leave(struct table *table)
{
	segment_detach(&table->segment);
}
