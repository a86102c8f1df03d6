#include "command/supervise/follow.h"

#include "process/limiter.h"
#include "process/log.h"
#include "process/report.h"

#include "settings/lists.h"

#include <limits.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

static struct settings start;
static struct settings wanted;
static struct settings in_force;
static struct settings work;
static char file_text[SETTINGS_FILE_ROOM];
static struct rules_index listed;

static const char *name_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

/* Watches the directory, because editors replace the file. */
int follow_begin(const struct settings *settings)
{
	char directory[PATH_MOST + 3];

	settings_copy(&start, settings);
	if (start.file[0] == '\0')
		return -1;
	size_t length = (size_t)(name_of(start.file) - start.file);
	memcpy(directory, start.file, length);
	memcpy(directory + length, ".", 2);
	int descriptor = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (descriptor >= 0 &&
	    inotify_add_watch(descriptor, directory, IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE | IN_ATTRIB) >= 0)
		return descriptor;
	if (descriptor >= 0)
		close(descriptor);
	report("the file of limits cannot be watched (inotify): after a change, run 'connlimit reload'", NULL);
	return -1;
}

static void reread(void)
{
	struct table *table = limiter_table();
	struct settings_error error;
	uint64_t turn = limits_turn(table);
	char path[PATH_MOST + 1];

	settings_copy(&wanted, &start);
	memcpy(path, start.file, sizeof(path));
	if (!settings_from_file(&wanted, &work, file_text, path, &error) || !lists_read(&wanted, &listed, file_text, &error) ||
	    (limits_copy(table, &in_force) && !settings_may_follow(&wanted, &in_force, &error))) {
		limits_failed(table, &error);
		log_reload_failed(error.text);
	} else if (!limits_publish_listed(table, turn, &wanted, &listed)) {
		log_reload_failed("others are publishing at this moment");
	}
}

/* A new file has no content yet. A link is complete at once. */
static bool is_whole(uint32_t what)
{
	struct stat facts;

	return (what & IN_CREATE) == 0 || (lstat(start.file, &facts) == 0 && S_ISLNK(facts.st_mode));
}

void follow_heard(int descriptor)
{
	_Alignas(struct inotify_event) char buffer[4096];
	bool ours = false;
	ssize_t length;

	while ((length = read(descriptor, buffer, sizeof(buffer))) > 0)
		for (ssize_t at = 0; at < length;) {
			const struct inotify_event *event = (const struct inotify_event *)(buffer + at);

			ours |= event->len > 0 && strcmp(event->name, name_of(start.file)) == 0 && is_whole(event->mask);
			at += (ssize_t)sizeof(*event) + event->len;
		}
	if (ours)
		reread();
}
