/* connlimit run [OPTIONS] -- COMMAND...: checks everything that can be checked in advance, then executes the command. */
#include "command/command.h"
#include "command/supervise/supervise.h"
#include "command/way.h"

#include "settings/lists.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

enum { OPTION_FIRST = 256, SCREEN = 80, LEFT = 25 };

#if defined(__aarch64__)
#define MULTIARCH "aarch64-linux-gnu"
#else
#define MULTIARCH "x86_64-linux-gnu"
#endif

static struct settings settings;
static struct settings work;
static char file_text[SETTINGS_FILE_ROOM];
static char option_names[1024]; /* those that were given, for OPTIONS_VARIABLE */
static struct settings limits;	/* including the file's */
static enum way wanted;
static enum { RINGS_BY_WAY, RINGS_KEPT, RINGS_LEFT } rings;

static void option_name(char *option, const char *name)
{
	for (; *name != '\0'; name++)
		*option++ = *name == '_' ? '-' : *name >= 'A' && *name <= 'Z' ? (char)(*name - 'A' + 'a') : *name;
	*option = '\0';
}

/* Prints text after the first LEFT columns of a line, and continues on further lines so that everything fits the screen. */
static void fold(FILE *to, const char *text)
{
	enum { ROOM = SCREEN - LEFT - 4 };

	while (strlen(text) > ROOM) {
		int length = ROOM;
		while (length > 1 && text[length] != ' ')
			length--;
		fprintf(to, "%.*s\n%*s", length, text, LEFT + 3, "");
		text += length + 1;
	}
	fprintf(to, "%s\n", text);
}

static void usage(FILE *to)
{
	fprintf(to, "usage: connlimit run [OPTION]... [--] COMMAND [ARGUMENT]...\n\nStarts COMMAND under these limits:\n\n");
	for (int id = 0; id < SETTINGS; id++) {
		char option[64];
		char left[96];
		option_name(option, settings_table[id].name);
		snprintf(left, sizeof(left), "--%s=%s", option, settings_table[id].form);
		fprintf(to, "  %-*s ", LEFT, left);
		fold(to, settings_table[id].help);
	}
	fprintf(to,
		"\nHow COMMAND is limited:\n\n"
		"  --way WAY                 preload: by an object that is loaded before libc;\n"
		"                            supervise: by a process that accepts in its place.\n"
		"                            Default: preload if it works, else supervise.\n"
		"  --no-io-uring             Disable io_uring, whose accepts are not seen.\n"
		"                            Default if COMMAND is supervised.\n"
		"  --io-uring                Allow io_uring.\n"
		"\nEach setting can also be given as CONNLIMIT_NAME in the environment or in the\n"
		"file. Options override the environment, and the file overrides both. The file is\n"
		"read again on SIGHUP or, if COMMAND is supervised, when it changes.\n\n"
		"Exit status: that of COMMAND; 2 called wrongly; 78 a limit is wrong; 126 COMMAND\n"
		"cannot be executed or cannot be limited; 127 it does not exist\n");
}

static int bad(const char *what)
{
	fprintf(stderr, "connlimit: %s\nTry 'connlimit run --help'.\n", what);
	return STATUS_USAGE;
}

/* A daemon may change its directory, and reads the file again later. */
static bool absolute(const char *path, char *whole, size_t size)
{
	char directory[PATH_MAX];

	if (path[0] == '/' || path[0] == '\0')
		return snprintf(whole, size, "%s", path) < (int)size;
	return getcwd(directory, sizeof(directory)) != NULL && snprintf(whole, size, "%s/%s", directory, path) < (int)size;
}

/* Options become environment variables, which the preload object reads. */
static bool take_option(enum setting_id id, const char *value, struct settings_error *error)
{
	char variable[64];
	char path[PATH_MOST + 1];

	if (id == SETTING_FILE) {
		if (!absolute(value, path, sizeof(path))) {
			snprintf(error->text, sizeof(error->text), "--file: the path is too long");
			return false;
		}
		value = path;
	}
	if (!settings_set(&settings, id, value, strlen(value), FROM_OPTION, error))
		return false;
	snprintf(variable, sizeof(variable), "CONNLIMIT_%s", settings_table[id].name);
	size_t length = strlen(option_names);
	snprintf(option_names + length, sizeof(option_names) - length, "%s%s", length > 0 ? ":" : "", settings_table[id].name);
	return setenv(variable, value, 1) == 0 && setenv(OPTIONS_VARIABLE, option_names, 1) == 0;
}

/* Options that are not settings, but say how to start the command. */
static bool take_way(int option, const char *value)
{
	if (option == 'n' || option == 'r') {
		rings = option == 'n' ? RINGS_KEPT : RINGS_LEFT;
		return true;
	}
	wanted = way_named(value);
	if (wanted == WAY_NONE)
		fprintf(stderr, "connlimit: --way: '%s' is neither 'preload' nor 'supervise'\n", value);
	return wanted != WAY_NONE;
}

/* Reads options up to the command. Returns the command's index in argv, or -1 with the exit status. */
static int read_options(int argc, char **argv, int *status)
{
	struct option options[SETTINGS + 5] = {0};
	static char names[SETTINGS][64];
	struct settings_error error;
	int option;

	for (int id = 0; id < SETTINGS; id++) {
		option_name(names[id], settings_table[id].name);
		options[id] = (struct option){names[id], required_argument, NULL, OPTION_FIRST + id};
	}
	options[SETTINGS] = (struct option){"help", no_argument, NULL, 'h'};
	options[SETTINGS + 1] = (struct option){"way", required_argument, NULL, 'w'};
	options[SETTINGS + 2] = (struct option){"no-io-uring", no_argument, NULL, 'n'};
	options[SETTINGS + 3] = (struct option){"io-uring", no_argument, NULL, 'r'};
	opterr = 0;
	optind = 1;
	*status = STATUS_USAGE;
	while ((option = getopt_long(argc, argv, "+:h", options, NULL)) != -1) {
		if (option == 'h') {
			usage(stdout);
			*status = 0;
			return -1;
		}
		if (option == ':') {
			fprintf(stderr, "connlimit: %s needs a value\n", argv[optind - 1]);
			return -1;
		}
		if (option == '?' && optopt != 0 && optopt != 'h') {
			fprintf(stderr, "connlimit: unknown option -%c\n", optopt);
			return -1;
		}
		if (option == '?') {
			const char *given = argv[optind - 1] + strspn(argv[optind - 1], "-");
			if (settings_find(given, strcspn(given, "="), &error) == SETTINGS)
				fprintf(stderr, "connlimit: %s\n", error.text);
			else
				fprintf(stderr, "connlimit: unknown option %s\n", argv[optind - 1]);
			return -1;
		}
		if (option < OPTION_FIRST) {
			if (!take_way(option, optarg))
				return -1;
			continue;
		}
		if (!take_option((enum setting_id)(option - OPTION_FIRST), optarg, &error)) {
			fprintf(stderr, "connlimit: %s\n", error.text);
			*status = STATUS_CONFIG;
			return -1;
		}
	}
	return optind;
}

/* Next to this command, as built; where it is installed relative to it; where it was configured to be installed. */
static bool find_preload(char *path, size_t size)
{
	static const char *const places[] = {"", "../lib/" MULTIARCH "/", "../lib/"};
	static const char name[] = "libconnlimit_preload.so";
	char own[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", own, sizeof(own) - 1);

	if (length > 0) {
		own[length] = '\0';
		*(strrchr(own, '/') + 1) = '\0';
		for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
			char candidate[2 * PATH_MAX];
			snprintf(candidate, sizeof(candidate), "%s%s%s", own, places[i], name);
			char *whole = access(candidate, R_OK) == 0 ? realpath(candidate, NULL) : NULL;
			if (whole != NULL) {
				snprintf(path, size, "%s", whole);
				free(whole);
				return true;
			}
		}
	}
	snprintf(path, size, "%s/%s", CONNLIMIT_LIBDIR, name);
	return access(path, R_OK) == 0;
}

static bool set_preload(void)
{
	char path[PATH_MAX];
	char *all;
	const char *others = getenv("LD_PRELOAD");

	if (!find_preload(path, sizeof(path))) {
		fprintf(stderr, "connlimit: libconnlimit_preload.so is neither next to this command nor in %s\n",
			CONNLIMIT_LIBDIR);
		return false;
	}
	if (strpbrk(path, " :") != NULL) {
		fprintf(stderr, "connlimit: %s: a path with a blank or colon cannot be preloaded (ld.so(8))\n", path);
		return false;
	}
	if (others == NULL || others[0] == '\0')
		return setenv("LD_PRELOAD", path, 1) == 0;
	/* However many there are: none may get lost. */
	if (asprintf(&all, "%s:%s", path, others) < 0)
		return false;
	bool set = setenv("LD_PRELOAD", all, 1) == 0;
	free(all);
	return set;
}

static struct rules_index listed;

static bool limits_are_valid(struct settings_error *error)
{
	char file[PATH_MOST + 1];

	memcpy(file, settings.file, sizeof(file));
	settings_copy(&limits, &settings);
	return (file[0] == '\0' || settings_from_file(&limits, &work, file_text, file, error)) &&
	       lists_read(&limits, &listed, file_text, error);
}

static int supervised(const struct program *program, char **argv, int argc)
{
	struct supervision supervision = {.program = program->path,
					  .start = &settings,
					  .limits = &limits,
					  .listed = &listed,
					  .never_waits_in_accept = program->go,
					  .no_ring = rings != RINGS_LEFT,
					  .title = argv[0],
					  .title_room = (size_t)(argv[argc - 1] + strlen(argv[argc - 1]) - argv[0])};
	char why[1024];

	/* ps(1) should show the program's own arguments, so the supervisor's are overwritten. */
	int status = supervise(&supervision, why, sizeof(why));
	if (status == STATUS_CONFIG)
		fprintf(stderr, "connlimit: %s\n", why);
	else if (status != 0)
		fprintf(stderr, "connlimit: %s: cannot be supervised: %s\n", program->path, why);
	return status;
}

/* Prints the findings. If the program is supervised because it cannot be preloaded, in one line. */
static void tell(const struct program *program, const char *path, enum way way)
{
	bool told = false;

	for (size_t i = 0; i < program->findings; i++) {
		const struct finding *finding = &program->finding[i];

		if (way == WAY_NONE && way_stops(wanted, finding))
			fprintf(stderr, "connlimit: %s: cannot be limited: %s\n", path, finding->text);
		else if (finding->out == RULES_OUT_NOTHING &&
			 way_concerns(program, i, rings == RINGS_KEPT || (way == WAY_SUPERVISE && rings != RINGS_LEFT)))
			fprintf(stderr, "connlimit: %s: note: %s\n", path, finding->text);
		else if (way == WAY_SUPERVISE && finding->out == RULES_OUT_PRELOAD && !told) {
			fprintf(stderr, "connlimit: %s: limited by a supervisor: %s\n", path, finding->text);
			told = true;
		}
	}
}

/* 0, or the status with which it ends here. */
static int prepare(const struct program *program, enum way way, char **argv, int argc)
{
	if (way == WAY_SUPERVISE)
		return supervised(program, argv, argc);
	if (rings == RINGS_KEPT && !supervise_no_ring()) {
		fprintf(stderr, "connlimit: --no-io-uring: %s\n", strerror(errno));
		return STATUS_CANNOT_EXECUTE;
	}
	return set_preload() ? 0 : STATUS_CANNOT_EXECUTE;
}

/* Without a limit, connections are only counted. That is fine for a start, but somebody may have forgotten it. */
static void note_no_limit(void)
{
	if (limits.per_ip == LIMIT_NONE && limits.per_network == LIMIT_NONE && limits.total == LIMIT_NONE &&
	    limits.per_uid == LIMIT_NONE && limits.cluster_per_ip == LIMIT_NONE && limits.rate.every_us == 0 &&
	    limits.rules == 0 && limits.lists == 0)
		fprintf(stderr,
			"connlimit: note: no limit is set, so connections are only counted; to limit them: --per-ip=10\n");
	else if (limits.mode == MODE_OFF)
		fprintf(stderr, "connlimit: note: mode off: no limit is in force\n");
}

int command_run(int argc, char **argv)
{
	struct settings_error error;
	struct program program;
	char path[sizeof(program.path)];
	int status;

	settings_default(&settings);
	const char *relative = getenv("CONNLIMIT_FILE");
	if (relative != NULL && absolute(relative, path, sizeof(path)))
		setenv("CONNLIMIT_FILE", path, 1);
	unsetenv(OPTIONS_VARIABLE); /* may be set by a `connlimit run` around this one: its options are our environment */
	if (!settings_from_environment(&settings, environ, &error)) {
		fprintf(stderr, "connlimit: %s\n", error.text);
		return STATUS_CONFIG;
	}
	int command = read_options(argc, argv, &status);
	if (command < 0)
		return status;
	if (command >= argc)
		return bad("no command to run");
	if (!limits_are_valid(&error)) {
		fprintf(stderr, "connlimit: %s\n", error.text);
		return STATUS_CONFIG;
	}
	status = program_find(argv[command], path, sizeof(path));
	if (status != 0) {
		fprintf(stderr, "connlimit: %s: %s\n", argv[command],
			status == STATUS_NOT_FOUND ? "command not found" : "not an executable file");
		return status;
	}
	program_examine(&program, path);
	enum way way = way_for(&program, wanted);
	tell(&program, path, way);
	if (way == WAY_NONE)
		return STATUS_CANNOT_EXECUTE;
	note_no_limit();
	status = prepare(&program, way, argv, argc);
	if (status != 0)
		return status;
	execvp(path, argv + command); /* exactly the file that was examined */
	status = errno == ENOENT ? STATUS_NOT_FOUND : STATUS_CANNOT_EXECUTE;
	fprintf(stderr, "connlimit: %s: %s\n", argv[command], strerror(errno));
	return status;
}
