/* Which processes have a table mapped, or a supervisor that has it, according to the kernel, whatever the processes say of
 * themselves. */
#ifndef CONNLIMIT_COMMAND_PROCESSES_H
#define CONNLIMIT_COMMAND_PROCESSES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

/* Shared memory on the kernel's own device: a System V segment or anonymous memory. Nobody can put a file there or choose its
 * name. */
struct mapping {
	pid_t pid;
	uint64_t inode; /* for a segment, its id (proc_pid_maps(5)) */
	uint64_t start;
	uint64_t end;
	uint64_t ipc; /* inode of the process's IPC namespace; 0 if we may not know */
	bool segment; /* a System V segment, not anonymous memory */
	bool taken;   /* assigned to a table */
};

struct processes {
	struct mapping *mapping;
	size_t number;
	uint64_t ipc; /* our own IPC namespace */
};

/* Looks at every process that we may look at. Call processes_free afterwards. */
void processes_find(struct processes *processes);
void processes_free(struct processes *processes);

/* The inode of a process's network namespace; 0 if we may not know. */
uint64_t process_network(pid_t pid);

/* Visits the inode of each of a process's sockets, among at most `most` entries of /proc/PID/fd. Visits none if we may not
 * look. */
void process_sockets(pid_t pid, unsigned most, void (*visit)(unsigned long inode, void *with), void *with);

/* Opens mapped memory through /proc/PID/map_files. Only the kernel's own memory with the mapping's inode is opened, so that no
 * file system's server is involved. -1 with errno, EPERM if CAP_CHECKPOINT_RESTORE is needed. */
int mapping_open(const struct mapping *mapping, bool to_write);

/* Identifies a piece of memory, also among those with the same number in other IPC namespaces. */
struct which_memory {
	uint64_t inode;
	uid_t maker;
	struct timespec made;
};
bool mapping_memory(const struct mapping *mapping, struct which_memory *which);
bool same_memory(const struct which_memory *a, const struct which_memory *b);

#endif
