/* A table's memory: how it is laid out, made, attached and left. */
#include "table/table.h"

#include "values/alive.h"
#include "values/clock.h"
#include "values/fingerprint.h"
#include "values/point.h"

#include <errno.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

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

/* Sets our pointers into `base` for so many slots and returns the whole size. With base NULL only the size matters. */
static size_t lay_out(struct table *table, void *start, uint32_t capacity)
{
	uintptr_t base = (uintptr_t)start; /* NULL has no members; numbers may be added to it */
	size_t at = 0;

	table->capacity = capacity;
	table->entries = capacity * 2;
	table->header = (void *)(base + at);
	at += pages(sizeof(struct table_header));
	table->blocks = (void *)(base + at);
	at += pages(sizeof(struct limit_block) * (LIMIT_BLOCKS + 1));
	table->entry = (void *)(base + at);
	at += pages(sizeof(struct client_entry) * table->entries);
	table->notes = (void *)(base + at);
	at += pages(sizeof(struct client_notes) * table->entries);
	table->owner = (void *)(base + at);
	at += pages(sizeof(uint32_t) * capacity);
	table->record = (void *)(base + at);
	at += pages(sizeof(struct record) * capacity);
	return at;
}

size_t table_size(uint32_t capacity)
{
	struct table table;

	return lay_out(&table, NULL, capacity_rounded(capacity));
}

/* The capacity follows from the segment's size, which the kernel vouches for; the shared memory is not asked. 0 if no
 * capacity has this size. */
static uint32_t capacity_of_size(size_t size)
{
	for (uint32_t capacity = CAPACITY_LEAST; capacity <= CAPACITY_MOST; capacity *= 2)
		if (table_size(capacity) == size)
			return capacity;
	return 0;
}

static bool names(const struct table_header *header, const char *name)
{
	return strnlen(header->name, sizeof(header->name)) < sizeof(header->name) && strcmp(header->name, name) == 0;
}

static bool fits(const void *base, size_t size, const char *name)
{
	const struct table_header *header = base;

	if (capacity_of_size(size) == 0 || base == NULL)
		return capacity_of_size(size) != 0;
	uint64_t magic = atomic_load_explicit(&header->magic, memory_order_acquire);
	/* 0: being made at this moment, or its maker died. Either way we finish it together. */
	return magic == 0 || (magic == TABLE_MAGIC && names(header, name));
}

static void set_once(_Atomic uint64_t *word, uint64_t value)
{
	uint64_t expected = 0;

	atomic_compare_exchange_strong(word, &expected, value);
}

static uint64_t random_word(void)
{
	static const uint64_t unused_key[2] = {0x9e3779b97f4a7c15, 0xbf58476d1ce4e5b9};
	uint64_t word = 0;

	if (door(SYS_getrandom, (long)&word, sizeof(word), 0, 0, 0, 0) == sizeof(word) && word != 0)
		return word;
	/* A kernel that forbids getrandom: AT_RANDOM is 16 bytes that it gave this process at exec. */
	const uint64_t *given = (const uint64_t *)getauxval(AT_RANDOM); // NOLINT(performance-no-int-to-ptr)
	return fingerprint(given != NULL ? given : unused_key, clock_us() ^ (uint64_t)door_getpid() << 40, (uintptr_t)&word, 0);
}

static void program_name(char *text, size_t size)
{
	const char *name = program_invocation_short_name != NULL ? program_invocation_short_name : "";

	strncpy(text, name, size - 1);
}

uint64_t network_namespace(void)
{
	struct stat facts;

	return door_fstatat(AT_FDCWD, "/proc/self/ns/net", &facts, 0) == 0 ? facts.st_ino : 0;
}

static void prepare(struct table *table, const char *name, const struct settings *settings)
{
	struct table_header *header = table->header;

	if (atomic_load_explicit(&header->magic, memory_order_acquire) == 0) {
		set_once(&header->secret[0], random_word());
		set_once(&header->secret[1], random_word());
		set_once(&header->born, clock_ms() + 1);
		set_once(&header->network, network_namespace());
		uint32_t nobody = 0;
		atomic_compare_exchange_strong(&header->maker, &nobody, process_self());
		strncpy(header->name, name, sizeof(header->name) - 1);
		program_name(header->program, sizeof(header->program));
		atomic_store(&header->extent, CAPACITY_LEAST);
		point_reached(POINT_TABLE_NAMED);
		if (settings != NULL && atomic_load(&header->current) == 0)
			limits_publish(table, limits_turn(table), settings);
		point_reached(POINT_TABLE_LIMITED);
		atomic_store_explicit(&header->magic, TABLE_MAGIC, memory_order_release);
	}
	table->secret[0] = atomic_load(&header->secret[0]);
	table->secret[1] = atomic_load(&header->secret[1]);
}

static bool settle(struct table *table, const char *name, const struct settings *settings)
{
	uint32_t capacity = capacity_of_size(table->segment.size);

	if (capacity == 0) {
		segment_detach(&table->segment, false);
		errno = EINVAL;
		return false;
	}
	lay_out(table, table->segment.base, capacity);
	table->pid = process_self();
	/* A table in a core dump would carry the addresses of every client. */
	door_madvise(table->segment.base, table->segment.size, MADV_DONTDUMP);
	prepare(table, name, settings);
	return true;
}

/* Removes tables of this user that nobody has mapped. Not at once: a daemon that executes itself has it unmapped for a moment.
 * In that moment the process that had it last is alive, unless two of its processes are at it. */
enum { ABANDONED_SECONDS = 10, ABANDONED_BY_THE_DEAD_SECONDS = 2 };

static bool remove_abandoned(const struct segment_facts *facts, void *with)
{
	struct segment segment;

	(void)with;
	int64_t after = facts->last_lives ? ABANDONED_SECONDS : ABANDONED_BY_THE_DEAD_SECONDS;
	if (facts->attached != 0 || facts->detached < after || (facts->owner != door_geteuid() && door_geteuid() != 0) ||
	    capacity_of_size(facts->size) == 0 || !segment_attach_id(&segment, facts->id, true))
		return true;
	uint64_t magic = atomic_load(&((struct table_header *)segment.base)->magic);
	/* 0: its maker died before it was a table. Nothing else has just this size. */
	segment_detach(&segment, magic == TABLE_MAGIC || (magic == 0 && !facts->maker_lives));
	return true;
}

void table_remove_abandoned(void)
{
	segment_list(remove_abandoned, NULL);
}

bool table_open(struct table *table, const char *name, const struct settings *settings, bool *new)
{
	bool made = false;
	size_t size = settings != NULL ? table_size(settings->capacity) : 0;
	struct segment segment;

	if (!segment_attach(&segment, name, size, fits, &made))
		return false;
	table->segment = segment;
	if (!settle(table, name, settings))
		return false;
	if (new != NULL)
		*new = made;
	if (made)
		table_remove_abandoned();
	return true;
}

bool table_open_anonymous(struct table *table, const char *name, const struct settings *settings)
{
	struct segment segment;

	if (!segment_anonymous(&segment, table_size(settings->capacity)))
		return false;
	table->segment = segment;
	return settle(table, name, settings);
}

bool table_has_size(size_t size)
{
	return capacity_of_size(size) != 0;
}

bool table_look_at(struct table *table, void *base, size_t size)
{
	uint32_t capacity = capacity_of_size(size);

	if (capacity == 0 || atomic_load_explicit(&((struct table_header *)base)->magic, memory_order_acquire) != TABLE_MAGIC) {
		errno = EINVAL;
		return false;
	}
	table->segment = (struct segment){.id = -1, .base = base, .size = size};
	lay_out(table, base, capacity);
	table->pid = process_self();
	table->secret[0] = atomic_load(&table->header->secret[0]);
	table->secret[1] = atomic_load(&table->header->secret[1]);
	return true;
}

static bool look_at(struct table *table, struct segment segment)
{
	if (!table_look_at(table, segment.base, segment.size)) {
		segment_detach(&segment, false);
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
	segment_detach(&table->segment, true);
}

void table_retire(const struct table *table)
{
	segment_retire(&table->segment);
}

void table_look_away(struct table *table)
{
	segment_detach(&table->segment, false);
}
