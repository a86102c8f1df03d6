/* connlimit: runs the subcommand. */
#include "command/command.h"

#include "values/text.h"

#include <string.h>

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *form;
	const char *help;
} commands[] = {
    {"run", command_run, "[OPTION]... -- COMMAND...", "start a daemon with limits"},
    {"check", command_check, "COMMAND", "say whether it can be limited"},
    {"status", command_status, "[--json] [TABLE | PID]", "show limits, counts, refusals"},
    {"top", command_top, "[TABLE | PID]", "show the same, live"},
    {"events", command_events, "[--json] [TABLE | PID]", "follow refusals, bans, reloads"},
    {"clients", command_clients, "ADDRESS", "list a client's connections"},
    {"disconnect", command_disconnect, "ADDRESS", "end a client's connections"},
    {"ban", command_ban, "ADDRESS [for TIME]", "refuse a client for a time"},
    {"unban", command_unban, "ADDRESS", "end a client's ban"},
    {"reload", command_reload, "[TABLE | --all]", "read the file of limits again"},
    {"set", command_set, "[TABLE] NAME=VALUE...", "change limits until the next reload"},
    {"suggest", command_suggest, "[TABLE]", "suggest a limit"},
    {"metrics", command_metrics, "[--output F | --listen P]", "write Prometheus metrics"},
    {"sync", command_sync, "--redis URL", "enforce a limit over machines"},
};

enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

static void help(FILE *to)
{
	fprintf(to, "connlimit limits how many open connections each client may have to a daemon.\n\n");
	for (int i = 0; i < COMMANDS; i++)
		fprintf(to, "  %-10s %-25s %s\n", commands[i].name, commands[i].form, commands[i].help);
	fprintf(to,
		"\n  connlimit run --per-ip 10 -- nginx   at most ten connections per address\n"
		"  connlimit run --help                 all settings\n"
		"  connlimit help COMMAND               its options and exit statuses\n"
		"  connlimit --version, -V\n");
}

static void compare(const char *name, const char *known, unsigned *least, const char **best)
{
	size_t length = strlen(known);
	unsigned far = text_distance(name, strlen(name), known, length, *least);

	/* If half of the letters differ, that command was hardly meant. */
	if (far < *least && far <= length / 2) {
		*least = far;
		*best = known;
	}
}

/* The command that was probably meant, if one is similar enough. */
static const char *nearest(const char *name)
{
	const char *best = NULL;
	unsigned least = 3;

	for (int i = 0; i < COMMANDS; i++)
		compare(name, commands[i].name, &least, &best);
	compare(name, "help", &least, &best);
	return best;
}

static int unknown(const char *name)
{
	char shown[200];
	struct text text = text_begin(shown, sizeof(shown));
	const char *meant = nearest(name);

	text_add_quoted(&text, name, strlen(name));
	fprintf(stderr, "connlimit: there is no command %s; ", shown);
	if (meant != NULL) {
		fprintf(stderr, "did you mean %s?", meant);
	} else {
		fprintf(stderr, "there are:");
		for (int i = 0; i < COMMANDS; i++)
			fprintf(stderr, " %s", commands[i].name);
	}
	fprintf(stderr, "\nTry 'connlimit --help'.\n");
	return STATUS_USAGE;
}

static int run(const char *name, int argc, char **argv)
{
	for (int i = 0; i < COMMANDS; i++)
		if (strcmp(name, commands[i].name) == 0)
			return commands[i].run(argc, argv);
	if (strcmp(name, "manual") == 0)
		return command_manual(argc, argv); /* used by the build, and not in the help */
	return unknown(name);
}

int main(int argc, char **argv)
{
	static char help_option[] = "--help";

	if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
	    (strcmp(argv[1], "help") == 0 && (argc == 2 || argv[2][0] == '-' || strcmp(argv[2], "help") == 0))) {
		help(stdout);
		return output_end();
	}
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
		printf("connlimit %s\n", CONNLIMIT_VERSION);
		return output_end();
	}
	if (strcmp(argv[1], "help") == 0) {
		char *asked[] = {argv[2], help_option, NULL};
		return run(argv[2], 2, asked);
	}
	return run(argv[1], argc - 1, argv + 1);
}
