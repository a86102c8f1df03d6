/* The memory that a daemon's processes share: a System V shared memory segment. It is marked for removal as soon as it is made
 * (shmctl(2), IPC_RMID), so it exists until the last process that has it attached ends, in whatever way, and leaves nothing
 * behind. Until then it is found by listing the user's own segments, and attached by its id.
 *
 * Why not a file under /dev/shm? A segment cannot be truncated under a mapping (no SIGBUS). It has no path that somebody could
 * create or link first, and no key that another user could take first. It needs no descriptor and no directory (chroot, a
 * read-only or tiny /dev/shm). Its mapping survives setuid, chroot and entering other namespaces. See shm_overview(7),
 * shmat(2).
 *
 * All functions are thread-safe; none is async-signal-safe. */
#ifndef CONNLIMIT_SEGMENT_H
#define CONNLIMIT_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct segment {
	int id; /* -1: anonymous memory, shared with later children only */
	void *base;
	size_t size;
};

/* Makes a zeroed segment that only this user can attach. False with errno: ENOSYS, ENOSPC, ENOMEM, EPERM as shmget(2). */
bool segment_make(struct segment *segment, size_t size);

/* Memory that is shared with children forked from now on, for systems without segments. */
bool segment_anonymous(struct segment *segment, size_t size);

/* Attaches by id, for commands that read the tables of other users. False with errno. */
bool segment_attach_id(struct segment *segment, int id, bool read_only);

/* Whether an attached segment is of huge pages (SHM_HUGETLB), of which there may be none left when one is touched for the first
 * time: that is a SIGBUS. Also true of memory that was locked by mlockall(2). */
bool segment_is_huge(const struct segment *segment);

/* Maps `size` bytes of an open file that is the shared memory of another process. */
bool segment_attach_file(struct segment *segment, int descriptor, size_t size, bool read_only);

void segment_detach(struct segment *segment);

/* Whether the segment was made by another process, according to the kernel, and that process is still alive. A later process
 * with the same pid does not count. */
bool segment_maker_lives(const struct segment *segment, uint32_t *maker);

/* Whether that process is one of the user who made the segment, and has it attached. False if /proc does not say so. */
bool segment_is_held_by(const struct segment *segment, uint32_t pid);

/* Visits every segment of the IPC namespace, including those that this process may not read (since Linux 4.17; older kernels
 * omit them). Stops when `visit` returns false. */
struct segment_facts {
	int id;
	uid_t owner;
	uid_t creator; /* an owner can give a segment away (IPC_SET), but cannot change its creator */
	size_t size;
	pid_t maker;
	pid_t last;
	unsigned long attached;
	int64_t detached; /* seconds since the last detach, if attached is 0 */
	bool maker_lives; /* the process that made it is there, or not in our pid namespace */
	bool last_lives;  /* the same for the process that last attached or detached it; if none did, for the maker */
	bool own;	  /* made by this process's user, who alone may attach it */
	bool readable;
};
void segment_list(bool (*visit)(const struct segment_facts *facts, void *with), void *with);

void segment_remove(int id);

#endif
