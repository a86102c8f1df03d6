/* The file of limits, which the supervisor follows: SIGHUP is the program's alone. */
#ifndef CONNLIMIT_SUPERVISE_FOLLOW_H
#define CONNLIMIT_SUPERVISE_FOLLOW_H

#include "settings/settings.h"

/* Begins to watch. Returns an inotify descriptor, or -1: then only `connlimit reload` has it read again. */
int follow_begin(const struct settings *start);

/* Something happened in its directory: if to the file, its limits are published. */
void follow_heard(int descriptor);

#endif
