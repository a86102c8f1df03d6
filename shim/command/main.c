#include "command.h"

#include <stdio.h>
#include <string.h>

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *help;
} commands[] = {
	{"run", command_run, "[OPTION]... -- COMMAND...  start a daemon under limits"},
	{"suggest", command_suggest, "[TABLE]                which limit would have refused how many clients"},
	{"reload", command_reload, "[TABLE]                 read a daemon's file of limits again, without a signal"},
	{"set", command_set, "[TABLE] NAME=VALUE...   change limits until the next reload"},
	{"status", command_status, "[--json] [--watch] [TABLE | PID]  who holds what, in each daemon under limits"},
	{"clients", command_clients, "ADDRESS                 a client's connections"},
	{"disconnect", command_disconnect, "ADDRESS                 end them"},
	{"metrics", command_metrics, "[--output FILE | --listen PORT]  for Prometheus"},
	{"sync", command_sync, "--redis URL             share counts with other machines, for one limit over all"},
	{"check", command_check, "COMMAND                 can it be limited, and what will not be"},
};

enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

static void help(FILE *to)
{
	fprintf(to, "connlimit limits how many connections each client may hold open, in front of any daemon.\n\n");
	for (int i = 0; i < COMMANDS; i++)
		fprintf(to, "  connlimit %-10s %s\n", commands[i].name, commands[i].help);
	fprintf(to, "\n  connlimit run --per-ip 10 -- nginx     at most ten connections for each address\n"
		    "  connlimit run --help                   all settings\n");
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
	for (int i = 0; i < COMMANDS; i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].run(argc - 1, argv + 1);
	fprintf(stderr, "connlimit: there is no command '%s'\n", argv[1]);
	help(stderr);
	return 2;
}
