/* connlimit reload and set: new limits for a running daemon, without a signal. */
#include "command/command.h"
#include "command/start_file.h"
#include "command/tables.h"
#include "command/writer.h"

#include "decisions/regroup.h"
#include "settings/lists.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

static const char reload_help[] =
    "usage: connlimit reload [--file FILE] [TABLE | PID | --all]\n"
    "\n"
    "Reads the daemon's file of limits again, as the reload signal does, but sends no\n"
    "signal. If anything in it is wrong, the old limits stay in effect. TABLE may be\n"
    "left out if there is only one.\n"
    "\n"
    "  --file FILE  read FILE, as you; by default the file that the daemon was\n"
    "               started with is read, as the daemon's user\n"
    "  --all        do so for all limited daemons that this user may change\n"
    "\n"
    "Exit status: 0 the file's limits are in effect; 1 no such table; 2 called\n"
    "wrongly, or several tables and none named; 75 others are publishing limits at\n"
    "this moment; 77 no such table among those that this user may read; 78 the file\n"
    "is wrong, or there is none\n";

static const char set_help[] =
    "usage: connlimit set [TABLE | PID | --all] NAME=VALUE...\n"
    "\n"
    "Changes settings of a running daemon, in all of its processes at once, until the\n"
    "next reload. If one of the values is wrong, none is changed. 'connlimit run\n"
    "--help' lists the names. Example:\n"
    "\n"
    "  connlimit set nginx per-ip=20 mode=observe\n"
    "\n"
    "  --all  do so for all limited daemons that this user may change\n"
    "\n"
    "Exit status: 0 in effect; 1 no such table; 2 called wrongly, or several tables\n"
    "and none named; 75 others are publishing limits at this moment; 77 no such table\n"
    "among those that this user may read; 78 a setting is wrong\n";

static struct settings wanted;
static struct settings work;
static struct rules_index read_lists;	 /* the lists of `wanted` */
static const struct rules_index *listed; /* NULL: keep those in force */
static char file_text[SETTINGS_FILE_ROOM];

static int busy(const struct table_view *view, const char *what)
{
	fprintf(stderr, "connlimit: table %s: %s at this moment; try again\n", view->name, what);
	return STATUS_BUSY;
}

static int bad(const struct table_view *view, const char *what)
{
	fprintf(stderr, "connlimit: table %s: the old limits stand: %s\n", view->name, what);
	return STATUS_CONFIG;
}

/* ---- writing ---- */

enum written { WRITTEN, CHANGED_MEANWHILE, OTHERS_PUBLISH };

struct writing {
	uint64_t publications;		      /* when it was read */
	const struct settings_error *failure; /* to be recorded; NULL to publish `wanted` */
};

static int write_table(struct table *table, const void *with)
{
	const struct writing *writing = with;
	struct limits limits;

	if (writing->failure != NULL) {
		limits_failed(table, writing->failure);
		return WRITTEN;
	}
	/* The settings that were read and changed must still be in force. */
	limits_read(table, &limits);
	if (limits.version >> 2 != writing->publications)
		return CHANGED_MEANWHILE;
	return regroup_publish_listed(table, limits_turn(table), &wanted, listed) ? WRITTEN : OTHERS_PUBLISH;
}

static int write_in_child(const struct table_view *view, const struct settings_error *failure)
{
	struct writing writing = {.publications = view->publications, .failure = failure};

	return writer_write(view, write_table, &writing);
}

/* ---- one change ---- */

/* Changes `wanted`, which starts as what is in force or what the daemon was started with. Returns the exit status. */
typedef int change_limit(const struct table_view *view, void *with);

static int change_one(const struct table_view *view, change_limit *change, void *with, bool *again)
{
	int status = change(view, with);

	*again = false;
	if (status != 0)
		return status;
	switch (write_in_child(view, NULL)) {
	case WRITTEN: return STATUS_DONE;
	case NOT_WRITTEN: return writer_failed(view);
	default: *again = true; return STATUS_BUSY;
	}
}

/* The tables that were changed in an earlier attempt. */
struct done {
	struct place *place;
	size_t number;
};

static bool is_done(struct done *done, const struct place *place)
{
	for (size_t i = 0; i < done->number; i++)
		if (done->place[i].memory == place->memory && done->place[i].id == place->id)
			return true;
	return false;
}

static void note_done(struct done *done, const struct place *place)
{
	struct place *larger = realloc(done->place, (done->number + 1) * sizeof(*larger));

	if (larger == NULL)
		return;
	done->place = larger;
	done->place[done->number++] = *place;
}

/* Changes the limits of the table, or of all, and tries again while others publish in between. */
static int change_limits(const char *which, bool all, change_limit *change, void *with)
{
	enum { TRIES = 8 };
	struct done done = {0};
	int highest = STATUS_DONE;
	bool again = true;

	for (int try = 0; try < TRIES && again; try++) {
		struct tables tables;
		int status = tables_choose(&tables, &(struct wanted){.which = which, .start = true}, all);

		again = false;
		if (try == 0 && status == 0)
			tables_say_unread(&tables, which);
		highest = status > highest ? status : highest;
		for (int i = 0; i < tables.number && status == 0; i++) {
			const struct table_view *view = &tables.view[i];
			bool changed = false;

			if (is_done(&done, &view->place))
				continue;
			int ended = change_one(view, change, with, &changed);
			again |= changed;
			if (!changed)
				note_done(&done, &view->place);
			else if (try == TRIES - 1)
				busy(view, "others are publishing limits");
			else
				continue;
			highest = ended > highest ? ended : highest;
		}
		tables_free(&tables);
	}
	free(done.place);
	return highest;
}

/* Reads a file that the caller names, and its lists. */
static bool read_named(const char *path, struct settings_error *error)
{
	static char kept[PATH_MOST + 1];
	char whole[PATH_MAX];

	if (!settings_from_file(&wanted, &work, file_text, path, error))
		return false;
	memcpy(kept, wanted.file, sizeof(kept));
	if (realpath(path, whole) != NULL && strlen(whole) <= PATH_MOST)
		memcpy(wanted.file, whole, strlen(whole) + 1);
	bool good = lists_read(&wanted, &read_lists, file_text, error);
	memcpy(wanted.file, kept, sizeof(kept));
	return good;
}

/* Reads the daemon's own file again, or one that the caller names, on top of what the daemon was started with. */
static int read_again(const struct table_view *view, void *with)
{
	const char *path = with;
	struct settings_error error = {.text = ""};

	if (view->starting || view->start == NULL)
		return busy(view, "the daemon is starting");
	settings_copy(&wanted, view->start);
	bool read = path != NULL ? read_named(path, &error) : start_file_read(&view->place, &wanted, &read_lists, &error);
	listed = &read_lists;
	if (read && settings_may_follow(&wanted, &view->settings, &error))
		return 0;
	if (error.place > 0) /* the error is in a file */
		write_in_child(view, &error);
	return bad(view, error.text);
}

int command_reload(int argc, char **argv)
{
	static const struct option options[] = {
	    {"file", required_argument, NULL, 'f'}, {"all", no_argument, NULL, 'a'}, {"help", no_argument, NULL, 'h'}, {0}};
	char *file = NULL;
	bool all = false;
	int option;

	while ((option = next_option(argc, argv, ":h", options)) != -1) {
		switch (option) {
		case 'f': file = optarg; break;
		case 'a': all = true; break;
		case 'h': fputs(reload_help, stdout); return output_end();
		default: return STATUS_USAGE;
		}
	}
	if (!arguments_within(argc, argv, 0, all ? 0 : 1))
		return STATUS_USAGE;
	return change_limits(optind < argc ? argv[optind] : NULL, all, read_again, file);
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

static int take_all(const struct table_view *view, void *with)
{
	struct settings_error error;

	settings_copy(&wanted, &view->settings);
	for (char **assignment = with; *assignment != NULL; assignment++)
		if (!take(*assignment, &error))
			return bad(view, error.text);
	if (!settings_agree(&wanted, &error))
		return bad(view, error.text);
	if (wanted.lists > 0 && wanted.origin[SETTING_RULES] == FROM_COMMAND)
		return bad(view, "CONNLIMIT_RULES: lists can only be named in the file of limits or the environment");
	return 0;
}

int command_set(int argc, char **argv)
{
	static const struct option options[] = {{"all", no_argument, NULL, 'a'}, {"help", no_argument, NULL, 'h'}, {0}};
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
	return change_limits(which, all, take_all, argv + optind);
}
