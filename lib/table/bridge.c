#include "table/bridge.h"

#include "values/alive.h"
#include "values/door.h"
#include "values/fingerprint.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/shm.h>

/* Another user may take it first; then the table does not outlast the exec. */
static key_t key_of_self(void)
{
	static const uint64_t well_known[2] = {0x636f6e6e6c696d69, 0x6272696467650000};
	key_t key = (key_t)(fingerprint(well_known, process_self(), door_geteuid(), 0) & 0x7fffffff);

	return key != 0 ? key : 1;
}

bool bridge_is_needed(const struct table *table)
{
	struct shmid_ds facts;
	int kept = errno;
	bool alone = table->segment.id >= 0 && door_shmctl(table->segment.id, IPC_STAT, &facts) == 0 && facts.shm_nattch == 1;

	errno = kept;
	return alone;
}

/* In place of a table's mark, so that nobody who looks for the table by its name takes the copy. */
#define BRIDGE_MAGIC (~TABLE_MAGIC)
_Static_assert(offsetof(struct table_header, magic) == 0, "what is copied begins behind it");

/* Only pages that are there: to read the others would make them so. */
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
	int id = door_shmget(key_of_self(), table->segment.size, IPC_CREAT | IPC_EXCL | 0600);
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

bool bridge_cross(struct table *table, const char *name)
{
	struct shmid_ds facts;
	struct segment copy;
	int id = door_shmget(key_of_self(), 0, 0);

	if (id < 0 || door_shmctl(id, IPC_STAT, &facts) != 0 || facts.shm_perm.uid != door_geteuid() ||
	    facts.shm_perm.cuid != door_geteuid() || (facts.shm_perm.mode & 0077) != 0 || !table_has_size(facts.shm_segsz) ||
	    !segment_attach_id(&copy, id, false))
		return false;
	struct table_header *header = copy.base;
	uint64_t expected = BRIDGE_MAGIC;
	bool crossed = strncmp(header->name, name, sizeof(header->name)) == 0 &&
		       atomic_compare_exchange_strong(&header->magic, &expected, TABLE_MAGIC) && table_open_id(table, id);
	segment_detach(&copy);
	bridge_remove(id);
	return crossed;
}
