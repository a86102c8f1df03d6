/* The supervisor watches the file of limits, because SIGHUP belongs to the program alone. */
#ifndef CONNLIMIT_SUPERVISE_FOLLOW_H
#define CONNLIMIT_SUPERVISE_FOLLOW_H

#include "settings/settings.h"

/* Starts to watch the file. Returns an inotify descriptor, or -1; then only `connlimit reload` reads the file again. */
int follow_begin(const struct settings *start);

/* Call this when the descriptor is readable. If the file has changed, its limits are published. */
void follow_heard(int descriptor);

#endif
