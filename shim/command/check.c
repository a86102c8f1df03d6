/* connlimit check COMMAND: can it be limited, and what would not be? */
#include "command/check.h"

#include "command/command.h"
#include "command/supervise/supervise.h"
#include "command/way.h"

#include <unistd.h>

static const char help[] =
    "usage: connlimit check [--] COMMAND [ARGUMENT]...\n"
    "       connlimit check --rules FILE [ADDRESS [PORT]]\n"
    "\n"
    "Says whether COMMAND can be limited, in which way, and which of its connections\n"
    "would not be seen. Does not start it.\n"
    "\n"
    "  --rules FILE  instead, says whether a file of limits and its lists are valid,\n"
    "                and what applies to ADDRESS at the daemon's PORT, and why\n"
    "\n"
    "Exit status: 0 it can be limited, or the file is valid; 2 called wrongly; 78 the\n"
    "file is wrong; 126 it cannot be limited; 127 it does not exist\n";

static void tell_findings(const struct program *program, enum way way)
{
	for (size_t i = 0; i < program->findings; i++)
		if (way_concerns(program, i, way == WAY_SUPERVISE))
			printf("  %s: %s\n", program->finding[i].out == RULES_OUT_NOTHING ? "note" : "because",
			       program->finding[i].text);
}

static int tell(const struct program *program, const char *path)
{
	enum way way = way_for(program, WAY_NONE);
	char why[256];
	bool good = way == WAY_PRELOAD || (way == WAY_SUPERVISE && supervise_possible(why, sizeof(why)));

	printf("%s: %s%s\n", path, good ? "can be limited" : "cannot be limited",
	       good && way == WAY_SUPERVISE ? ", by a supervisor of its system calls" : "");
	tell_findings(program, way);
	if (way == WAY_SUPERVISE && !good)
		printf("  because: it cannot be supervised either: %s\n", why);
	if (way == WAY_SUPERVISE && good) {
		printf("  note: io_uring_setup fails with ENOSYS for it and for what it starts (but see --io-uring)\n");
		if (geteuid() != 0)
			printf(
			    "  note: it gets no_new_privs, as it is not started by root: setuid programs that it starts gain "
			    "no privileges\n");
	}
	int status = output_end();
	return status != 0 ? status : good ? STATUS_DONE : STATUS_CANNOT_EXECUTE;
}

int command_check(int argc, char **argv)
{
	static const struct option options[] = {{"rules", required_argument, NULL, 'r'}, {"help", no_argument, NULL, 'h'}, {0}};
	const char *rules = NULL;
	struct program program;
	char path[sizeof(program.path)];
	int option;

	while ((option = next_option(argc, argv, "+:h", options)) != -1) {
		switch (option) {
		case 'r': rules = optarg; break;
		case 'h': fputs(help, stdout); return output_end();
		default: return STATUS_USAGE;
		}
	}
	if (rules != NULL)
		return check_rules(argc, argv, rules);
	if (optind == argc)
		return usage_error("check", "no command given");
	const char *command = argv[optind];
	int verdict = program_find(command, path, sizeof(path));
	if (verdict != 0) {
		fprintf(stderr, "connlimit: %s: %s\n", command,
			verdict == STATUS_NOT_FOUND ? "command not found" : "not an executable file");
		return verdict;
	}
	program_examine(&program, path);
	return tell(&program, path);
}
