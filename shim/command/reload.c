/* connlimit reload and set: new limits for a running daemon, without a signal. */
#include "command/command.h"
#include "command/tables.h"

#include "decisions/regroup.h"
#include "settings/settings.h"

#include <string.h>

static const char reload_help[] =
    "usage: connlimit reload [TABLE | PID | --all]\n"
    "\n"
    "Reads the daemon's file of limits again, as the reload signal does, but sends no\n"
    "signal. If anything in it is wrong, the old limits stand. TABLE may be left out\n"
    "if there is only one.\n"
    "\n"
    "  --all  the files of all daemons under limits that this user may change\n"
    "\n"
    "Exit status: 0 the limits of the file are in force; 1 no such table; 2 called\n"
    "wrongly, or several tables and none named; 75 others are publishing limits at\n"
    "this moment; 77 no such table among those that this user may read; 78 the file\n"
    "is wrong, or there is none\n";

static const char set_help[] =
    "usage: connlimit set [TABLE | PID | --all] NAME=VALUE...\n"
    "\n"
    "Changes settings of a running daemon, in all of its processes at once, until the\n"
    "next reload. If one of the values is wrong, none is changed. The names are those\n"
    "of 'connlimit run --help', as in\n"
    "\n"
    "  connlimit set nginx per-ip=20 mode=observe\n"
    "\n"
    "  --all  of all daemons under limits that this user may change\n"
    "\n"
    "Exit status: 0 in force; 1 no such table; 2 called wrongly, or several tables\n"
    "and none named; 75 others are publishing limits at this moment; 77 no such table\n"
    "among those that this user may read; 78 a setting is wrong\n";

static struct settings wanted;
static struct settings in_force;
static struct settings work;
static char file_text[SETTINGS_FILE_ROOM];

static int busy(const struct found *found, const char *what)
{
	fprintf(stderr, "connlimit: table %s: %s at this moment; try again\n", found->name, what);
	return STATUS_BUSY;
}

static int publish(struct found *found, uint64_t turn)
{
	return regroup_publish(&found->table, turn, &wanted) ? STATUS_DONE : busy(found, "others are publishing limits");
}

static int bad(const struct found *found, const char *what)
{
	fprintf(stderr, "connlimit: table %s: the old limits stand: %s\n", found->name, what);
	return STATUS_CONFIG;
}

/* The table may be written to by a worker without privileges, so a file that it names is not read with ours unless it is the
 * one that the daemon was started with as far as the table knows; and only as a file of limits, whose errors show no more than
 * one value of it. */
static int reload(struct found *found, void *with)
{
	struct table *table = &found->table;
	struct settings_error error;
	uint64_t turn = limits_turn(table);
	char path[PATH_MOST + 1];

	(void)with;
	if (!limits_start(table, &wanted))
		return busy(found, "the daemon is starting");
	memcpy(path, wanted.file, sizeof(path));
	if (path[0] == '\0') {
		fprintf(stderr,
			"connlimit: table %s: its daemon was started without a file of limits (CONNLIMIT_FILE); see 'connlimit "
			"set'\n",
			found->name);
		return STATUS_CONFIG;
	}
	if (!settings_from_file(&wanted, &work, file_text, path, &error)) {
		limits_failed(table, error.text);
		return bad(found, error.text);
	}
	if (!limits_copy(table, &in_force))
		return busy(found, "others are publishing limits");
	if (!settings_may_follow(&wanted, &in_force, &error))
		return bad(found, error.text);
	return publish(found, turn);
}

static const struct option options[] = {{"all", no_argument, NULL, 'a'}, {"help", no_argument, NULL, 'h'}, {0}};

int command_reload(int argc, char **argv)
{
	bool all = false;
	int option;

	while ((option = next_option(argc, argv, ":h", options)) != -1) {
		switch (option) {
		case 'a': all = true; break;
		case 'h': fputs(reload_help, stdout); return output_end();
		default: return STATUS_USAGE;
		}
	}
	if (!arguments_within(argc, argv, 0, all ? 0 : 1))
		return STATUS_USAGE;
	return tables_change(optind < argc ? argv[optind] : NULL, all, reload, NULL);
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

static int set(struct found *found, void *with)
{
	struct settings_error error;
	uint64_t turn = limits_turn(&found->table);

	if (!limits_copy(&found->table, &wanted))
		return busy(found, "others are publishing limits");
	for (char **assignment = with; *assignment != NULL; assignment++)
		if (!take(*assignment, &error))
			return bad(found, error.text);
	return publish(found, turn);
}

int command_set(int argc, char **argv)
{
	bool all = false;
	int option;

	while ((option = next_option(argc, argv, "+:h", options)) != -1) {
		switch (option) {
		case 'a': all = true; break;
		case 'h': fputs(set_help, stdout); return output_end();
		default: return STATUS_USAGE;
		}
	}
	const char *which = optind < argc && !all && strchr(argv[optind], '=') == NULL ? argv[optind++] : NULL;
	if (optind == argc)
		return usage_error("set", "NAME=VALUE is missing, as in: connlimit set%s%s per-ip=20", which != NULL ? " " : "",
				   which != NULL ? which : "");
	for (int i = optind; i < argc; i++)
		if (strchr(argv[i], '=') == NULL)
			return usage_error("set", "'%s' is not NAME=VALUE, as in per-ip=20", argv[i]);
	return tables_change(which, all, set, argv + optind);
}
