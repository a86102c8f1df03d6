#include "table/segment.h"

#include "values/alive.h"
#include "values/door.h"
#include "values/fingerprint.h"

#include <errno.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <time.h>

enum { KEYS = 8 }; /* keys tried for one name: some may be taken by strangers */

static key_t key_of(const char *name, unsigned attempt)
{
	static const uint64_t well_known[2] = {0x636f6e6e6c696d69, 0x7461626c656e616d};
	uint64_t hash = ((uint64_t)door_geteuid() << 8) | attempt;

	for (; *name != '\0'; name++)
		hash = fingerprint(well_known, hash, (unsigned char)*name, 0);
	/* Key 0 is IPC_PRIVATE; the sign bit is left alone because ipcs prints keys in hexadecimal without it. */
	key_t key = (key_t)(hash & 0x7fffffff);
	return key != 0 ? key : 1;
}

static bool ours(int id, size_t *size, bool *left)
{
	struct shmid_ds facts;

	if (door_shmctl(id, IPC_STAT, &facts) != 0)
		return false;
	/* Someone else who made it first, or who gave it to us, could still write to it. */
	if (facts.shm_perm.uid != door_geteuid() || facts.shm_perm.cuid != door_geteuid() || (facts.shm_perm.mode & 0077) != 0)
		return false;
	*size = facts.shm_segsz;
	/* One that nobody has attached yet is just being made. */
	*left = facts.shm_nattch == 0 && facts.shm_atime != 0;
	return true;
}

static bool attach(struct segment *segment, int id, size_t size, int flags)
{
	void *base = door_shmat(id, NULL, flags);

	if (base == (void *)-1) // NOLINT(performance-no-int-to-ptr): what shmat(2) says it returns
		return false;
	*segment = (struct segment){.id = id, .base = base, .size = size};
	return true;
}

/* For one that was made and cannot be had, as where there is no address space for it; unless another of ours has it already. */
static void remove_unattached(int id)
{
	struct shmid_ds facts;
	int kept = errno;

	if (door_shmctl(id, IPC_STAT, &facts) == 0 && facts.shm_nattch == 0)
		door_shmctl(id, IPC_RMID, NULL);
	errno = kept;
}

bool segment_attach(struct segment *segment, const char *name, size_t size, segment_fits *fits, bool *made)
{
	bool removed = false;

	for (unsigned attempt = 0; attempt < KEYS; attempt++) {
		key_t key = key_of(name, attempt);
		int id = door_shmget(key, 0, 0);
		size_t found = 0;
		bool left = false;

		*made = false;
		if (id < 0 && errno == ENOENT) {
			if (size == 0)
				return false;
			id = door_shmget(key, size, IPC_CREAT | IPC_EXCL | 0600);
			if (id >= 0) {
				*made = true;
				found = size;
			} else if (errno == EEXIST) {
				id = door_shmget(
				    key, 0, 0); /* made by another process of ours between the two calls, or a stranger's */
			} else {
				return false;
			}
		}
		if (id < 0 || (!*made && !ours(id, &found, &left)))
			continue;
		/* Whoever makes a table has a new one: what is in one that nobody uses may be anything. */
		if (left && size != 0 && !removed && fits(NULL, found, name) && door_shmctl(id, IPC_RMID, NULL) == 0) {
			removed = true;
			attempt--;
			continue;
		}
		if (!attach(segment, id, found, 0)) {
			if (errno == EACCES || errno == EINVAL || errno == EIDRM)
				continue;
			if (*made)
				remove_unattached(id);
			return false;
		}
		if (*made || fits(segment->base, segment->size, name))
			return true;
		segment_detach(segment, false);
	}
	errno = EACCES;
	return false;
}

bool segment_anonymous(struct segment *segment, size_t size)
{
	void *base = door_mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1);

	if (base == MAP_FAILED)
		return false;
	*segment = (struct segment){.id = -1, .base = base, .size = size};
	return true;
}

bool segment_attach_id(struct segment *segment, int id, bool read_only)
{
	struct shmid_ds facts;

	return door_shmctl(id, IPC_STAT, &facts) == 0 && attach(segment, id, facts.shm_segsz, read_only ? SHM_RDONLY : 0);
}

bool segment_attach_file(struct segment *segment, int descriptor, size_t size, bool read_only)
{
	struct stat facts;

	/* Past the file's end there is no memory, but SIGBUS. */
	if (door_fstat(descriptor, &facts) != 0)
		return false;
	if (facts.st_size < 0 || (size_t)facts.st_size < size) {
		errno = EINVAL;
		return false;
	}
	void *base = door_mmap(NULL, size, PROT_READ | (read_only ? 0 : PROT_WRITE), MAP_SHARED, descriptor);
	if (base == MAP_FAILED)
		return false;
	*segment = (struct segment){.id = -1, .base = base, .size = size};
	return true;
}

/* Marked for removal while we still have it mapped: one who attaches in this moment keeps a working segment (shmctl(2),
 * IPC_RMID). */
void segment_retire(const struct segment *segment)
{
	struct shmid_ds facts;

	/* In an IPC namespace of its own (ipc_namespaces(7)) a process would find another one under the number. */
	if (segment->base != NULL && segment->id >= 0 && door_shmctl(segment->id, IPC_STAT, &facts) == 0 &&
	    facts.shm_segsz == segment->size && facts.shm_nattch <= 1)
		door_shmctl(segment->id, IPC_RMID, NULL);
}

void segment_detach(struct segment *segment, bool last_removes)
{
	if (segment->base == NULL)
		return;
	if (segment->id < 0) {
		door_munmap(segment->base, segment->size);
	} else {
		if (last_removes)
			segment_retire(segment);
		door_shmdt(segment->base);
	}
	segment->base = NULL;
}

/* The kernel says 0 of one that is not in our pid namespace. */
static bool lives(pid_t pid)
{
	return pid == 0 || process_alive((uint32_t)pid);
}

void segment_list(bool (*visit)(const struct segment_facts *facts, void *with), void *with)
{
	struct shm_info info = {0};
	int highest = door_shmctl(0, SHM_INFO, (struct shmid_ds *)(void *)&info);
	time_t now = time(NULL);

	for (int index = 0; index <= highest; index++) {
		struct shmid_ds found = {0}; /* for valgrind, which does not know that SHM_STAT fills it */
		int id = door_shmctl(index, SHM_STAT_ANY, &found);
		if (id < 0 && errno == EINVAL)
			id = door_shmctl(index, SHM_STAT, &found);
		struct segment_facts facts;

		if (id < 0)
			continue;
		time_t changed = found.shm_dtime > found.shm_ctime ? found.shm_dtime : found.shm_ctime;
		facts = (struct segment_facts){
		    .id = id,
		    .owner = found.shm_perm.uid,
		    .creator = found.shm_perm.cuid,
		    .size = found.shm_segsz,
		    .maker = found.shm_cpid,
		    .last = found.shm_lpid,
		    .attached = found.shm_nattch,
		    .detached = now > changed ? now - changed : 0,
		    .maker_lives = lives(found.shm_cpid),
		    .last_lives = lives(found.shm_atime != 0 ? found.shm_lpid : found.shm_cpid),
		    .readable = found.shm_perm.uid == door_geteuid() || door_geteuid() == 0,
		};
		if (!visit(&facts, with))
			return;
	}
}

void segment_remove(int id)
{
	door_shmctl(id, IPC_RMID, NULL);
}
