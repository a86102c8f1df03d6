/* The subcommands of `connlimit`. Each gets its own arguments, with its name first, and returns the exit status. */
#ifndef CONNLIMIT_COMMAND_H
#define CONNLIMIT_COMMAND_H

int command_run(int argc, char **argv);
int command_clients(int argc, char **argv);
int command_disconnect(int argc, char **argv);
int command_manual(int argc, char **argv);
int command_metrics(int argc, char **argv);
int command_check(int argc, char **argv);
int command_suggest(int argc, char **argv);
int command_reload(int argc, char **argv);
int command_set(int argc, char **argv);
int command_status(int argc, char **argv);
int command_sync(int argc, char **argv);

#endif
