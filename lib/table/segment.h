/* The piece of memory that a daemon's processes share: a System V shared memory segment.
 *
 * Why not a file under /dev/shm: a segment cannot be truncated under a mapping (no SIGBUS), has no path to pre-create or link,
 * needs no descriptor and no directory (chroot, read-only and tiny /dev/shm), keeps its mapping over setuid, chroot and into
 * other namespaces, can be found again after exec, and the kernel itself counts who has it mapped (shm_nattch), so that a table
 * is known to be out of use even when every process was killed. shm_overview(7), shmat(2), shmctl(2).
 *
 * A segment is named: its key is a hash of name and user, and its owner, mode and size are checked, so another user can neither
 * attach it nor make it first. All functions may be called from any thread; none is meant for signal handlers. */
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

/* Calls `fits(base, size, name)` on an attached candidate to tell a table of that name from strangers with the same key; with
 * `base` NULL on one that is not attached, of which only the size is known. */
typedef bool segment_fits(const void *base, size_t size, const char *name);

/* Attaches the segment of this name that belongs to the effective user. If there is none and `size` is not 0, makes it, zeroed
 * (`made` tells); one that nobody has attached any more is removed first, for whatever wrote to it last may have been hostile.
 * False with errno: ENOENT there is none and size is 0; EACCES it belongs to someone else; ENOSYS, ENOSPC, ENOMEM, EPERM as
 * shmget(2). */
bool segment_attach(struct segment *segment, const char *name, size_t size, segment_fits *fits, bool *made);

/* Memory shared with children forked from now on, for systems where segments are not to be had. */
bool segment_anonymous(struct segment *segment, size_t size);

/* Attaches by id, for those who look at tables of others. False with errno. */
bool segment_attach_id(struct segment *segment, int id, bool read_only);

/* Maps `size` bytes of an open file that is somebody's shared memory. */
bool segment_attach_file(struct segment *segment, int descriptor, size_t size, bool read_only);

/* Unmaps; when `last_removes` and nobody else has it mapped, the segment is removed. */
void segment_detach(struct segment *segment, bool last_removes);

/* Marks the segment for removal if nobody else has it mapped; it stays mapped here. Async-signal-safe. */
void segment_retire(const struct segment *segment);

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
	bool readable;
};
void segment_list(bool (*visit)(const struct segment_facts *facts, void *with), void *with);

void segment_remove(int id);

#endif
