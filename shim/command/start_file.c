#include "command/start_file.h"

#include "command/facts.h"
#include "command/nobody.h"

#include "settings/lists.h"
#include "settings/start.h"
#include "values/text.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { GROUPS_MOST = 256, PAGES_MOST = 256, CPU_MS = 1000, WALL_MS = 5000 };

/* A process of the daemon. Its directory in /proc is kept open, so that it cannot become another process's. */
struct process {
	int directory;
	uid_t user;
	gid_t group;
	gid_t groups[GROUPS_MOST];
	size_t number;
	char file[PATH_MOST + 1];
};

/* ---- in /proc ---- */

static FILE *open_text(int directory, const char *name)
{
	int descriptor = openat(directory, name, O_RDONLY | O_CLOEXEC);
	FILE *file = descriptor >= 0 ? fdopen(descriptor, "r") : NULL;

	if (file == NULL && descriptor >= 0)
		close(descriptor);
	return file;
}

static void read_groups(struct process *process, const char *list)
{
	char *end;

	for (process->number = 0; process->number < GROUPS_MOST; process->number++, list = end) {
		unsigned long group = strtoul(list, &end, 10);
		if (end == list)
			return;
		process->groups[process->number] = (gid_t)group;
	}
}

/* Finds out whose process it is, from proc_pid_status(5); the directory's owner is root after a change of user. If a process
 * has several users, the one who is not root counts. */
static bool is_of(struct process *process, uid_t owner, bool anybody)
{
	FILE *status = open_text(process->directory, "status");
	char line[8192];
	unsigned id[4];
	bool good = false;

	if (status == NULL)
		return false;
	while (fgets(line, sizeof(line), status) != NULL) {
		if (sscanf(line, "Uid: %u %u %u %u", &id[0], &id[1], &id[2], &id[3]) == 4) {
			good = anybody || id[0] == owner || id[1] == owner || id[2] == owner || id[3] == owner;
			process->user = id[0];
			for (int i = 1; i < 4 && process->user == 0; i++)
				process->user = id[i];
		} else if (sscanf(line, "Gid: %u %u", &id[0], &id[1]) == 2) {
			process->group = id[1];
		} else if (strncmp(line, "Groups:", 7) == 0) {
			read_groups(process, line + 7);
		}
	}
	fclose(status);
	return good;
}

/* Looks for the page among read-only mappings of the process's own that are one page long. */
static bool find_file(struct process *process)
{
	const uint64_t one = (uint64_t)sysconf(_SC_PAGESIZE);
	FILE *maps = open_text(process->directory, "maps");
	int memory = openat(process->directory, "mem", O_RDONLY | O_CLOEXEC);
	char *line = NULL;
	size_t size = 0;
	unsigned pages = 0;
	bool found = false;

	while (maps != NULL && memory >= 0 && !found && getline(&line, &size, maps) > 0) {
		uint64_t from;
		uint64_t to;
		int end = 0;
		struct start_page page;

		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " r--p 00000000 00:00 0 %n", &from, &to, &end) != 2 || end == 0 ||
		    to - from != one || pages++ >= PAGES_MOST)
			continue;
		found = pread(memory, &page, sizeof(page), (off_t)from) == (ssize_t)sizeof(page) &&
			strncmp(page.mark, START_MARK, sizeof(page.mark)) == 0;
		if (found)
			memcpy(process->file, page.file, sizeof(process->file));
	}
	process->file[PATH_MOST] = '\0';
	free(line);
	if (maps != NULL)
		fclose(maps);
	if (memory >= 0)
		close(memory);
	return found && process->file[0] != '\0';
}

enum search { FOUND, NONE_TO_BE_ASKED, NO_FILE };

static enum search find_process_of(struct process *process, const struct place *place, bool anybody)
{
	enum search best = NONE_TO_BE_ASKED;

	for (size_t i = 0; i < place->pids; i++) {
		char path[32];

		snprintf(path, sizeof(path), "/proc/%d", (int)place->pid[i]);
		process->directory = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (process->directory < 0)
			continue;
		if (is_of(process, place->owner, anybody)) {
			best = NO_FILE;
			if (find_file(process))
				return FOUND;
		}
		close(process->directory);
	}
	return best;
}

/* Some daemons give up their first user in all processes. What such a process says is read with no more than its own rights,
 * and written to a table that it can write to anyway. */
static enum search find_process(struct process *process, const struct place *place)
{
	enum search of_owner = find_process_of(process, place, false);

	return of_owner != NONE_TO_BE_ASKED ? of_owner : find_process_of(process, place, true);
}

/* ---- in a child that is the daemon's user ---- */

struct task {
	struct process process;
	struct settings settings;
	struct settings work;
	struct rules_index listed;
	struct settings_error error;
	char text[SETTINGS_FILE_ROOM];
	int to;
};

/* Enters the daemon's root and directory, so that a path means the same as to the daemon. */
static bool go_there(const struct process *process)
{
	int root = openat(CHILD_KEPT, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int directory = openat(CHILD_KEPT, "cwd", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (geteuid() == 0 && (root < 0 || fchdir(root) != 0 || chroot(".") != 0))
		return false;
	return directory >= 0 ? fchdir(directory) == 0 : process->file[0] == '/';
}

static bool put(const void *piece, size_t size, void *with)
{
	const struct task *task = with;

	return child_put(task->to, piece, size);
}

/* Relative to the path that the process keeps, whatever its table says. */
static bool read_lists(struct task *task)
{
	char kept[PATH_MOST + 1];

	memcpy(kept, task->settings.file, sizeof(kept));
	memcpy(task->settings.file, task->process.file, sizeof(task->settings.file));
	bool good = lists_read(&task->settings, &task->listed, task->text, &task->error);
	memcpy(task->settings.file, kept, sizeof(kept));
	return good;
}

static void read_file(int to, void *with)
{
	struct task *task = with;
	struct process *process = &task->process;
	struct settings_error *error = &task->error;
	char good = 0;

	task->to = to;
	if (!go_there(process) || !become_user(process->user, process->group, process->groups, process->number))
		snprintf(error->text, sizeof(error->text), "cannot become the daemon's user: %s", strerror(errno));
	else
		good = settings_from_file(&task->settings, &task->work, task->text, process->file, error) && read_lists(task)
			   ? 1
			   : 0;
	if (!put(&good, 1, task))
		return;
	if (good != 0 && facts_put_settings(&task->settings, put, task))
		put(&task->listed, offsetof(struct rules_index, network) + task->listed.networks * sizeof(struct rules_network),
		    task);
	if (good == 0)
		put(error, sizeof(*error), task);
}

/* ---- in the command ---- */

static void check_error(struct settings_error *error)
{
	char raw[sizeof(error->text)];
	unsigned char secret;

	memcpy(&secret, &error->secret, 1);
	error->secret = secret != 0;
	memcpy(raw, error->text, sizeof(raw));
	text_escape(error->text, sizeof(error->text), raw, sizeof(raw));
	error->place = error->place < sizeof(error->text) ? error->place : 0;
}

static bool take_lists(struct rules_index *listed, struct child *child)
{
	return child_get(listed, offsetof(struct rules_index, network), child) && listed->networks <= LISTED_MOST &&
	       child_get(listed->network, listed->networks * sizeof(struct rules_network), child);
}

static bool ask_child(struct task *task, struct settings *settings, struct rules_index *listed, struct settings_error *error)
{
	struct child child;
	char good = 0;

	if (!child_start(&child, CPU_MS, WALL_MS, task->process.directory, read_file, task)) {
		snprintf(error->text, sizeof(error->text), "the file cannot be read: %s", strerror(errno));
		return false;
	}
	bool told = child_get(&good, 1, &child) &&
		    (good != 0 ? facts_take_settings(settings, child_get, &child) && take_lists(listed, &child)
			       : child_get(error, sizeof(*error), &child));
	const char *died = child_end(&child);
	if (told && good == 0)
		check_error(error);
	if (!told)
		snprintf(error->text, sizeof(error->text), "the file cannot be read: %s",
			 died != NULL ? died : "there was no answer");
	return told && good != 0;
}

bool start_file_read(const struct place *place, struct settings *settings, struct rules_index *listed,
		     struct settings_error *error)
{
	struct task *task = calloc(1, sizeof(*task));
	bool good = false;

	*error = (struct settings_error){.text = "out of memory"};
	if (task == NULL)
		return false;
	switch (find_process(&task->process, place)) {
	case FOUND:
		settings_copy(&task->settings, settings);
		good = ask_child(task, settings, listed, error);
		close(task->process.directory);
		break;
	case NONE_TO_BE_ASKED:
		snprintf(error->text, sizeof(error->text),
			 "no process of the daemon can tell which file of limits it was started with: name the file with "
			 "--file");
		break;
	case NO_FILE:
		snprintf(
		    error->text, sizeof(error->text),
		    "this daemon was started without a file of limits (CONNLIMIT_FILE); see 'connlimit set', or name one with "
		    "--file");
		break;
	}
	free(task);
	return good;
}
