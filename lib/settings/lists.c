#include "settings/lists.h"

#include "settings/settings_values.h"
#include "settings/trusted.h"
#include "values/door.h"
#include "values/heap.h"
#include "values/text.h"

#include <errno.h>
#include <string.h>

enum { LINE_MOST = 1000, PATH_ROOM = PATH_MOST + LIST_PATH_MOST + 2 };

_Static_assert(LISTS_ROOM >= PATH_ROOM + 4 * LINE_MOST, "a path, and many lines");

/* Until the index is made, `outer` of a network is its place in the file: the line (up to four million) and the column. */
enum { COLUMN_BITS = 10 };
_Static_assert(LINE_MOST < 1 << COLUMN_BITS, "a column");
_Static_assert(LIST_FILE_MOST < UINT32_C(1) << (32 - COLUMN_BITS + 3),
	       "lines; past the last that has room, the place is cut off");

struct reading {
	struct rules_index *listed;
	const char *path;
	uint16_t list; /* from 1 */
	unsigned line;
	struct settings_error *error;
};

static bool network_wrong(const struct reading *reading, const char *text, size_t length, size_t column, const char *problem,
			  const struct network *network)
{
	char meant[NETWORK_TEXT];
	char said[128];

	if (problem == network_has_more_bits) {
		struct text line = text_begin(said, sizeof(said));
		network_format(meant, network);
		text_add(&line, problem);
		text_add(&line, "; the network is ");
		text_add(&line, meant);
		problem = said;
	}
	reading->error->placed = true;
	value_wrong(reading->error, text, length, 0, problem,
		    "a network or an address per line, such as 192.0.2.0/24 or 2001:db8::/32; # begins a comment");
	return file_wrong(reading->error, reading->path, (struct place){reading->line, column}, reading->error->text);
}

static bool take_line(const struct reading *reading, const char *line, size_t length)
{
	struct rules_index *listed = reading->listed;
	struct network network = {.prefix = 0};
	const char *problem;
	size_t start = 0;
	size_t bad;

	for (size_t i = 0; i < length; i++)
		if (line[i] == '#' || line[i] == ';')
			length = i;
	while (start < length && is_blank(line[start]))
		start++;
	while (length > start && is_blank(line[length - 1]))
		length--;
	if (start == length)
		return true;
	if (!network_parse(&network, line + start, length - start, &problem, &bad))
		return network_wrong(reading, line + start, length - start, start + bad + 1, problem, &network);
	if (listed->networks == LISTED_MOST)
		return file_wrong(reading->error, reading->path, (struct place){reading->line, start + 1},
				  "is one network too many: all lists together have at most 100000");
	listed->network[listed->networks++] =
	    (struct rules_network){.address = network.address,
				   .prefix = network.prefix,
				   .ipv6 = network.prefix == 0,
				   .list = reading->list,
				   .outer = reading->line << COLUMN_BITS | (uint32_t)(start + 1)};
	return true;
}

/* Takes the complete lines; with `end`, the last one is complete. Moves the rest to the beginning of the buffer and sets *have
 * to its length. */
static bool take_lines(struct reading *reading, char *buffer, size_t *have, bool end)
{
	size_t at = 0;

	while (at < *have) {
		const char *stop = memchr(buffer + at, '\n', *have - at);
		size_t length = stop != NULL ? (size_t)(stop - buffer) - at : *have - at;

		if (length > LINE_MOST)
			return file_wrong(reading->error, reading->path, (struct place){reading->line, LINE_MOST + 1},
					  "a line has more than 1000 bytes");
		if (stop == NULL && !end)
			break;
		if (!take_line(reading, buffer + at, length))
			return false;
		reading->line++;
		at += length + (stop != NULL ? 1 : 0);
	}
	*have -= at;
	memmove(buffer, buffer + at, *have);
	return true;
}

static bool read_list(struct reading *reading, char *buffer, size_t size)
{
	size_t have = 0;
	bool good = true;
	bool secret;
	bool end = false;
	int kept = errno;
	int descriptor = trusted_open(reading->path, LIST_FILE_MOST, &secret, reading->error);

	if (descriptor < 0)
		return false;
	while (good && !end) {
		ssize_t n = trusted_read(descriptor, buffer + have, size - have, reading->path, reading->error);

		good = n >= 0;
		have += good ? (size_t)n : 0;
		end = n == 0;
		if (good && !take_lines(reading, buffer, &have, end)) {
			reading->error->secret = secret;
			good = false;
		}
	}
	door_close(descriptor);
	errno = kept;
	return good;
}

/* A relative path starts at the directory of the file of limits. */
static bool find_path(char *path, const struct settings *settings, const char *named, struct settings_error *error)
{
	const char *slash = strrchr(settings->file, '/');
	size_t directory = named[0] != '/' && slash != NULL ? (size_t)(slash - settings->file) + 1 : 0;
	struct text text = text_begin(error->text, sizeof(error->text));

	if (named[0] != '/' && slash == NULL) {
		text_add(&text, "CONNLIMIT_RULES: the list ");
		text_add_quoted(&text, named, strlen(named));
		text_add(&text, " has a relative path, and there is no file of limits; allowed: an absolute path");
		error->secret = false;
		error->place = 0;
		return false;
	}
	memcpy(path, settings->file, directory);
	memcpy(path + directory, named, strlen(named) + 1);
	return true;
}

/* ---- what was read ---- */

static int by_place(const struct rules_network *a, const struct rules_network *b)
{
	int order = rules_order(a, b);

	return order != 0 ? order : a->list != b->list ? (int)a->list - (int)b->list : a->outer < b->outer ? -1 : 1;
}

static bool before(const void *items, size_t a, size_t b)
{
	const struct rules_network *network = items;

	return by_place(&network[a], &network[b]) < 0;
}

static void swap(void *items, size_t a, size_t b)
{
	struct rules_network *network = items;
	struct rules_network moved = network[a];

	network[a] = network[b];
	network[b] = moved;
}

static void sort(struct rules_index *listed)
{
	uint32_t sorted = 1;

	while (sorted < listed->networks && by_place(&listed->network[sorted - 1], &listed->network[sorted]) < 0)
		sorted++;
	if (sorted < listed->networks)
		heap_sort(&(struct heap){.before = before, .swap = swap, .items = listed->network}, listed->networks);
}

static bool each_once(const struct settings *settings, struct rules_index *listed, char *path, struct settings_error *error)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < listed->networks; i++) {
		const struct rules_network *network = &listed->network[i];
		const struct rules_network *last = kept > 0 ? &listed->network[kept - 1] : NULL;

		if (last == NULL || rules_order(last, network) != 0) {
			listed->network[kept++] = *network;
		} else if (last->list != network->list) {
			struct place place = {network->outer >> COLUMN_BITS, network->outer & ((1U << COLUMN_BITS) - 1)};
			const char *other = settings->list[last->list - 1].path;

			if (!find_path(path, settings, settings->list[network->list - 1].path, error))
				return false;
			struct text text = text_begin(error->text, sizeof(error->text));
			text_add(&text, "the network is in the list ");
			text_add_quoted(&text, other, strlen(other));
			text_add(&text, " too; allowed: each in one list");
			return file_wrong(error, path, place, error->text);
		}
	}
	listed->networks = kept;
	return true;
}

bool lists_read(const struct settings *settings, struct rules_index *listed, char *buffer, struct settings_error *error)
{
	char *path = buffer + LISTS_ROOM - PATH_ROOM;

	listed->networks = 0;
	for (uint32_t i = 0; i < settings->lists && i < LISTS_MOST; i++) {
		struct reading reading = {.listed = listed, .path = path, .list = (uint16_t)(i + 1), .line = 1, .error = error};

		if (!find_path(path, settings, settings->list[i].path, error) ||
		    !read_list(&reading, buffer, LISTS_ROOM - PATH_ROOM))
			return false;
	}
	sort(listed);
	return each_once(settings, listed, path, error);
}
