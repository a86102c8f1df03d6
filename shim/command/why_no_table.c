#include "command/why_no_table.h"

#include "command/nobody.h"

#include "settings/settings.h"
#include "values/text.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

static const char object[] = "libconnlimit_preload.so";

/* ---- as the kernel shows the process ---- */

struct mapped {
	bool object;
	bool loader; /* glibc's */
};

/* False with errno if we may not know. */
static bool find_mapped(struct mapped *mapped, pid_t pid)
{
	char path[64];
	char *line = NULL;
	size_t size = 0;

	*mapped = (struct mapped){0};
	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	FILE *maps = fopen(path, "re");
	if (maps == NULL)
		return false;
	while (getline(&line, &size, maps) > 0) {
		mapped->object |= strstr(line, object) != NULL;
		mapped->loader |= strstr(line, "/ld-linux") != NULL;
	}
	free(line);
	fclose(maps);
	return true;
}

/* The path of the object in LD_PRELOAD, in the environment with which the process was started. */
static bool named_object(pid_t pid, char path[PATH_MOST + 1])
{
	static const char variable[] = "LD_PRELOAD=";
	char name[64];
	char *entry = NULL;
	size_t size = 0;
	bool found = false;

	snprintf(name, sizeof(name), "/proc/%d/environ", (int)pid);
	FILE *environment = fopen(name, "re");
	while (environment != NULL && !found && getdelim(&entry, &size, '\0', environment) > 0) {
		char *rest = entry + sizeof(variable) - 1;

		if (strncmp(entry, variable, sizeof(variable) - 1) != 0)
			continue;
		for (char *one = strtok_r(rest, ": ", &rest); one != NULL && !found; one = strtok_r(NULL, ": ", &rest)) {
			found = strstr(one, object) != NULL;
			if (found)
				snprintf(path, PATH_MOST + 1, "%s", one);
		}
	}
	free(entry);
	if (environment != NULL)
		fclose(environment);
	return found;
}

/* getauxval(3), of another process. */
static bool auxiliary(pid_t pid, unsigned long type, unsigned long *value)
{
	char path[64];
	ElfW(auxv_t) entry;
	bool found = false;

	snprintf(path, sizeof(path), "/proc/%d/auxv", (int)pid);
	FILE *vector = fopen(path, "re");
	while (vector != NULL && !found && fread(&entry, sizeof(entry), 1, vector) == 1 && entry.a_type != AT_NULL) {
		found = entry.a_type == type;
		*value = entry.a_un.a_val;
	}
	if (vector != NULL)
		fclose(vector);
	return found;
}

/* ---- its files ----
 *
 * They may be on a file system of another user, who can have us wait for as long as they like: so a child opens them. */

struct files {
	int error; /* errno, of the object */
	unsigned char object[EI_NIDENT + 4];
	unsigned char program[EI_NIDENT + 4];
};

struct which {
	pid_t pid;
	const char *path; /* of the object, in the process's root */
};

static int read_beginning(const char *path, unsigned char *bytes, size_t size)
{
	int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (descriptor < 0)
		return errno;
	ssize_t length = read(descriptor, bytes, size);
	close(descriptor);
	return length == (ssize_t)size ? 0 : EIO;
}

static void read_files(int to, void *with)
{
	const struct which *which = with;
	struct files files = {0};
	char path[PATH_MOST + 64];

	snprintf(path, sizeof(path), "/proc/%d/root%s", (int)which->pid, which->path);
	files.error = read_beginning(path, files.object, sizeof(files.object));
	snprintf(path, sizeof(path), "/proc/%d/exe", (int)which->pid);
	if (read_beginning(path, files.program, sizeof(files.program)) != 0)
		memset(files.program, 0, sizeof(files.program));
	child_put(to, &files, sizeof(files));
}

static bool find_files(struct files *files, pid_t pid, const char *path)
{
	enum { CPU_MS = 100, WALL_MS = 1000 };
	struct which which = {.pid = pid, .path = path};
	struct child child;

	if (path[0] != '/' || !child_start(&child, CPU_MS, WALL_MS, -1, read_files, &which))
		return false;
	bool told = child_get(files, sizeof(*files), &child);
	child_end(&child);
	return told;
}

/* elf(5): class, byte order and machine. */
static bool same_architecture(const unsigned char *a, const unsigned char *b)
{
	return a[EI_CLASS] == b[EI_CLASS] && a[EI_DATA] == b[EI_DATA] && memcmp(a + EI_NIDENT + 2, b + EI_NIDENT + 2, 2) == 0;
}

/* ---- both ---- */

static void say_ignored(char *text, size_t size, pid_t pid, const char *path, bool loader)
{
	char shown[201];
	char said[256];
	struct files files;
	unsigned long value;
	const char *why;

	text_escape(shown, sizeof(shown), path, strlen(path));
	bool known = find_files(&files, pid, path);
	if (known && files.error != 0) {
		snprintf(said, sizeof(said), "which cannot be read: %s", strerror(files.error));
		why = said;
	} else if (known && files.program[0] != 0 && !same_architecture(files.object, files.program)) {
		why = "which is built for another architecture than the program";
	} else if (auxiliary(pid, AT_SECURE, &value) && value != 0) {
		why = "and the loader ignored it, as it does for what runs setuid, setgid or with file capabilities";
	} else if (!auxiliary(pid, AT_BASE, &value) || value == 0) {
		why = "but the program is statically linked: no loader runs, so nothing can be preloaded";
	} else if (!loader) {
		why = "but its loader is not glibc's, which alone can preload the object";
	} else {
		why = "and the loader ignored it: look for \"cannot be preloaded\" in what the program wrote when it started";
	}
	snprintf(text, size, "has no table: LD_PRELOAD names %s, %s", shown, why);
}

void process_why_no_table(char *text, size_t size, pid_t pid)
{
	char path[PATH_MOST + 1];
	struct mapped mapped;
	bool known = find_mapped(&mapped, pid);

	if (!known && errno == ENOENT)
		snprintf(text, size, "does not exist");
	else if (!known)
		snprintf(text, size, "belongs to another user: only that user and root may inspect it");
	else if (mapped.object)
		snprintf(text, size, "has no table: it has the preload object, but does not listen yet");
	else if (!named_object(pid, path))
		snprintf(
		    text, size,
		    "has no table: it was not started under connlimit: no LD_PRELOAD in its environment names %s (if it is "
		    "supervised, but has left the process that started it, name its table)",
		    object);
	else
		say_ignored(text, size, pid, path, mapped.loader);
}
