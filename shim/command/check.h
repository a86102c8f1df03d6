/* What a file of limits says. */
#ifndef CONNLIMIT_COMMAND_CHECK_H
#define CONNLIMIT_COMMAND_CHECK_H

/* With the arguments left: none, or an address, and a port. Returns the exit status. */
int check_rules(int argc, char **argv, const char *path);

#endif
