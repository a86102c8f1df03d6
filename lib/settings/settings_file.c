/* Reading the file of limits: systemd.exec(5), EnvironmentFile=. */
#include "settings/settings.h"
#include "settings/trusted.h"
#include "values/door.h"
#include "values/text.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct reading {
	const char *at;
	const char *end;
	const char *line_start;
	unsigned line;
};

static struct place place_of(const struct reading *reading)
{
	return (struct place){.line = reading->line, .column = (size_t)(reading->at - reading->line_start) + 1};
}

/* The length of the line end at this place: "\n", "\r\n", or the end of the text. 0 if there is none. */
static size_t line_end(const struct reading *reading)
{
	size_t left = (size_t)(reading->end - reading->at);

	if (left > 0 && reading->at[0] == '\n')
		return 1;
	return left > 1 && reading->at[0] == '\r' && reading->at[1] == '\n' ? 2 : 0;
}

static bool at_line_end(const struct reading *reading)
{
	return reading->at == reading->end || line_end(reading) > 0;
}

static void next_line(struct reading *reading)
{
	reading->at += line_end(reading);
	reading->line_start = reading->at;
	reading->line++;
}

/* Whether a backslash here continues the line. */
static bool goes_on(const struct reading *reading)
{
	struct reading behind = *reading;

	behind.at++;
	return *reading->at == '\\' && line_end(&behind) > 0;
}

static void continue_line(struct reading *reading)
{
	reading->at++;
	next_line(reading);
}

static void skip_blanks(struct reading *reading)
{
	while (reading->at < reading->end && (*reading->at == ' ' || *reading->at == '\t'))
		reading->at++;
}

/* A value while it is assembled from the text, without quotes, escaping backslashes and the line ends that they remove. */
struct value {
	char *bytes; /* NULL: only count, to find out where the byte numbered `length` comes from */
	size_t most;
	size_t length;
};

static bool is_full(const struct value *value)
{
	return value->bytes == NULL && value->length == value->most;
}

static void put(struct value *value, char c)
{
	if (value->bytes != NULL)
		value->bytes[value->length] = c;
	value->length++;
}

/* Reads a part in quotes. If the value is full before, stops before the closing quote. */
static const char *read_quoted(struct reading *reading, struct value *value)
{
	const struct reading begin = *reading;
	char quote = *reading->at++;
	bool comment = false; /* within a comment in RULES, in a value of several lines */

	while (reading->at < reading->end && *reading->at != quote) {
		char c = *reading->at;

		if (quote == '"' && goes_on(reading)) {
			if (comment)
				return "a comment cannot be continued with a backslash";
			continue_line(reading);
			continue;
		}
		if (is_full(value))
			return NULL;
		if (c == '\0')
			return "a NUL byte is not allowed";
		if (c == '\\' && quote == '"') {
			/* Inside double quotes a backslash escapes only these characters; before others it stands for itself
			 * (shell(1)). */
			reading->at++;
			if (reading->at < reading->end && memchr("\"\\$`", *reading->at, 4) != NULL)
				c = *reading->at++;
			put(value, c);
			continue;
		}
		if (c == '#' && reading->line > begin.line &&
		    (reading->at[-1] == ' ' || reading->at[-1] == '\t' || reading->at[-1] == '\n'))
			comment = true;
		put(value, c);
		reading->at++;
		if (c == '\n') {
			comment = false;
			reading->line++;
			reading->line_start = reading->at;
		}
	}
	if (reading->at == reading->end) {
		*reading = begin;
		return "a quote is not closed";
	}
	if (!is_full(value))
		reading->at++;
	return NULL;
}

/* Reads a value up to the end of the line, which it does not consume. NULL, or an error message for the place that was reached.
 */
static const char *read_value(struct reading *reading, struct value *value)
{
	size_t solid = 0; /* length without trailing blanks */

	skip_blanks(reading);
	while (reading->at < reading->end && (*reading->at == '"' || *reading->at == '\'')) {
		const char *problem = read_quoted(reading, value);
		if (problem != NULL || is_full(value))
			return problem;
		if (reading->at < reading->end && (*reading->at == ' ' || *reading->at == '\t')) {
			skip_blanks(reading);
			return at_line_end(reading) ? NULL : "more follows the quoted value (a comment has a line of its own)";
		}
	}
	solid = value->length;
	/* After an unquoted part, quotes are ordinary characters. */
	while (!at_line_end(reading)) {
		char c = *reading->at;

		if (goes_on(reading)) {
			continue_line(reading);
			continue;
		}
		if (is_full(value))
			return NULL;
		if (c == '\0')
			return "a NUL byte is not allowed";
		if (c == '\r')
			return "a carriage return is not allowed within a line";
		reading->at++;
		if (c == '\\') {
			if (reading->at == reading->end)
				return "nothing follows the backslash";
			c = *reading->at;
			if (c == '\0')
				return "a NUL byte is not allowed";
			reading->at++;
			put(value, c);
			solid = value->length;
			continue;
		}
		put(value, c);
		if (c != ' ' && c != '\t')
			solid = value->length;
	}
	if (!is_full(value))
		value->length = solid;
	return NULL;
}

/* Finds the place in the text of the value's byte numbered `position`, by reading the value again. */
static struct place place_in_value(const struct reading *begin, size_t position)
{
	struct reading reading = *begin;
	struct value value = {.most = position};

	read_value(&reading, &value);
	return place_of(&reading);
}

static bool take(struct settings *work, enum setting_id id, const char *value, size_t length, struct settings_error *error)
{
	error->position = 0;
	if (settings_table[id].not_in_file) {
		struct text line = text_begin(error->text, sizeof(error->text));
		text_add(&line, "CONNLIMIT_");
		text_add(&line, settings_table[id].name);
		text_add(&line, " says where this file or its table is, and cannot be set in the file");
		return false;
	}
	return settings_set(work, id, value, length, FROM_FILE, error);
}

/* Reads the name and the '=' after it. NULL, or an error message. */
static const char *read_name(struct reading *reading, const char **name, size_t *length)
{
	*name = reading->at;
	while (!at_line_end(reading) && *reading->at != '=')
		reading->at++;
	if (at_line_end(reading))
		return "a line is NAME=VALUE, a comment (# or ;), or empty";
	const char *end = reading->at++;
	while (end > *name && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	*length = (size_t)(end - *name);
	/* "export NAME=VALUE" is for shells and systemd does not read it, so it is an error. */
	for (const char *c = *name; c < end; c++)
		if (*c == ' ' || *c == '\t')
			return "the name before '=' has a blank in it (no 'export' here)";
	return *length > 0 ? NULL : "there is no name before '='";
}

static bool read_line(struct settings *work, const char *path, struct reading *reading, char *room,
		      struct settings_error *error)
{
	static const char ours[] = "CONNLIMIT_";
	struct place place = place_of(reading);
	struct value value = {.bytes = room};
	const char *name;
	size_t length;

	const char *problem = read_name(reading, &name, &length);
	if (problem != NULL)
		return file_wrong(error, path, place, problem);
	struct reading begin = *reading;
	skip_blanks(&begin);
	problem = read_value(reading, &value);
	if (problem != NULL)
		return file_wrong(error, path, place_of(reading), problem);
	if (length < sizeof(ours) - 1 || memcmp(name, ours, sizeof(ours) - 1) != 0)
		return !settings_meant(name, length, true, error) || file_wrong(error, path, place, error->text);
	enum setting_id id = settings_find(name, length, error);
	if (id == SETTINGS)
		return file_wrong(error, path, place, error->text);
	if (take(work, id, room, value.length, error))
		return true;
	return file_wrong(error, path, place_in_value(&begin, error->position), error->text);
}

static bool read_text(struct settings *work, const char *path, char *text, size_t length, struct settings_error *error)
{
	static const char mark[] =
	    "\xef\xbb\xbf"; /* some editors write it first, and the first limit must not get lost because of it */
	struct reading reading = {.at = text, .end = text + length, .line_start = text, .line = 1};

	if (length >= sizeof(mark) - 1 && memcmp(text, mark, sizeof(mark) - 1) == 0)
		reading.line_start = reading.at += sizeof(mark) - 1;
	for (;;) {
		skip_blanks(&reading);
		if (reading.at == reading.end)
			return true;
		if (*reading.at == '#' || *reading.at == ';') {
			/* A backslash does not continue a comment (in systemd since version 254). */
			while (!at_line_end(&reading))
				reading.at++;
		} else if (!at_line_end(&reading) && !read_line(work, path, &reading, text + length, error)) {
			return false;
		}
		if (reading.at < reading.end)
			next_line(&reading);
	}
}

bool settings_from_text(struct settings *settings, struct settings *work, const char *path, char *text, size_t length,
			struct settings_error *error)
{
	settings_copy(work, settings);
	if (!read_text(work, path, text, length, error) || !settings_agree(work, error))
		return false;
	settings_copy(settings, work);
	return true;
}

bool settings_from_file(struct settings *settings, struct settings *work, char *buffer, const char *path,
			struct settings_error *error)
{
	size_t length = 0;
	bool secret;
	int kept = errno;
	int descriptor = trusted_open(path, SETTINGS_FILE_MOST, &secret, error);

	if (descriptor < 0)
		return false;
	while (length <= SETTINGS_FILE_MOST) {
		ssize_t n = trusted_read(descriptor, buffer + length, SETTINGS_FILE_MOST + 1 - length, path, error);
		if (n < 0) {
			door_close(descriptor);
			errno = kept;
			return false;
		}
		if (n == 0)
			break;
		length += (size_t)n;
	}
	door_close(descriptor);
	errno = kept;
	if (length > SETTINGS_FILE_MOST)
		return file_wrong(error, path, (struct place){0}, "is larger than 1048576 bytes");
	if (settings_from_text(settings, work, path, buffer, length, error))
		return true;
	error->secret = secret;
	return false;
}
