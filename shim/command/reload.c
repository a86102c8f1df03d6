/* connlimit reload and set: new limits for a running daemon, without a signal. */
#include "command.h"
#include "tables.h"

#include "../../lib/settings.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>

enum { USAGE = 2, NO_TABLE = 1 };

static struct settings wanted;
static struct settings in_force;
static struct settings work;
static char file_text[SETTINGS_FILE_MOST + 1];

static int publish(struct table *table, uint64_t turn)
{
	if (limits_publish(table, turn, &wanted))
		return 0;
	fprintf(stderr, "connlimit: others are publishing limits at this moment; try again\n");
	return EX_TEMPFAIL;
}

static int bad(const char *what)
{
	fprintf(stderr, "connlimit: the old limits stand: %s\n", what);
	return EX_CONFIG;
}

/* The table may be written to by a worker without privileges, so a file that it names is not read with ours unless it is the
 * one that the daemon was started with as far as the table knows; and only as a file of limits, whose errors show no more than
 * one value of it. */
static int reload(struct table *table)
{
	struct settings_error error;
	uint64_t turn = limits_turn(table);
	char path[PATH_MOST + 1];

	if (!limits_start(table, &wanted)) {
		fprintf(stderr, "connlimit: the daemon is starting at this moment; try again\n");
		return EX_TEMPFAIL;
	}
	memcpy(path, wanted.file, sizeof(path));
	if (path[0] == '\0') {
		fprintf(stderr,
			"connlimit: this daemon was started without a file of limits (CONNLIMIT_FILE); see 'connlimit set'\n");
		return EX_CONFIG;
	}
	if (!settings_from_file(&wanted, &work, file_text, path, &error)) {
		limits_failed(table, error.text);
		return bad(error.text);
	}
	if (!limits_copy(table, &in_force))
		return EX_TEMPFAIL;
	if (wanted.capacity != in_force.capacity || wanted.signal != in_force.signal)
		return bad("CONNLIMIT_CAPACITY and CONNLIMIT_SIGNAL cannot change while the daemon runs");
	return publish(table, turn);
}

int command_reload(int argc, char **argv)
{
	struct table table;

	if (argc > 2 || (argc == 2 && argv[1][0] == '-')) {
		fprintf(stderr, "usage: connlimit reload [TABLE]\n");
		return USAGE;
	}
	if (!tables_open(&table, argc == 2 ? argv[1] : NULL))
		return NO_TABLE;
	int status = reload(&table);
	table_look_away(&table);
	return status;
}

static bool take(const char *assignment, struct settings_error *error)
{
	size_t length = strcspn(assignment, "=");
	enum setting_id id = settings_find(assignment, length, error);

	if (id == SETTINGS)
		return false;
	if (settings_table[id].at_start_only) {
		snprintf(error->text, sizeof(error->text), "CONNLIMIT_%s cannot change while the daemon runs",
			 settings_table[id].name);
		return false;
	}
	return settings_set(&wanted, id, assignment + length + 1, strlen(assignment + length + 1), FROM_COMMAND, error);
}

int command_set(int argc, char **argv)
{
	struct settings_error error;
	struct table table;
	int first = argc > 1 && strchr(argv[1], '=') == NULL ? 2 : 1;

	for (int i = first; i < argc; i++)
		if (strchr(argv[i], '=') == NULL)
			first = argc;
	if (first >= argc || argv[1][0] == '-') {
		fprintf(stderr, "usage: connlimit set [TABLE] NAME=VALUE...    as in: connlimit set nginx per-ip=20\n");
		return USAGE;
	}
	if (!tables_open(&table, first == 2 ? argv[1] : NULL))
		return NO_TABLE;
	uint64_t turn = limits_turn(&table);
	int status = limits_copy(&table, &wanted) ? 0 : EX_TEMPFAIL;
	for (int i = first; i < argc && status == 0; i++)
		if (!take(argv[i], &error))
			status = bad(error.text);
	if (status == 0)
		status = publish(&table, turn);
	table_look_away(&table);
	return status;
}
