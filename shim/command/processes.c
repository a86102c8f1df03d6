#include "command/processes.h"

#include "table/table.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static uint64_t ipc_namespace(const char *process)
{
	char path[64];
	struct stat facts;

	snprintf(path, sizeof(path), "/proc/%s/ns/ipc", process);
	return stat(path, &facts) == 0 ? facts.st_ino : 0;
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

/* proc_pid_maps(5): "7f00-7f10 rw-s 00000000 00:01 98349    /SYSV00000000 (deleted)", and "/dev/zero (deleted)" for memory that
 * is shared without a name. */
static bool read_line(const char *line, struct mapping *mapping)
{
	bool segment = strstr(line, " /SYSV") != NULL;

	if (!segment && strstr(line, " /dev/zero (deleted)") == NULL)
		return false;
	mapping->segment = segment;
	return sscanf(line, "%" SCNx64 "-%" SCNx64 " %*s %*s %*s %" SCNu64, &mapping->start, &mapping->end, &mapping->inode) ==
		   3 &&
	       table_has_size(mapping->end - mapping->start);
}

static void look_at(struct processes *processes, size_t *room, const char *process, uint64_t own_ipc)
{
	static char buffer[1 << 16];
	char path[64];
	char line[512];
	struct mapping mapping = {0};

	snprintf(path, sizeof(path), "/proc/%s/maps", process);
	FILE *maps = fopen(path, "re");
	if (maps == NULL)
		return;
	setvbuf(maps, buffer, _IOFBF, sizeof(buffer));
	while (fgets(line, sizeof(line), maps) != NULL) {
		if (!read_line(line, &mapping))
			continue;
		mapping.pid = (pid_t)strtol(process, NULL, 10);
		mapping.own_ipc = ipc_namespace(process) == own_ipc;
		if (!add(processes, room, &mapping))
			break;
	}
	fclose(maps);
}

void processes_find(struct processes *processes)
{
	uint64_t own_ipc = ipc_namespace("self");
	size_t room = 0;
	DIR *all = opendir("/proc");
	const struct dirent *entry;

	*processes = (struct processes){0};
	if (all == NULL)
		return;
	while ((entry = readdir(all)) != NULL)
		if (isdigit((unsigned char)entry->d_name[0]) != 0)
			look_at(processes, &room, entry->d_name, own_ipc);
	closedir(all);
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

int mapping_open(const struct mapping *mapping)
{
	char path[96];

	snprintf(path, sizeof(path), "/proc/%d/map_files/%" PRIx64 "-%" PRIx64, (int)mapping->pid, mapping->start,
		 mapping->end);
	return open(path, O_RDWR | O_CLOEXEC);
}
