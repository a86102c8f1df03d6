/* connlimit check COMMAND: can it be limited, and what will not be? */
#include "command/command.h"
#include "command/program.h"

static const char help[] =
    "usage: connlimit check [--] COMMAND [ARGUMENT]...\n"
    "\n"
    "Says whether COMMAND can be limited, and which of its connections would be\n"
    "missed. Nothing is started.\n"
    "\n"
    "Exit status: 0 it can be limited; 2 called wrongly; 126 it cannot; 127 it is not\n"
    "there\n";

int command_check(int argc, char **argv)
{
	static const struct option options[] = {{"help", no_argument, NULL, 'h'}, {0}};
	struct program program;
	char path[sizeof(program.path)];
	int option;

	while ((option = next_option(argc, argv, "+:h", options)) != -1) {
		if (option != 'h')
			return STATUS_USAGE;
		fputs(help, stdout);
		return output_end();
	}
	if (optind == argc)
		return usage_error("check", "no command to look at");
	const char *command = argv[optind];
	int verdict = program_find(command, path, sizeof(path));
	if (verdict != 0) {
		fprintf(stderr, "connlimit: %s: %s\n", command,
			verdict == STATUS_NOT_FOUND ? "command not found" : "not an executable file");
		return verdict;
	}
	program_examine(&program, path);
	bool good = program_can_be_limited(&program);
	printf("%s: %s\n", path, good ? "can be limited" : "cannot be limited");
	for (size_t i = 0; i < program.findings; i++)
		printf("  %s: %s\n", program.finding[i].fatal ? "because" : "note", program.finding[i].text);
	int status = output_end();
	return status != 0 ? status : good ? STATUS_DONE : STATUS_CANNOT_EXECUTE;
}
