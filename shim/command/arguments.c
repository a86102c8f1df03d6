/* What all subcommands have in common: reading arguments, reporting errors in them, writing to a terminal or elsewhere. */
#include "command/command.h"

#include "values/address.h"
#include "values/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

int usage_error(const char *command, const char *form, ...)
{
	va_list arguments;

	fprintf(stderr, "connlimit %s: ", command);
	va_start(arguments, form);
	vfprintf(stderr, form, arguments);
	va_end(arguments);
	fprintf(stderr, "\nTry 'connlimit %s --help'.\n", command);
	return STATUS_USAGE;
}

int next_option(int argc, char **argv, const char *letters, const struct option *options)
{
	opterr = 0;
	int option = getopt_long(argc, argv, letters, options, NULL);

	if (option == ':') {
		usage_error(argv[0], "%s needs a value", argv[optind - 1]);
		return '?';
	}
	if (option != '?')
		return option;
	const char *given = argv[optind - 1];
	for (const struct option *known = options; known->name != NULL; known++)
		if (optopt != 0 && known->val == optopt && strchr(given, '=') != NULL) {
			usage_error(argv[0], "--%s takes no value", known->name);
			return '?';
		}
	if (optopt != 0)
		usage_error(argv[0], "unknown option -%c", optopt);
	else
		usage_error(argv[0], "unknown option %s", given);
	return '?';
}

bool arguments_within(int argc, char **argv, int least, int most)
{
	if (argc - optind < least)
		usage_error(argv[0], "an argument is missing");
	else if (argc - optind > most)
		usage_error(argv[0], "'%s' is one argument too many", argv[optind + most]);
	else
		return true;
	return false;
}

bool number_argument(const char *text, long least, long most, long *number)
{
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	*number = strtol(text, &end, 10);
	return errno == 0 && *end == '\0' && *number >= least && *number <= most;
}

bool output_is_terminal(void)
{
	return isatty(STDOUT_FILENO) == 1;
}

bool output_is_coloured(void)
{
	const char *none = getenv("NO_COLOR");
	const char *terminal = getenv("TERM");

	return output_is_terminal() && (none == NULL || none[0] == '\0') && terminal != NULL && terminal[0] != '\0' &&
	       strcmp(terminal, "dumb") != 0;
}

int output_width(void)
{
	const char *columns = getenv("COLUMNS");
	struct winsize size;
	long number;

	if (columns != NULL && number_argument(columns, 1, 10000, &number))
		return (int)number;
	return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

int output_end(void)
{
	if (fflush(stdout) == 0 && ferror(stdout) == 0)
		return STATUS_DONE;
	fprintf(stderr, "connlimit: standard output: %s\n", strerror(errno));
	return STATUS_FAILED;
}

int network_argument(const char *command, const char *given, struct network *network)
{
	const char *error;
	size_t position;
	char shown[200];
	struct text text = text_begin(shown, sizeof(shown));

	if (network_parse(network, given, strlen(given), &error, &position))
		return STATUS_DONE;
	text_add_quoted(&text, given, strlen(given));
	return usage_error(command, "%s %s; allowed: 192.0.2.1, 192.0.2.0/24, 2001:db8::1, 2001:db8::/32", shown, error);
}

int client_arguments(int argc, char **argv, struct network *network, const char **which)
{
	if (!arguments_within(argc, argv, 1, 2))
		return STATUS_USAGE;
	*which = optind + 1 < argc ? argv[optind + 1] : NULL;
	return network_argument(argv[0], argv[optind], network);
}
