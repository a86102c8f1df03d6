/* connlimit manual: the manual page connlimit(7) in man(7) form, its settings written from the table that reads them. The build
 * installs what this prints. connlimit manual settings: README's table of them, which a test compares with this. */
#include "command/command.h"

#include "settings/settings.h"

#include <stdio.h>
#include <string.h>

static void text(const char *line)
{
	/* A dot at a line's start is a request, a backslash an escape, a hyphen in an option a minus; `code` is bold. */
	if (*line == '.' || *line == '\'')
		fputs("\\&", stdout);
	bool bold = false;

	for (; *line != '\0'; line++) {
		if (*line == '\\')
			fputs("\\e", stdout);
		else if (*line == '`')
			fputs((bold = !bold) ? "\\fB" : "\\fR", stdout);
		else if (*line == '-')
			fputs("\\-", stdout);
		else
			fputc(*line, stdout);
	}
}

static void option_of(const char *name)
{
	for (; *name != '\0'; name++) {
		if (*name == '_')
			fputs("\\-", stdout);
		else
			fputc(*name >= 'A' && *name <= 'Z' ? *name - 'A' + 'a' : *name, stdout);
	}
}

static void settings_section(void)
{
	for (int id = 0; id < SETTINGS; id++) {
		const struct setting *setting = &settings_table[id];

		printf(".TP\n.BI CONNLIMIT_%s= \"", setting->name);
		text(setting->form);
		printf("\" \"\\fR, \\fB\\-\\-");
		option_of(setting->name);
		printf("\"\n");
		text(setting->help);
		if (setting->more[0] != '\0') {
			printf("\n");
			text(setting->more);
		}
		printf("\nExample: \\fB");
		text(setting->example);
		printf("\\fR.");
		if (setting->standard[0] != '\0') {
			printf("\nDefault: ");
			text(setting->standard);
			printf(".");
		}
		if (setting->not_in_file)
			printf("\nNot in the file.");
		else if (setting->at_start_only)
			printf("\nLaid down at the start.");
		printf("\n");
	}
}

/* A bar would end the cell, in code too. */
static void cell(const char *line)
{
	for (; *line != '\0'; line++) {
		if (*line == '|')
			putchar('\\');
		putchar(*line);
	}
}

static int settings_of_readme(void)
{
	printf("| setting | default | meaning |\n|---|---|---|\n");
	for (int id = 0; id < SETTINGS; id++) {
		const struct setting *setting = &settings_table[id];

		printf("| `CONNLIMIT_%s=", setting->name);
		cell(setting->example);
		printf("` |%s%s | ", setting->standard[0] != '\0' ? " " : "", setting->standard);
		cell(setting->help);
		if (setting->more[0] != '\0') {
			putchar(' ');
			cell(setting->more);
		}
		printf(" |\n");
	}
	return ferror(stdout) != 0;
}

int command_manual(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "settings") == 0)
		return settings_of_readme();
	printf(".TH CONNLIMIT 7 \"\" \"connlimit %s\" \"connlimit\"\n", CONNLIMIT_VERSION);
	fputs(
	    ".SH NAME\nconnlimit \\- limits on the connections that each client holds open\n"
	    ".SH DESCRIPTION\n"
	    "The preload object\n.I libconnlimit_preload.so\nlimits how many connections each client address may hold open "
	    "with a daemon. "
	    "The daemon's processes share one table; a client's count falls with the last descriptor that leads to a "
	    "connection; "
	    "before anyone is refused, the kernel is asked whether the connections counted are still open.\n"
	    ".SH SETTINGS\n"
	    "They are read from the environment, then from the file that\n.B CONNLIMIT_FILE\nnames, which wins; "
	    "each is also an option of\n.BR \"connlimit run\" .\n"
	    "A wrong value or an unknown name keeps the daemon from starting.\n",
	    stdout);
	settings_section();
	fputs(
	    ".SH FILE OF LIMITS\n"
	    "An environment file as\n.BR systemd.exec (5)\ndescribes for\n.BR EnvironmentFile= :\n"
	    "lines of NAME=VALUE, comment lines that begin with # or ;, quotes around a value, which may then be of several "
	    "lines, "
	    "a backslash at a line's end goes on. "
	    "Names that do not begin with CONNLIMIT_ are passed over, unless they were meant to (CONNLIMT_PER_IP, PER_IP). "
	    "Of a name that is given twice the last counts. "
	    "What is wrong is told with line and column. "
	    "It must belong to root or the daemon's user, and nobody else may write to it. "
	    "On the reload signal it is read again and, if all of it is right, in force in all processes at once; "
	    "otherwise the old limits stand, and standard error and\n.B connlimit status\nsay why.\n"
	    ".SH SIGNALS\n"
	    "What the daemon set for the reload signal is done as well, after the reload. Where it ignores the signal, it goes "
	    "on doing so. "
	    "Where it set nothing, a signal that a process sent reloads and the daemon lives; a terminal that hangs up ends it "
	    "as before.\n"
	    ".SH EXIT STATUS\n"
	    ".TP\n.B 78\nA setting or the file of limits is wrong (EX_CONFIG); the daemon was not started.\n"
	    ".SH SEE ALSO\n.BR connlimit (1),\n.BR libconnlimit (3),\n.BR ld.so (8),\n.BR sock_diag (7),\n.BR systemd.exec "
	    "(5)\n",
	    stdout);
	return ferror(stdout) != 0;
}
