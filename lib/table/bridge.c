#include "table/bridge.h"

#include "values/alive.h"
#include "values/door.h"
#include "values/fingerprint.h"

#include <errno.h>
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

/* Only pages that are there: to read the others would make them so. */
static void copy_pages(char *to, const char *from, size_t size)
{
	enum { PAGE = 4096, AT_ONCE = 256 };
	unsigned char there[AT_ONCE];

	for (size_t at = 0; at < size; at += (size_t)AT_ONCE * PAGE) {
		size_t length = size - at < (size_t)AT_ONCE * PAGE ? size - at : (size_t)AT_ONCE * PAGE;
		bool known = door_mincore(from + at, length, there) == 0;
		for (size_t page = 0; page * PAGE < length; page++)
			if (!known || (there[page] & 1) != 0)
				memcpy(to + at + page * PAGE, from + at + page * PAGE, PAGE);
	}
}

int bridge_build(const struct table *table)
{
	int kept = errno;
	int id = door_shmget(key_of_self(), table->segment.size, IPC_CREAT | IPC_EXCL | 0600);
	void *base = id >= 0 ? door_shmat(id, NULL, 0) : (void *)-1; // NOLINT(performance-no-int-to-ptr)

	if (base != (void *)-1) { // NOLINT(performance-no-int-to-ptr)
		copy_pages(base, table->segment.base, table->segment.size);
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
	int id = door_shmget(key_of_self(), 0, 0);

	if (id < 0 || door_shmctl(id, IPC_STAT, &facts) != 0 || facts.shm_perm.uid != door_geteuid() ||
	    facts.shm_perm.cuid != door_geteuid() || (facts.shm_perm.mode & 0077) != 0 || !table_open_id(table, id))
		return false;
	bridge_remove(id);
	if (strncmp(table->header->name, name, sizeof(table->header->name)) == 0)
		return true;
	table_leave(table);
	return false;
}
