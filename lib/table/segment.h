/* The piece of memory that a daemon's processes share: a System V shared memory segment, marked for removal as soon as it is
 * made (shmctl(2), IPC_RMID). It stays until the last process that has it attached has ended, in whatever way, and leaves
 * nothing behind; until then it is found by listing the user's own segments, and attached by its id.
 *
 * Why not a file under /dev/shm: a segment cannot be truncated under a mapping (no SIGBUS), has no path to pre-create or link,
 * needs no descriptor and no directory (chroot, read-only and tiny /dev/shm), and keeps its mapping over setuid, chroot and
 * into other namespaces. Nor has it a key that another user could take first. shm_overview(7), shmat(2).
 *
 * All functions may be called from any thread; none is meant for signal handlers. */
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

/* Makes one, zeroed, that only this user can attach. False with errno: ENOSYS, ENOSPC, ENOMEM, EPERM as shmget(2). */
bool segment_make(struct segment *segment, size_t size);

/* Memory shared with children forked from now on, for systems where segments are not to be had. */
bool segment_anonymous(struct segment *segment, size_t size);

/* Attaches by id, for those who look at tables of others. False with errno. */
bool segment_attach_id(struct segment *segment, int id, bool read_only);

/* Maps `size` bytes of an open file that is somebody's shared memory. */
bool segment_attach_file(struct segment *segment, int descriptor, size_t size, bool read_only);

void segment_detach(struct segment *segment);

/* Whether another process that made the segment, by the kernel's word, lives still. Not one that came later by the same pid. */
bool segment_maker_lives(const struct segment *segment, uint32_t *maker);

/* Visits every segment of the IPC namespace, those that this process may not read included (Linux 4.17; on older kernels they
 * are left out). Stops when `visit` returns false. */
struct segment_facts {
	int id;
	uid_t owner;
	uid_t creator; /* an owner can give a segment away (IPC_SET), but not the word of who made it */
	size_t size;
	pid_t maker;
	pid_t last;
	unsigned long attached;
	int64_t detached; /* seconds since the last detach, if attached is 0 */
	bool maker_lives; /* the process that made it is there, or not in our pid namespace */
	bool last_lives;  /* the same of the one that attached or detached it last; the maker, if nobody did */
	bool own;	  /* made by this process's user, who alone may attach it */
	bool readable;
};
void segment_list(bool (*visit)(const struct segment_facts *facts, void *with), void *with);

void segment_remove(int id);

#endif
