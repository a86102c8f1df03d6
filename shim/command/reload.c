/* connlimit reload and set: new limits for a running daemon, without a signal. */
#include "command/command.h"
#include "command/tables.h"

#include "decisions/regroup.h"
#include "settings/settings.h"

#include <string.h>

static const char reload_help[] =
    "usage: connlimit reload [TABLE | PID]\n"
    "\n"
    "Reads the daemon's file of limits again, as the reload signal does, without a\n"
    "signal. If anything in it is wrong, the old limits stand. TABLE may be left out\n"
    "where there is only one.\n"
    "\n"
    "Exit status: 0 the limits of the file are in force; 1 no such table; 2 called\n"
    "wrongly, or several tables and none named; 75 others are publishing limits at\n"
    "this moment; 77 no such table among those that this user may read; 78 the file\n"
    "is wrong, or there is none\n";

static const char set_help[] =
    "usage: connlimit set [TABLE | PID] NAME=VALUE...\n"
    "\n"
    "Changes settings of a running daemon, in all of its processes at once, until the\n"
    "next reload: all that are given, or if one of them is wrong, none. The names are\n"
    "those of 'connlimit run --help', as in\n"
    "\n"
    "  connlimit set nginx per-ip=20 mode=observe\n"
    "\n"
    "Exit status: 0 in force; 1 no such table; 2 called wrongly, or several tables\n"
    "and none named; 75 others are publishing limits at this moment; 77 no such table\n"
    "among those that this user may read; 78 a setting is wrong\n";

static struct settings wanted;
static struct settings in_force;
static struct settings work;
static char file_text[SETTINGS_FILE_ROOM];

static int publish(struct table *table, uint64_t turn)
{
	if (regroup_publish(table, turn, &wanted))
		return 0;
	fprintf(stderr, "connlimit: others are publishing limits at this moment; try again\n");
	return STATUS_BUSY;
}

static int bad(const char *what)
{
	fprintf(stderr, "connlimit: the old limits stand: %s\n", what);
	return STATUS_CONFIG;
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
		return STATUS_CONFIG;
	}
	if (!settings_from_file(&wanted, &work, file_text, path, &error)) {
		limits_failed(table, error.text);
		return bad(error.text);
	}
	if (!limits_copy(table, &in_force))
		return STATUS_BUSY;
	if (!settings_may_follow(&wanted, &in_force, &error))
		return bad(error.text);
	return publish(table, turn);
}

int command_reload(int argc, char **argv)
{
	static const struct option options[] = {{"help", no_argument, NULL, 'h'}, {0}};
	struct table table;
	int option;

	while ((option = next_option(argc, argv, ":h", options)) != -1) {
		if (option != 'h')
			return STATUS_USAGE;
		fputs(reload_help, stdout);
		return output_end();
	}
	if (!arguments_within(argc, argv, 0, 1))
		return STATUS_USAGE;
	int status = tables_open(&table, optind < argc ? argv[optind] : NULL);
	if (status != 0)
		return status;
	status = reload(&table);
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
	static const struct option options[] = {{"help", no_argument, NULL, 'h'}, {0}};
	struct settings_error error;
	struct table table;
	int option;

	while ((option = next_option(argc, argv, "+:h", options)) != -1) {
		if (option != 'h')
			return STATUS_USAGE;
		fputs(set_help, stdout);
		return output_end();
	}
	const char *which = optind < argc && strchr(argv[optind], '=') == NULL ? argv[optind++] : NULL;
	if (optind == argc)
		return usage_error("set", "NAME=VALUE is missing, as in: connlimit set%s%s per-ip=20", which != NULL ? " " : "",
				   which != NULL ? which : "");
	for (int i = optind; i < argc; i++)
		if (strchr(argv[i], '=') == NULL)
			return usage_error("set", "'%s' is not NAME=VALUE, as in per-ip=20", argv[i]);
	int status = tables_open(&table, which);
	if (status != 0)
		return status;
	uint64_t turn = limits_turn(&table);
	status = limits_copy(&table, &wanted) ? 0 : STATUS_BUSY;
	for (int i = optind; i < argc && status == 0; i++)
		if (!take(argv[i], &error))
			status = bad(error.text);
	if (status == 0)
		status = publish(&table, turn);
	table_look_away(&table);
	return status;
}
