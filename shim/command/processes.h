/* Which processes have a table mapped, or a supervisor that has it: as the kernel tells it, no matter what they say of
 * themselves. */
#ifndef CONNLIMIT_COMMAND_PROCESSES_H
#define CONNLIMIT_COMMAND_PROCESSES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

/* Shared memory that lies on the device which the kernel keeps for itself: a segment of System V, or anonymous memory. Nobody
 * can put a file there, or choose its name. */
struct mapping {
	pid_t pid;
	uint64_t inode; /* a segment's id, where it is one (proc_pid_maps(5)) */
	uint64_t start;
	uint64_t end;
	uint64_t ipc; /* inode of the process's IPC namespace; 0 if we may not know */
	bool segment; /* of System V, not anonymous */
	bool taken;   /* counted to a table */
};

struct processes {
	struct mapping *mapping;
	size_t number;
	uint64_t ipc; /* our own IPC namespace */
};

/* Looks at every process that we may look at. To be freed with processes_free. */
void processes_find(struct processes *processes);
void processes_free(struct processes *processes);

/* What is said of a process of which no table was found: "has no table: ...", and why. */
void process_why_no_table(char *text, size_t size, pid_t pid);

/* Visits the inode of each socket that a process has, looking at no more than `most` entries of /proc/PID/fd; none, where we
 * may not look. */
void process_sockets(pid_t pid, unsigned most, void (*visit)(unsigned long inode, void *with), void *with);

/* What is mapped there, through /proc/PID/map_files, without a word to whoever may stand behind it: what is not the kernel's
 * own memory, with the inode that the mapping had, is not opened. -1 with errno, EPERM if it takes CAP_CHECKPOINT_RESTORE. */
int mapping_open(const struct mapping *mapping, bool to_write);

/* What sets a piece of memory apart from all others, those of the same number in other IPC namespaces too. */
struct which_memory {
	uint64_t inode;
	uid_t maker;
	struct timespec made;
};
bool mapping_memory(const struct mapping *mapping, struct which_memory *which);
bool same_memory(const struct which_memory *a, const struct which_memory *b);

#endif
