/* connlimit check COMMAND: can it be limited, and what will not be? */
#include "command.h"
#include "program.h"

#include <stdio.h>
#include <string.h>

static void usage(FILE *to)
{
	fprintf(to,
		"usage: connlimit check [--] COMMAND [ARGUMENT]...\n\n"
		"Says whether COMMAND can be limited, and which of its connections cannot be\n"
		"seen. Nothing is started. Exit status 0: it can be; 126: it cannot; 127: it is\n"
		"not there.\n");
}

int command_check(int argc, char **argv)
{
	struct program program;
	char path[sizeof(program.path)];
	int command = 1;

	if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
		usage(stdout);
		return 0;
	}
	if (command < argc && strcmp(argv[command], "--") == 0)
		command++;
	else if (command < argc && argv[command][0] == '-')
		command = argc;
	if (command == argc) {
		usage(stderr);
		return 2;
	}
	int verdict = program_find(argv[command], path, sizeof(path));
	if (verdict != 0) {
		fprintf(stderr, "connlimit: %s: %s\n", argv[command],
			verdict == 127 ? "command not found" : "not an executable file");
		return verdict;
	}
	program_examine(&program, path);
	bool good = program_can_be_limited(&program);
	printf("%s: %s\n", path, good ? "can be limited" : "cannot be limited");
	for (size_t i = 0; i < program.findings; i++)
		printf("  %s: %s\n", program.finding[i].fatal ? "because" : "note", program.finding[i].text);
	return good ? 0 : 126;
}
