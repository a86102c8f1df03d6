#include "process/own_program.h"

#include "process/near.h"

#include "values/door.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

extern char **environ;

/* What a start has room for without asking for memory: LD_PRELOAD and a few settings. */
enum { VARIABLES_MOST = 32, ROOM = 384 };

NEAR static char *variable[VARIABLES_MOST];
NEAR static unsigned variables;
NEAR static char own_room[ROOM];

/* Of the program. KNOWN is said last. */
enum { UNKNOWN, BEING_LEARNED, KNOWN };
NEAR static _Atomic int learned;
static char program[PATH_MAX];
static dev_t program_device;
static ino_t program_inode;
static mode_t program_mode;
static uid_t program_owner;
static gid_t program_group;

static bool is_ours(const char *text)
{
	return strncmp(text, "LD_PRELOAD=", 11) == 0 ||
	       (strncmp(text, "CONNLIMIT_", 10) == 0 && strncmp(text, "CONNLIMIT_TABLE=", 16) != 0);
}

void own_variables_learn(void)
{
	size_t bytes = 0;
	int kept = errno;

	for (char **at = environ; at != NULL && *at != NULL; at++)
		if (is_ours(*at))
			bytes += strlen(*at) + 1;
	char *room = bytes <= sizeof(own_room)
			 ? own_room
			 : door_mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	errno = kept;
	if (room == MAP_FAILED)
		return;
	for (char **at = environ; at != NULL && *at != NULL && variables < VARIABLES_MOST; at++) {
		if (!is_ours(*at))
			continue;
		variable[variables++] = room;
		room = stpcpy(room, *at) + 1;
	}
}

void own_program_learn(void)
{
	struct stat facts;
	int kept = errno;
	int state = UNKNOWN;

	if (atomic_load(&learned) != UNKNOWN || !atomic_compare_exchange_strong(&learned, &state, BEING_LEARNED))
		return;
	ssize_t length = door_readlink("/proc/self/exe", program, sizeof(program) - 1);
	program[length > 0 ? length : 0] = '\0';
	if (door_fstatat(AT_FDCWD, "/proc/self/exe", &facts, 0) == 0) {
		program_device = facts.st_dev;
		program_inode = facts.st_ino;
		program_mode = facts.st_mode;
		program_owner = facts.st_uid;
		program_group = facts.st_gid;
	}
	atomic_store(&learned, KNOWN);
	errno = kept;
}

bool own_program(int directory, const char *path, int flags)
{
	struct stat facts;
	int kept = errno;

	own_program_learn();
	if (path == NULL || atomic_load(&learned) != KNOWN || program_inode == 0)
		return false;
	if (program[0] != '\0' && strcmp(path, program) == 0)
		return true;
	bool same = door_fstatat(directory, path, &facts, flags & (AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW)) == 0 &&
		    facts.st_dev == program_device && facts.st_ino == program_inode;
	errno = kept;
	return same;
}

bool own_program_turns_secure(void)
{
	if (!MAY_CALL_EACH(SYS_getuid, SYS_geteuid, SYS_getgid, SYS_getegid))
		return false;
	if (getuid() != geteuid() || getgid() != getegid())
		return true;
	/* As nothing set another user when it was executed, nothing will. */
	if (getauxval(AT_SECURE) == 0 && getauxval(AT_UID) == getuid() && getauxval(AT_GID) == getgid())
		return false;
	own_program_learn();
	return ((program_mode & S_ISUID) != 0 && program_owner != getuid()) ||
	       ((program_mode & S_ISGID) != 0 && (program_mode & S_IXGRP) != 0 && program_group != getgid());
}

bool program_is_there(int directory, const char *path, int flags)
{
	struct stat facts;
	int kept = errno;

	flags &= AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW;
	bool there = path != NULL && door_fstatat(directory, path, &facts, flags) == 0 && S_ISREG(facts.st_mode) &&
		     (door(SYS_faccessat2, directory, (long)path, X_OK, flags | AT_EACCESS, 0, 0) == 0 || errno == EPERM ||
		      errno == ENOSYS);
	errno = kept;
	return there;
}

static bool of_file(const char *file, bool (*is)(int directory, const char *path, int flags))
{
	char path[PATH_MAX];
	const char *from = getenv("PATH");

	if (file == NULL || strchr(file, '/') != NULL)
		return is(AT_FDCWD, file, 0);
	if (from == NULL)
		from = "/bin:/usr/bin"; /* execvp(3) */
	for (size_t length = 0; from != NULL; from = from[length] == ':' ? from + length + 1 : NULL) {
		length = strcspn(from, ":");
		if (length == 0 || length + 1 + strlen(file) >= sizeof(path))
			continue;
		memcpy(path, from, length);
		path[length] = '/';
		strcpy(path + length + 1, file);
		/* The first that is there is executed. */
		if (program_is_there(AT_FDCWD, path, 0))
			return is(AT_FDCWD, path, 0);
	}
	return false;
}

bool own_program_file(const char *file)
{
	return of_file(file, own_program);
}

bool program_is_there_file(const char *file)
{
	return of_file(file, program_is_there);
}

unsigned own_variables(void)
{
	return variables;
}

char *own_variable(unsigned number)
{
	return variable[number];
}

size_t own_variable_name_length(unsigned number)
{
	return strcspn(variable[number], "=") + 1;
}
