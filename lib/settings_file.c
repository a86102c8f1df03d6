/* Reading the file of limits: systemd.exec(5), EnvironmentFile=. */
#include "settings.h"
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool file_wrong(struct settings_error *error, const char *path, unsigned line, const char *problem)
{
	struct settings_error said;
	struct text text;

	text = text_begin(said.text, sizeof(said.text));
	text_add(&text, problem); /* a copy: it may be in *error */
	text = text_begin(error->text, sizeof(error->text));
	text_add_path(&text, path);
	if (line > 0) {
		text_add(&text, ":");
		text_add_number(&text, line);
	}
	text_add(&text, ": ");
	text_add(&text, said.text);
	return false;
}

struct reading {
	const char *at;
	const char *end;
	unsigned line;
};

static bool at_line_end(const struct reading *reading)
{
	return reading->at == reading->end || *reading->at == '\n';
}

static void skip_line(struct reading *reading)
{
	/* A comment does not go on after a backslash. */
	while (!at_line_end(reading))
		reading->at++;
}

static void skip_blanks(struct reading *reading)
{
	while (reading->at < reading->end && (*reading->at == ' ' || *reading->at == '\t' || *reading->at == '\r'))
		reading->at++;
}

/* One value, quotes and backslashes undone, into `value`; at most `room` bytes. NULL, or what is wrong. A value may span lines,
 * in quotes or after a backslash. */
static const char *read_value(struct reading *reading, char *value, size_t room, size_t *length)
{
	char quote = '\0';
	size_t n = 0;
	size_t solid = 0; /* length without blanks at the end that stand outside quotes */

	skip_blanks(reading);
	while (reading->at < reading->end) {
		char c = *reading->at;
		bool kept = quote != '\0';

		if (c == '\n' && quote == '\0')
			break;
		if (c == '\0')
			return "a NUL byte is not allowed";
		reading->at++;
		if (c == '\n')
			reading->line++;
		if (quote == '\0' && (c == '"' || c == '\'')) {
			quote = c;
			solid = n;
			continue;
		}
		if (quote != '\0' && c == quote) {
			quote = '\0';
			solid = n;
			continue;
		}
		if (c == '\\' && quote != '\'' && reading->at < reading->end) {
			char next = *reading->at;
			if (next == '\n') {
				reading->at++;
				reading->line++;
				continue;
			}
			/* In double quotes a backslash stands before what it protects, and is itself before anything else
			 * (shell(1)). */
			if (quote == '\0' || next == '"' || next == '\\' || next == '$' || next == '`') {
				c = next;
				reading->at++;
				kept = true;
			}
		}
		if (n >= room)
			return "the value is too long";
		value[n++] = c;
		if (kept || (c != ' ' && c != '\t' && c != '\r'))
			solid = n;
	}
	if (quote != '\0')
		return "a quote is not closed";
	*length = solid;
	return NULL;
}

static bool take(struct settings *work, enum setting_id id, const char *value, size_t length, struct settings_error *error)
{
	if (settings_table[id].not_in_file) {
		struct text line = text_begin(error->text, sizeof(error->text));
		text_add(&line, "CONNLIMIT_");
		text_add(&line, settings_table[id].name);
		text_add(&line, " says where this file or its table is, and cannot be set in the file");
		return false;
	}
	return settings_set(work, id, value, length, FROM_FILE, error);
}

/* Values are gathered in the text's own room: undoing quotes never makes them longer, so they are written over what was read.
 */
static bool read_text(struct settings *work, const char *path, char *text, size_t length, struct settings_error *error)
{
	static const char ours[] = "CONNLIMIT_";
	static const char mark[] = "\xef\xbb\xbf"; /* which some editors put first; the first limit must not fall away for it */
	struct reading reading = {.at = text, .end = text + length, .line = 1};

	if (length >= sizeof(mark) - 1 && memcmp(text, mark, sizeof(mark) - 1) == 0)
		reading.at += sizeof(mark) - 1;
	for (;;) {
		skip_blanks(&reading);
		if (reading.at == reading.end)
			return true;
		if (*reading.at == '\n') {
			reading.at++;
			reading.line++;
			continue;
		}
		if (*reading.at == '#' || *reading.at == ';') {
			skip_line(&reading);
			continue;
		}
		unsigned line = reading.line;
		const char *name = reading.at;
		while (!at_line_end(&reading) && *reading.at != '=')
			reading.at++;
		if (at_line_end(&reading))
			return file_wrong(error, path, line, "a line is NAME=VALUE, a comment (# or ;), or empty");
		const char *name_end = reading.at++;
		/* "export NAME=VALUE" is for shells, systemd does not read it; say so rather than pass it over. */
		while (name_end > name && (name_end[-1] == ' ' || name_end[-1] == '\t'))
			name_end--;
		for (const char *c = name; c < name_end; c++)
			if (*c == ' ' || *c == '\t')
				return file_wrong(error, path, line,
						  "the name before '=' has a blank in it (no 'export' here)");
		char *value = text + (reading.at - text);
		size_t value_length = 0;
		const char *problem = read_value(&reading, value, (size_t)(reading.end - value), &value_length);
		if (problem != NULL)
			return file_wrong(error, path, line, problem);
		if ((size_t)(name_end - name) < sizeof(ours) - 1 || memcmp(name, ours, sizeof(ours) - 1) != 0)
			continue;
		enum setting_id id = settings_find(name, (size_t)(name_end - name), error);
		if (id == SETTINGS || !take(work, id, value, value_length, error))
			return file_wrong(error, path, line, error->text);
	}
}

bool settings_from_text(struct settings *settings, struct settings *work, const char *path, char *text, size_t length,
			struct settings_error *error)
{
	settings_copy(work, settings);
	if (!read_text(work, path, text, length, error))
		return false;
	settings_copy(settings, work);
	return true;
}

static bool system_said(struct settings_error *error, const char *path, const char *what, int number)
{
	struct settings_error line;
	struct text text = text_begin(line.text, sizeof(line.text));
	const char *name = strerrordesc_np(number);

	text_add(&text, what);
	text_add(&text, ": ");
	text_add(&text, name != NULL ? name : "unknown error");
	return file_wrong(error, path, 0, line.text);
}

/* Who may write this file may set the limits: only root and the daemon's own user. */
static const char *not_trusted(const struct stat *facts)
{
	if (!S_ISREG(facts->st_mode))
		return "is not a regular file";
	if (facts->st_uid != 0 && facts->st_uid != geteuid())
		return "is ignored: it belongs neither to root nor to the daemon's user";
	if ((facts->st_mode & S_IWOTH) != 0)
		return "is ignored: others may write to it";
	if ((facts->st_mode & S_IWGRP) != 0 && facts->st_gid != 0 && facts->st_gid != getegid())
		return "is ignored: a foreign group may write to it";
	if (facts->st_size > SETTINGS_FILE_MOST)
		return "is larger than 1048576 bytes";
	return NULL;
}

bool settings_from_file(struct settings *settings, struct settings *work, char *buffer, const char *path,
			struct settings_error *error)
{
	struct stat facts;
	size_t length = 0;
	int kept = errno;

	/* O_NONBLOCK: opening a FIFO must not wait for a writer. */
	int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (descriptor < 0) {
		bool said = system_said(error, path, "cannot be opened", errno);
		errno = kept;
		return said;
	}
	const char *why = fstat(descriptor, &facts) == 0 ? not_trusted(&facts) : "cannot be examined";
	if (why != NULL) {
		close(descriptor);
		errno = kept;
		return file_wrong(error, path, 0, why);
	}
	while (length <= SETTINGS_FILE_MOST) {
		ssize_t n = read(descriptor, buffer + length, SETTINGS_FILE_MOST + 1 - length);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			int number = errno;
			close(descriptor);
			errno = kept;
			return system_said(error, path, "cannot be read", number);
		}
		if (n == 0)
			break;
		length += (size_t)n;
	}
	close(descriptor);
	errno = kept;
	if (length > SETTINGS_FILE_MOST)
		return file_wrong(error, path, 0, "is larger than 1048576 bytes");
	return settings_from_text(settings, work, path, buffer, length, error);
}
