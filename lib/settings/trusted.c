#include "settings/trusted.h"

#include "values/door.h"
#include "values/text.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

__attribute__((noinline)) bool file_wrong(struct settings_error *error, const char *path, struct place place,
					  const char *problem)
{
	struct settings_error said;
	struct text text;

	text = text_begin(said.text, sizeof(said.text));
	text_add(&text, problem); /* copied first, as it may be in *error */
	text = text_begin(error->text, sizeof(error->text));
	text_add_path(&text, path);
	if (place.line > 0) {
		text_add(&text, ":");
		text_add_number(&text, place.line);
		text_add(&text, ":");
		text_add_number(&text, place.column);
	}
	error->place = strlen(error->text);
	text_add(&text, ": ");
	text_add(&text, said.text);
	return false;
}

static bool system_said(struct settings_error *error, const char *path, const char *what, int number)
{
	struct settings_error line;
	struct text text = text_begin(line.text, sizeof(line.text));
	const char *name = strerrordesc_np(number);

	text_add(&text, what);
	text_add(&text, ": ");
	text_add(&text, name != NULL ? name : "unknown error");
	return file_wrong(error, path, (struct place){0}, line.text);
}

/* Whoever can write to this file can set the limits: only root and the daemon's own user may. */
static const char *not_trusted(const struct stat *facts, off_t most)
{
	if (!S_ISREG(facts->st_mode))
		return "is not a regular file";
	if (facts->st_uid != 0 && facts->st_uid != door_geteuid())
		return "is ignored: it belongs neither to root nor to the daemon's user";
	if ((facts->st_mode & S_IWOTH) != 0)
		return "is ignored: others may write to it";
	if ((facts->st_mode & S_IWGRP) != 0 && facts->st_gid != 0 &&
	    facts->st_gid != (gid_t)door(SYS_getegid, 0, 0, 0, 0, 0, 0))
		return "is ignored: a foreign group may write to it";
	if (facts->st_size > most)
		return most > SETTINGS_FILE_MOST ? "is larger than 16777216 bytes" : "is larger than 1048576 bytes";
	return NULL;
}

/* Opening a device may have side effects. So the path is first opened with O_PATH and checked, and then that very file is
 * opened for reading. Without /proc the path is opened directly; O_NONBLOCK, as a FIFO must not wait for a writer. */
static int open_regular(const char *path)
{
	enum { FLAGS = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY };
	char again[32];
	struct stat facts;

	int looked_at = door_open(path, O_PATH | O_CLOEXEC);
	if (looked_at < 0 || door_fstat(looked_at, &facts) != 0 || !S_ISREG(facts.st_mode))
		return looked_at; /* reading or checking it fails */
	struct text name = text_begin(again, sizeof(again));
	text_add(&name, "/proc/self/fd/");
	text_add_number(&name, (uint64_t)looked_at);
	int descriptor = door_open(again, FLAGS);
	if (descriptor < 0)
		descriptor = door_open(path, FLAGS);
	int number = errno;
	door_close(looked_at);
	errno = number;
	return descriptor;
}

int trusted_open(const char *path, off_t most, bool *secret, struct settings_error *error)
{
	struct stat facts;
	int kept = errno;

	error->secret = false;
	int descriptor = open_regular(path);
	if (descriptor < 0) {
		system_said(error, path, "cannot be opened", errno);
		errno = kept;
		return -1;
	}
	const char *why = door_fstat(descriptor, &facts) == 0 ? not_trusted(&facts, most) : "cannot be examined";
	if (why != NULL) {
		door_close(descriptor);
		file_wrong(error, path, (struct place){0}, why);
		descriptor = -1;
	}
	*secret = why == NULL && (facts.st_mode & S_IROTH) == 0;
	errno = kept;
	return descriptor;
}

ssize_t trusted_read(int descriptor, char *buffer, size_t size, const char *path, struct settings_error *error)
{
	ssize_t length;

	do
		length = door_read(descriptor, buffer, size);
	while (length < 0 && errno == EINTR);
	if (length < 0)
		system_said(error, path, "cannot be read", errno);
	return length;
}
