#include "command/processes.h"

#include "table/table.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* The device of segments, anonymous shared memory and memfds: a mount inside the kernel that has no path. 0 if it cannot be
 * found out. */
static dev_t kernels_device(void)
{
	static dev_t device;
	struct stat facts;

	if (device != 0)
		return device;
	int descriptor = memfd_create("connlimit", MFD_CLOEXEC);
	if (descriptor < 0)
		return 0;
	if (fstat(descriptor, &facts) == 0)
		device = facts.st_dev;
	close(descriptor);
	return device;
}

static uint64_t namespace_of(const char *process, const char *kind)
{
	char path[300];
	struct stat facts;

	snprintf(path, sizeof(path), "/proc/%s/ns/%s", process, kind);
	return stat(path, &facts) == 0 ? facts.st_ino : 0;
}

uint64_t process_network(pid_t pid)
{
	char process[16];

	snprintf(process, sizeof(process), "%d", (int)pid);
	return namespace_of(process, "net");
}

static bool add(struct processes *processes, size_t *room, const struct mapping *mapping)
{
	if (processes->number == *room) {
		size_t more = *room != 0 ? *room * 2 : 64;
		struct mapping *larger = realloc(processes->mapping, more * sizeof(*larger));

		if (larger == NULL)
			return false;
		processes->mapping = larger;
		*room = more;
	}
	processes->mapping[processes->number++] = *mapping;
	return true;
}

/* proc_pid_maps(5): "7f00-7f10 rw-s 00000000 00:01 98349    /SYSV00000000 (deleted)", and "/dev/zero (deleted)" for anonymous
 * shared memory. On the kernel's own device the names are the kernel's too. Those of memfds, which can be truncated while
 * somebody reads them, begin with "/memfd:". */
static bool read_line(const char *line, struct mapping *mapping)
{
	static const char anonymous[] = "/dev/zero (deleted)\n";
	static const char segment[] = "/SYSV";
	unsigned device_major;
	unsigned device_minor;
	int path = 0;

	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*4s 00000000 %x:%x %" SCNu64 " %n", &mapping->start, &mapping->end,
		   &device_major, &device_minor, &mapping->inode, &path) != 5 ||
	    path == 0 || makedev(device_major, device_minor) != kernels_device())
		return false;
	mapping->segment = strncmp(line + path, segment, sizeof(segment) - 1) == 0;
	return (mapping->segment || strcmp(line + path, anonymous) == 0) && table_has_size(mapping->end - mapping->start);
}

static void look_at(struct processes *processes, size_t *room, const char *process, char **line, size_t *size)
{
	char path[300];
	struct mapping mapping = {0};

	snprintf(path, sizeof(path), "/proc/%s/maps", process);
	FILE *maps = fopen(path, "re");
	if (maps == NULL)
		return;
	/* Reads whole lines, however long a path is: the rest of one could look like another line. */
	while (getline(line, size, maps) > 0) {
		if (strstr(*line, " (deleted)") == NULL || !read_line(*line, &mapping))
			continue;
		mapping.pid = (pid_t)strtol(process, NULL, 10);
		mapping.ipc = namespace_of(process, "ipc");
		if (!add(processes, room, &mapping))
			break;
	}
	fclose(maps);
}

/* proc_pid_fdinfo(5): the process that a pidfd refers to. 0 if the descriptor is not a pidfd or the process is gone. */
static pid_t pidfd_of(pid_t pid, const char *descriptor)
{
	char path[300];
	char line[128];
	long of = 0;

	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%s", (int)pid, descriptor);
	FILE *facts = fopen(path, "re");
	while (facts != NULL && fgets(line, sizeof(line), facts) != NULL && sscanf(line, "Pid: %ld", &of) != 1)
		;
	if (facts != NULL)
		fclose(facts);
	return of > 0 ? (pid_t)of : 0;
}

/* A process may only claim another one as its own if it has full control over it anyway. */
static bool may_speak_for(pid_t pid, pid_t other)
{
	char path[64];
	struct stat facts;
	struct stat others;

	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	if (stat(path, &facts) != 0)
		return false;
	snprintf(path, sizeof(path), "/proc/%d", (int)other);
	return stat(path, &others) == 0 && (facts.st_uid == 0 || facts.st_uid == others.st_uid);
}

static bool has(const struct processes *processes, const struct mapping *mapping, pid_t pid)
{
	for (size_t i = 0; i < processes->number; i++)
		if (processes->mapping[i].pid == pid && processes->mapping[i].inode == mapping->inode)
			return true;
	return false;
}

static bool add_one(struct processes *processes, size_t *room, struct mapping mapping, pid_t supervisor, pid_t pid)
{
	mapping.pid = pid;
	return has(processes, &mapping, pid) || !may_speak_for(supervisor, pid) || add(processes, room, &mapping);
}

/* What a thread has started (proc_pid_task_children(5)). */
static bool add_children_of(struct processes *processes, size_t *room, const struct mapping *mapping, pid_t supervisor,
			    const char *thread)
{
	char path[300];
	long child;
	bool good = true;

	snprintf(path, sizeof(path), "/proc/%d/task/%s/children", (int)mapping->pid, thread);
	FILE *children = fopen(path, "re");
	while (good && children != NULL && fscanf(children, "%ld", &child) == 1)
		good = add_one(processes, room, *mapping, supervisor, (pid_t)child);
	if (children != NULL)
		fclose(children);
	return good;
}

/* What a supervised program starts is supervised with it. Not found is what was left by the process that started it. */
static void add_descendants(struct processes *processes, size_t *room, size_t from, pid_t supervisor)
{
	enum { DESCENDANTS_MOST = 4096 };
	bool good = true;

	for (size_t i = from; good && i < processes->number && i - from < DESCENDANTS_MOST; i++) {
		const struct mapping mapping = processes->mapping[i]; /* adding may move it */
		char path[64];
		const struct dirent *entry;

		snprintf(path, sizeof(path), "/proc/%d/task", (int)mapping.pid);
		DIR *threads = opendir(path);
		while (good && threads != NULL && (entry = readdir(threads)) != NULL)
			good = entry->d_name[0] == '.' || add_children_of(processes, room, &mapping, supervisor, entry->d_name);
		if (threads != NULL)
			closedir(threads);
	}
}

/* A supervisor (supervise/supervise.h) has the table mapped on behalf of its program. The kernel tells that it is one by its
 * notification descriptor, and whose by a pidfd. */
static void add_supervised(struct processes *processes, size_t *room, const struct mapping mapping)
{
	char path[64];
	char target[64];
	pid_t supervisor = mapping.pid;
	pid_t of[8];
	size_t number = 0;
	bool supervises = false;
	const struct dirent *entry;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)supervisor);
	DIR *descriptors = opendir(path);
	if (descriptors == NULL)
		return;
	while ((entry = readdir(descriptors)) != NULL) {
		ssize_t length = readlinkat(dirfd(descriptors), entry->d_name, target, sizeof(target) - 1);

		target[length > 0 ? length : 0] = '\0';
		supervises |= strcmp(target, "anon_inode:seccomp notify") == 0;
		if (number < sizeof(of) / sizeof(of[0]) && strstr(target, "pidfd") != NULL &&
		    (of[number] = pidfd_of(supervisor, entry->d_name)) != 0)
			number++;
	}
	closedir(descriptors);
	size_t from = processes->number;
	for (size_t i = 0; i < number && supervises; i++)
		if (!add_one(processes, room, mapping, supervisor, of[i]))
			return;
	add_descendants(processes, room, from, supervisor);
}

void processes_find(struct processes *processes)
{
	size_t room = 0;
	DIR *all = opendir("/proc");
	const struct dirent *entry;
	char *line = NULL;
	size_t size = 0;

	*processes = (struct processes){.ipc = namespace_of("self", "ipc")};
	if (all == NULL)
		return;
	if (kernels_device() != 0)
		while ((entry = readdir(all)) != NULL)
			if (isdigit((unsigned char)entry->d_name[0]) != 0)
				look_at(processes, &room, entry->d_name, &line, &size);
	free(line);
	closedir(all);
	for (size_t i = 0, mapped = processes->number; i < mapped; i++)
		add_supervised(processes, &room, processes->mapping[i]);
}

void processes_free(struct processes *processes)
{
	free(processes->mapping);
	*processes = (struct processes){0};
}

void process_sockets(pid_t pid, unsigned most, void (*visit)(unsigned long inode, void *with), void *with)
{
	char path[64];
	char target[64];
	const struct dirent *entry;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	DIR *descriptors = opendir(path);
	if (descriptors == NULL)
		return;
	for (unsigned i = 0; i < most && (entry = readdir(descriptors)) != NULL; i++) {
		unsigned long inode;
		ssize_t length = readlinkat(dirfd(descriptors), entry->d_name, target, sizeof(target) - 1);

		target[length > 0 ? length : 0] = '\0';
		if (sscanf(target, "socket:[%lu]", &inode) == 1)
			visit(inode, with);
	}
	closedir(descriptors);
}

/* O_PATH does not open the file itself, and with cached attributes no file system's server is asked. */
static int mapping_find(const struct mapping *mapping, struct statx *facts)
{
	const unsigned wanted = STATX_TYPE | STATX_INO | STATX_UID | STATX_BTIME;
	char path[96];

	snprintf(path, sizeof(path), "/proc/%d/map_files/%" PRIx64 "-%" PRIx64, (int)mapping->pid, mapping->start,
		 mapping->end);
	int descriptor = open(path, O_PATH | O_CLOEXEC);
	if (descriptor < 0)
		return -1;
	if (statx(descriptor, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, wanted, facts) == 0 &&
	    makedev(facts->stx_dev_major, facts->stx_dev_minor) == kernels_device() && facts->stx_ino == mapping->inode)
		return descriptor;
	close(descriptor);
	errno = ESTALE;
	return -1;
}

int mapping_open(const struct mapping *mapping, bool to_write)
{
	char path[64];
	struct statx facts;
	int found = mapping_find(mapping, &facts);

	if (found < 0)
		return -1;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", found);
	int descriptor = open(path, (to_write ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK);
	close(found);
	return descriptor;
}

bool mapping_memory(const struct mapping *mapping, struct which_memory *which)
{
	struct statx facts;
	int found = mapping_find(mapping, &facts);

	if (found < 0)
		return false;
	close(found);
	*which = (struct which_memory){
	    .inode = facts.stx_ino,
	    .maker = facts.stx_uid,
	    .made = {.tv_sec = facts.stx_btime.tv_sec, .tv_nsec = facts.stx_btime.tv_nsec},
	};
	return true;
}

bool same_memory(const struct which_memory *a, const struct which_memory *b)
{
	return a->inode == b->inode && a->maker == b->maker && a->made.tv_sec == b->made.tv_sec &&
	       a->made.tv_nsec == b->made.tv_nsec;
}
