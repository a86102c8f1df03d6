#include "table/bridge.h"

#include "values/alive.h"
#include "values/door.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/shm.h>

bool bridge_is_needed(const struct table *table)
{
	struct shmid_ds facts;
	int kept = errno;
	bool alone = table->segment.id >= 0 && door_shmctl(table->segment.id, IPC_STAT, &facts) == 0 && facts.shm_nattch == 1;

	errno = kept;
	return alone;
}

/* Written in place of a table's magic number, so that nobody who looks for the table by name takes the copy. */
#define BRIDGE_MAGIC (~TABLE_MAGIC)
_Static_assert(offsetof(struct table_header, magic) == 0, "what is copied begins behind it");

/* Only pages that exist: reading the others would allocate them. */
static void copy_pages(char *to, const char *from, size_t size)
{
	enum { PAGE = 4096, AT_ONCE = 256 };
	unsigned char there[AT_ONCE];

	for (size_t at = 0; at < size; at += (size_t)AT_ONCE * PAGE) {
		size_t length = size - at < (size_t)AT_ONCE * PAGE ? size - at : (size_t)AT_ONCE * PAGE;
		bool known = door_mincore(from + at, length, there) == 0;
		for (size_t page = 0; page * PAGE < length; page++) {
			size_t skipped = at + page == 0 ? sizeof(uint64_t) : 0;
			if (!known || (there[page] & 1) != 0)
				memcpy(to + at + page * PAGE + skipped, from + at + page * PAGE + skipped, PAGE - skipped);
		}
	}
}

int bridge_build(const struct table *table)
{
	int kept = errno;
	int id = door_shmget(IPC_PRIVATE, table->segment.size, IPC_CREAT | IPC_EXCL | 0600);
	void *base = id >= 0 ? door_shmat(id, NULL, 0) : (void *)-1; // NOLINT(performance-no-int-to-ptr)

	if (base != (void *)-1) { // NOLINT(performance-no-int-to-ptr)
		copy_pages(base, table->segment.base, table->segment.size);
		atomic_store(&((struct table_header *)base)->magic, BRIDGE_MAGIC);
		door_shmdt(base);
	} else if (id >= 0) {
		bridge_remove(id);
		id = -1;
	}
	errno = kept;
	return id;
}

void bridge_remove(int bridge)
{
	int kept = errno;

	door_shmctl(bridge, IPC_RMID, NULL);
	errno = kept;
}

struct crossing {
	struct table *table;
	const char *name;
	bool crossed;
};

/* A copy that this process made, in the program that it ran before. */
static bool cross(const struct segment_facts *facts, void *with)
{
	struct crossing *crossing = with;
	struct segment copy;

	if (!facts->own || facts->attached != 0 || (uint32_t)facts->maker != process_self() || !table_has_size(facts->size) ||
	    !segment_attach_id(&copy, facts->id, false))
		return true;
	struct table_header *header = copy.base;
	uint64_t expected = BRIDGE_MAGIC;
	if (strncmp(header->name, crossing->name, sizeof(header->name)) == 0 &&
	    atomic_compare_exchange_strong(&header->magic, &expected, TABLE_MAGIC)) {
		crossing->crossed = table_open_id(crossing->table, facts->id);
		bridge_remove(facts->id);
	}
	segment_detach(&copy);
	return !crossing->crossed;
}

bool bridge_cross(struct table *table, const char *name)
{
	struct crossing crossing = {.table = table, .name = name};

	segment_list(cross, &crossing);
	return crossing.crossed;
}
