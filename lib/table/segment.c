#include "table/segment.h"

#include "values/alive.h"
#include "values/clock.h"
#include "values/door.h"
#include "values/fingerprint.h"

#include <errno.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <time.h>

static bool attach(struct segment *segment, int id, size_t size, int flags)
{
	void *base = door_shmat(id, NULL, flags);

	if (base == (void *)-1) // NOLINT(performance-no-int-to-ptr): what shmat(2) says it returns
		return false;
	*segment = (struct segment){.id = id, .base = base, .size = size};
	return true;
}

bool segment_make(struct segment *segment, size_t size)
{
	int id = door_shmget(IPC_PRIVATE, size, IPC_CREAT | IPC_EXCL | 0600);

	if (id < 0)
		return false;
	bool attached = attach(segment, id, size, 0);
	int kept = errno;
	door_shmctl(id, IPC_RMID, NULL);
	errno = kept;
	return attached;
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

bool segment_is_huge(const struct segment *segment)
{
	enum { SMALL_PAGE = 4096 };

	/* Takes one small page out of our mapping, but not out of the segment. Huge pages cannot be divided (madvise(2)). */
	return segment->size >= 2 * SMALL_PAGE &&
	       door_madvise((char *)segment->base + SMALL_PAGE, SMALL_PAGE, MADV_DONTNEED) != 0;
}

bool segment_attach_file(struct segment *segment, int descriptor, size_t size, bool read_only)
{
	struct stat facts;

	/* Accessing a mapping beyond the end of its file raises SIGBUS. */
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

void segment_detach(struct segment *segment)
{
	if (segment->base == NULL)
		return;
	if (segment->id < 0)
		door_munmap(segment->base, segment->size);
	else
		door_shmdt(segment->base);
	segment->base = NULL;
}

bool segment_maker_lives(const struct segment *segment, uint32_t *maker)
{
	enum { SECOND = 100, SLACK = 2 };
	struct shmid_ds facts;
	struct process_seen seen = {0};

	if (segment->id < 0 || door_shmctl(segment->id, IPC_STAT, &facts) != 0 || facts.shm_cpid == 0 ||
	    (uint32_t)facts.shm_cpid == process_self())
		return false;
	*maker = (uint32_t)facts.shm_cpid;
	process_holds_seen(&seen, *maker, 0);
	time_t age = clock_wall() - facts.shm_ctime;
	return seen.lives && (seen.age == UINT32_MAX || (time_t)(seen.age / SECOND) + SLACK >= age);
}

/* One line of proc_pid_maps(5), read byte by byte: the inode of such a mapping is the segment's id. */
struct maps_line {
	unsigned field;
	uint64_t inode;
	size_t matched; /* of the path */
};

enum { INODE = 4, PATH };

static bool line_shows(struct maps_line *line, char byte, uint64_t inode)
{
	static const char path[] = "/SYSV";

	if (byte == '\n') {
		*line = (struct maps_line){0};
	} else if (line->field == PATH && byte != ' ' && line->inode == inode && byte == path[line->matched]) {
		if (++line->matched == sizeof(path) - 1)
			return true;
	} else if (line->field == PATH && byte != ' ') {
		line->field++;
	} else if (line->field < PATH && byte == ' ') {
		line->field++;
	} else if (line->field == INODE) {
		line->inode = line->inode * 10 + (uint64_t)(byte - '0');
	}
	return false;
}

/* By proc_pid_status(5): of a process that has changed its user, even /proc's files are root's. */
static bool is_of_user(uint32_t pid, uid_t user)
{
	static const char field[] = "\nUid:\t";
	char text[512];
	uint64_t number = 0;
	int descriptor = process_open(pid, "/status");
	ssize_t length = descriptor >= 0 ? door_read(descriptor, text, sizeof(text)) : -1;

	if (descriptor >= 0)
		door_close(descriptor);
	const char *at = length > 0 ? memmem(text, (size_t)length, field, sizeof(field) - 1) : NULL;
	if (at == NULL)
		return false;
	for (at += sizeof(field) - 1; at < text + length && *at >= '0' && *at <= '9'; at++)
		number = number * 10 + (uint64_t)(*at - '0');
	return number == user;
}

bool segment_is_held_by(const struct segment *segment, uint32_t pid)
{
	char bytes[256];
	struct shmid_ds facts;
	struct maps_line line = {0};
	bool shown = false;
	ssize_t length;

	if (segment->id < 0 || pid == 0 || pid > INT32_MAX || door_shmctl(segment->id, IPC_STAT, &facts) != 0 ||
	    !is_of_user(pid, facts.shm_perm.cuid))
		return false;
	int descriptor = process_open(pid, "/maps");
	if (descriptor < 0)
		return false;
	while (!shown && (length = door_read(descriptor, bytes, sizeof(bytes))) > 0)
		for (ssize_t i = 0; i < length && !shown; i++)
			shown = line_shows(&line, bytes[i], (uint64_t)(uint32_t)segment->id);
	door_close(descriptor);
	return shown;
}

/* The kernel reports pid 0 for a process that is not in our pid namespace. */
static bool lives(pid_t pid)
{
	return pid == 0 || process_alive((uint32_t)pid);
}

void segment_list(bool (*visit)(const struct segment_facts *facts, void *with), void *with)
{
	struct shm_info info = {0};
	int highest = door_shmctl(0, SHM_INFO, (struct shmid_ds *)(void *)&info);
	time_t now = clock_wall();

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
		    /* Not a segment that somebody else made or gave to us: they could still write to it. */
		    .own = found.shm_perm.uid == door_geteuid() && found.shm_perm.cuid == door_geteuid() &&
			   (found.shm_perm.mode & 0077) == 0,
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
