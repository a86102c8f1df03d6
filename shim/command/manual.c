/* connlimit manual: prints the manual page connlimit(7) in man(7) form, with its settings from the table that reads them. The
 * build installs the output. connlimit manual settings: prints README's table of settings; a test compares the two. */
#include "command/command.h"

#include "settings/settings.h"

#include <stdio.h>
#include <string.h>

static void text(const char *line)
{
	/* A dot at the start of a line is a request, a backslash an escape, a hyphen in an option a minus; `code` is bold. */
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
			printf("\nCannot change while the daemon runs.");
		printf("\n");
	}
}

/* A bar would end the cell, even in code. */
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
	    ".SH NAME\nconnlimit \\- limits on the open connections of each client\n"
	    ".SH DESCRIPTION\n"
	    "The preload object\n.I libconnlimit_preload.so\nlimits how many connections each client address may have open to "
	    "a daemon. The daemon's processes share one table. A connection counts until the last descriptor for it is closed. "
	    "Before a client is refused, the kernel is asked whether its connections are still open.\n"
	    ".PP\nThe object is loaded by\n.B LD_PRELOAD=libconnlimit_preload.so\nin the daemon's environment, or by\n"
	    ".BR \"connlimit run\" .\nIf the path or name is wrong, the daemon starts without a limit, and the loader says "
	    "\"cannot be preloaded\".\n"
	    ".SH SETTINGS\n"
	    "Settings are read from the environment, then from the file that\n.B CONNLIMIT_FILE\nnames, which overrides the "
	    "environment. Each setting is also an option of\n.BR \"connlimit run\" .\n"
	    "If a value is wrong or a name unknown, the daemon does not start. Commands that systemd runs to reload or stop it "
	    "still do their work.\n",
	    stdout);
	settings_section();
	fputs(
	    ".SH FILE OF LIMITS\n"
	    "The file has the format that\n.BR systemd.exec (5)\ndescribes for\n.BR EnvironmentFile= :\n"
	    "one NAME=VALUE per line; comment lines begin with # or ;. A value in quotes may have several lines, and a "
	    "backslash at the end of a line continues it. "
	    "Names that do not begin with CONNLIMIT_ are ignored, except those that look like a mistyped setting "
	    "(CONNLIMT_PER_IP, PER_IP, per-ip): these are errors. "
	    "If a name is given twice, the last one counts. "
	    "Errors are reported with line and column. "
	    "The file must belong to root or the daemon's user, and nobody else may be able to write to it. "
	    "On the reload signal it is read again. If it has no error, its limits take effect in all processes at once; "
	    "otherwise the old limits stay in effect, and standard error and\n.B connlimit status\ngive the reason.\n"
	    ".SH LOG\n"
	    "With\n.BR CONNLIMIT_LOG=journal ,\nmessages go to journald in its native protocol, as entries of "
	    "SYSLOG_IDENTIFIER "
	    "connlimit with these fields beside MESSAGE. With\n.BR json ,\nthey are objects with members of the same names in "
	    "lower case without CONNLIMIT_, and time and message, one a line on standard error. Text from elsewhere is "
	    "escaped. Without a journal they go to standard error, as text, and so does what is said before there is a table.\n"
	    ".TP\n.B CONNLIMIT_EVENT\n"
	    ".BR refused ,\n.B observed\n(would have been refused, in mode observe),\n.B banned\n(refused, and that began a "
	    "ban),\n.B uncounted\n(connections were admitted without being counted),\n.B unverified\n(the kernel cannot be "
	    "asked),\n.B reload_failed\nor\n.BR other\n"
	    ".TP\n.B CONNLIMIT_TABLE\nthe table's name\n"
	    ".TP\n.B CONNLIMIT_CLIENT\nof refused, observed and banned, as are those below: the client, an address or a "
	    "network\n"
	    ".TP\n.B CONNLIMIT_ADDRESS\nthe very address\n"
	    ".TP\n.B CONNLIMIT_PORT\nthe daemon's port\n"
	    ".TP\n.B CONNLIMIT_REASON\nas in\n.BR \"connlimit status \\-\\-json\" :\nper_ip, per_uid, rule, total, rate, "
	    "cluster, "
	    "ban\n"
	    ".TP\n.B CONNLIMIT_LIMIT\nthe limit that was reached; 0 for deny\n"
	    ".TP\n.B CONNLIMIT_BANNED_SECONDS\nhow long the client is banned, if it is\n"
	    ".TP\n.B MESSAGE_ID\n"
	    "of refused fed597dbf1ca4848a7cf7c0bf7f4870b, of observed ee43b843fa3047c68256d485e50d321b, of banned "
	    "f3d9550c8a544c5db62a8c7a88ee2aee, of uncounted 264ace2090594294812ddb13969234b3, of unverified "
	    "9afa461704e94e5dba4ed0b8d0809dc9, of reload_failed e6263dd0b1c44375add3cd36e0be7e1f\n"
	    ".SH SIGNALS\n"
	    "If the daemon handles the reload signal, waits for it\n.RB ( sigwait (3))\nor reads it\n.RB ( signalfd (2)),\n"
	    "the limits are reloaded first, and the daemon then handles the signal as it always did.\n"
	    ".PP\nIf the daemon ignores the signal, it still does, unless\n.B CONNLIMIT_SIGNAL\nis set explicitly;\n"
	    ".B connlimit reload\nworks for every daemon.\n"
	    ".PP\nIf the daemon leaves the signal at its default, it reloads the limits only if another process sent the "
	    "signal to the topmost process of the daemon, and that process is in no session with a terminal. "
	    "In every other case the process ends, as without connlimit: a worker, a process that sent the signal to "
	    "itself, or one that is hung up by its terminal or shell.\n"
	    ".SH EXIT STATUS\n"
	    ".TP\n.B 78\nA setting or the file of limits is wrong (EX_CONFIG); the daemon was not started.\n"
	    ".SH SEE ALSO\n.BR connlimit (1),\n.BR libconnlimit (3),\n.BR ld.so (8),\n.BR sock_diag (7),\n.BR systemd.exec "
	    "(5)\n",
	    stdout);
	return ferror(stdout) != 0;
}
