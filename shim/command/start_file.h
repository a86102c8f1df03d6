/* The file of limits that a daemon was started with, in the daemon's own word. */
#ifndef CONNLIMIT_COMMAND_START_FILE_H
#define CONNLIMIT_COMMAND_START_FILE_H

#include "command/view.h"

#include "settings/rules.h"

/* Reads it over *settings, and their lists into *listed, as the daemon's user and where the daemon's root is. Its path is what
 * a process keeps in memory of its own (settings/start.h) which has the table mapped and runs as who made it: no worker that
 * became another user can change that. False with the error; error->text is for the caller alone, who may be able to read more
 * than the daemon. */
bool start_file_read(const struct place *place, struct settings *settings, struct rules_index *listed,
		     struct settings_error *error);

#endif
