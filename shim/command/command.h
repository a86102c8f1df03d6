/* The subcommands of `connlimit`. Each gets its own arguments, starting with its name, and returns the exit status. */
#ifndef CONNLIMIT_COMMAND_H
#define CONNLIMIT_COMMAND_H

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <sysexits.h>

/* Exit statuses, the same in all subcommands; connlimit(1) describes them. `run` passes on the daemon's own status. */
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

/* Prints "connlimit NAME: ..." and a hint about help to standard error. Returns STATUS_USAGE. */
int usage_error(const char *command, const char *form, ...) __attribute__((format(printf, 2, 3)));

/* getopt_long from argv[1] on. Reports errors in the same form and then returns '?'. argv[0] is the command's name. */
int next_option(int argc, char **argv, const char *letters, const struct option *options);

/* Whether the number of remaining arguments is allowed. If not, says so and returns false. */
bool arguments_within(int argc, char **argv, int least, int most);

/* Reads an address or NETWORK/PREFIX. Returns 0, or the exit status after it said what is wrong. */
struct network;
int network_argument(const char *command, const char *text, struct network *network);

/* Reads "ADDRESS [TABLE]" or "NETWORK/PREFIX [TABLE]". Returns 0, or the exit status after an error message. */
int client_arguments(int argc, char **argv, struct network *network, const char **which);

/* Reads a whole number in a range. */
bool number_argument(const char *text, long least, long most, long *number);

/* ---- output ---- */

/* Whether standard output should have aligned columns (on a terminal), and colours (if the user did not turn them off,
 * no-color.org, and the terminal has them, TERM). */
bool output_is_terminal(void);
bool output_is_coloured(void);

/* The width of the terminal: COLUMNS if it is set, otherwise what the terminal says, otherwise 80. */
int output_width(void);

/* How a command writes JSON. */
enum json { JSON_NONE, JSON_INDENTED, JSON_COMPACTED /* on one line */ };

/* Closes standard output. Returns 0, or STATUS_FAILED with an error message if something could not be written. */
int output_end(void);

#endif
