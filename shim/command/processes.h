/* Which processes have a table mapped: as /proc tells it, no matter what they say of themselves. */
#ifndef CONNLIMIT_COMMAND_PROCESSES_H
#define CONNLIMIT_COMMAND_PROCESSES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Shared memory of a table's size that a process has mapped. */
struct mapping {
	pid_t pid;
	uint64_t inode; /* a segment's id, where it is one (proc_pid_maps(5)) */
	uint64_t start;
	uint64_t end;
	bool segment; /* of System V, not anonymous */
	bool own_ipc; /* the process is in our IPC namespace */
	bool shown;   /* as one of a table's */
};

struct processes {
	struct mapping *mapping;
	size_t number;
};

/* Looks at every process that we may look at. To be freed with processes_free. */
void processes_find(struct processes *processes);
void processes_free(struct processes *processes);

/* Visits the inode of each socket that a process has, looking at no more than `most` entries of /proc/PID/fd; none, where we
 * may not look. */
void process_sockets(pid_t pid, unsigned most, void (*visit)(unsigned long inode, void *with), void *with);

/* Opens what is mapped there through /proc/PID/map_files. -1 with errno, EPERM if it takes CAP_CHECKPOINT_RESTORE. */
int mapping_open(const struct mapping *mapping);

#endif
