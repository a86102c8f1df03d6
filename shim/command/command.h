/* The subcommands of `connlimit`. Each gets its own arguments, with its name first, and returns the exit status. */
#ifndef CONNLIMIT_COMMAND_H
#define CONNLIMIT_COMMAND_H

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <sysexits.h>

/* What the command exits with, the same in every subcommand; connlimit(1) says when. A daemon's own status is passed on by
 * `run`. */
enum status {
	STATUS_DONE = 0,
	STATUS_FAILED = 1,
	STATUS_USAGE = 2,
	STATUS_UNAVAILABLE = EX_UNAVAILABLE, /* 69: the kernel cannot do it */
	STATUS_BUSY = EX_TEMPFAIL,	     /* 75 */
	STATUS_NOT_PERMITTED = EX_NOPERM,    /* 77 */
	STATUS_CONFIG = EX_CONFIG,	     /* 78 */
	STATUS_CANNOT_EXECUTE = 126,
	STATUS_NOT_FOUND = 127,
};

int command_ban(int argc, char **argv);
int command_run(int argc, char **argv);
int command_check(int argc, char **argv);
int command_clients(int argc, char **argv);
int command_disconnect(int argc, char **argv);
int command_events(int argc, char **argv);
int command_manual(int argc, char **argv);
int command_metrics(int argc, char **argv);
int command_reload(int argc, char **argv);
int command_set(int argc, char **argv);
int command_status(int argc, char **argv);
int command_suggest(int argc, char **argv);
int command_sync(int argc, char **argv);
int command_top(int argc, char **argv);
int command_unban(int argc, char **argv);

/* ---- arguments ---- */

/* Says on standard error "connlimit NAME: ..." and where help is. Returns STATUS_USAGE. */
int usage_error(const char *command, const char *form, ...) __attribute__((format(printf, 2, 3)));

/* getopt_long, from argv[1], which says in the same form what is wrong: '?' then. `argv[0]` is the command's name. */
int next_option(int argc, char **argv, const char *letters, const struct option *options);

/* As many arguments left as are allowed? If not, says so and returns false. */
bool arguments_within(int argc, char **argv, int least, int most);

/* Reads an address or NETWORK/PREFIX. Returns 0, or the exit status after it said what is wrong. */
struct network;
int network_argument(const char *command, const char *text, struct network *network);

/* Reads "ADDRESS [TABLE]", or with a NETWORK/PREFIX. Returns 0, or the exit status after it said what is wrong. */
int client_arguments(int argc, char **argv, struct network *network, const char **which);

/* Reads a whole number in a range. */
bool number_argument(const char *text, long least, long most, long *number);

/* ---- output ---- */

/* Whether colours and aligned tables are wanted on standard output: on a terminal, and colours not where the user asked for
 * none (no-color.org) or where the terminal has none (TERM=dumb). */
bool output_is_terminal(void);
bool output_is_coloured(void);

/* Columns of the terminal: as COLUMNS says, if it is set, or the terminal itself; 80 if neither does. */
int output_width(void);

/* How a command writes JSON. */
enum json { JSON_NONE, JSON_INDENTED, JSON_COMPACTED /* on one line */ };

/* Ends standard output: 0, or STATUS_FAILED with a sentence on standard error if something could not be written. */
int output_end(void);

#endif
