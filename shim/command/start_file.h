/* The file of limits with which a daemon was started. */
#ifndef CONNLIMIT_COMMAND_START_FILE_H
#define CONNLIMIT_COMMAND_START_FILE_H

#include "command/view.h"

#include "settings/rules.h"

/* Reads this file into *settings, and its lists into *listed, as the daemon's user and under the daemon's root. The path comes
 * from the private memory (settings/start.h) of a process that has the table mapped and runs as the user who made it, so a
 * worker that became another user cannot change it. False with the error; error->text is only for the caller, who may be
 * allowed to read more than the daemon. */
bool start_file_read(const struct place *place, struct settings *settings, struct rules_index *listed,
		     struct settings_error *error);

#endif
