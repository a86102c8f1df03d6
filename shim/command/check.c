/* connlimit check COMMAND: can it be limited, and what will not be? */
#include "command.h"
#include "program.h"

#include <stdio.h>

int command_check(int argc, char **argv)
{
	struct program program;
	char path[sizeof(program.path)];

	if (argc != 2) {
		fprintf(stderr, "usage: connlimit check COMMAND\n");
		return 2;
	}
	int verdict = program_find(argv[1], path, sizeof(path));
	if (verdict != 0) {
		fprintf(stderr, "connlimit: %s: %s\n", argv[1], verdict == 127 ? "command not found" : "not an executable file");
		return verdict;
	}
	program_examine(&program, path);
	bool good = program_can_be_limited(&program);
	printf("%s: %s\n", path, good ? "can be limited" : "cannot be limited");
	for (size_t i = 0; i < program.findings; i++)
		printf("  %s: %s\n", program.finding[i].fatal ? "because" : "note", program.finding[i].text);
	return good ? 0 : 126;
}
