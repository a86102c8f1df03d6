/* Checking a file of limits. */
#ifndef CONNLIMIT_COMMAND_CHECK_H
#define CONNLIMIT_COMMAND_CHECK_H

/* Takes the remaining arguments: nothing, or an address and perhaps a port. Returns the exit status. */
int check_rules(int argc, char **argv, const char *path);

#endif
