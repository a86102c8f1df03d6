#include "command.h"

#include <stdio.h>
#include <string.h>

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *form;
	const char *help;
} commands[] = {
    {"run", command_run, "[OPTION]... -- COMMAND...", "start a daemon under limits"},
    {"check", command_check, "COMMAND", "can it be limited, and what will not be"},
    {"status", command_status, "[--json] [--watch] [TABLE | PID]", "who holds what, in each daemon"},
    {"clients", command_clients, "ADDRESS", "a client's connections"},
    {"disconnect", command_disconnect, "ADDRESS", "end them"},
    {"reload", command_reload, "[TABLE]", "read the file of limits again"},
    {"set", command_set, "[TABLE] NAME=VALUE...", "change limits until the next reload"},
    {"suggest", command_suggest, "[TABLE]", "which limit would refuse how many"},
    {"metrics", command_metrics, "[--output FILE | --listen PORT]", "for Prometheus"},
    {"sync", command_sync, "--redis URL", "one limit over many machines"},
};

enum { COMMANDS = sizeof(commands) / sizeof(commands[0]), FORM = 25 /* columns */ };

static void help(FILE *to)
{
	fprintf(to,
		"connlimit limits how many connections each client may hold open, in front of\n"
		"any daemon.\n\n");
	for (int i = 0; i < COMMANDS; i++) {
		fprintf(to, "  %-10s %-*s", commands[i].name, FORM, commands[i].form);
		fprintf(to, strlen(commands[i].form) > FORM ? "\n%*s%s\n" : "%*s%s\n",
			strlen(commands[i].form) > FORM ? 3 + 10 + FORM + 1 : 1, "", commands[i].help);
	}
	fprintf(to,
		"\n  connlimit run --per-ip 10 -- nginx    at most ten connections for each address\n"
		"  connlimit run --help                  all settings\n"
		"  connlimit --version\n");
}

int main(int argc, char **argv)
{
	if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
		help(stdout);
		return 0;
	}
	if (strcmp(argv[1], "--version") == 0) {
		printf("connlimit %s\n", CONNLIMIT_VERSION);
		return 0;
	}
	if (strcmp(argv[1], "manual") == 0)
		return command_manual(argc - 1, argv + 1); /* for the build, not for the help */
	for (int i = 0; i < COMMANDS; i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].run(argc - 1, argv + 1);
	fprintf(stderr, "connlimit: there is no command '%s'\n", argv[1]);
	help(stderr);
	return 2;
}
