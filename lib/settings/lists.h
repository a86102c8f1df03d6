/* Lists: files of networks, one per line, that CONNLIMIT_RULES names. The settings say which lists there are; these functions
 * read what is in them, for rules_build. */
#ifndef CONNLIMIT_LISTS_H
#define CONNLIMIT_LISTS_H

#include "settings/rules.h"

enum { LIST_FILE_MOST = 1 << 24 /* bytes */, LISTS_ROOM = 1 << 16 };

/* Reads all lists of the settings into `listed`, sorted, each network with the number of its list. Each list must be a regular
 * file of at most LIST_FILE_MOST bytes, and trusted like the file of limits (trusted.h). A relative path starts at the
 * directory of the file of limits (settings->file). A line has a network or an address, or is empty; # and ; begin comments. A
 * network that is repeated in a list counts once; one that is in two lists is an error. Errors begin with "PATH:LINE:COLUMN: ".
 * `buffer` has LISTS_ROOM bytes. Async-signal-safe. */
bool lists_read(const struct settings *settings, struct rules_index *listed, char *buffer, struct settings_error *error);

#endif
