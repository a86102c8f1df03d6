/* Lists: files of networks, one a line, that CONNLIMIT_RULES names. Settings say which there are; here it is read what they
 * have, for rules_build. */
#ifndef CONNLIMIT_LISTS_H
#define CONNLIMIT_LISTS_H

#include "settings/rules.h"

enum { LIST_FILE_MOST = 1 << 24 /* bytes */, LISTS_ROOM = 1 << 16 };

/* Reads all lists of the settings into `listed`, which is sorted then, its networks with the number of their list. Each must be
 * a regular file of at most LIST_FILE_MOST bytes, trusted as the file of limits is, beside which a relative path leads
 * (settings->file). A line has a network or an address, or nothing; # and ; begin a comment. What comes twice within a list
 * counts once; what two lists have is an error. Errors begin with "PATH:LINE:COLUMN: ". `buffer` has LISTS_ROOM bytes.
 * Async-signal-safe.
 */
bool lists_read(const struct settings *settings, struct rules_index *listed, char *buffer, struct settings_error *error);

#endif
