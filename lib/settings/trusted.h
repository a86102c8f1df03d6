/* Files that say who is limited and how: the file of limits, and lists. Whoever can write to one can set the limits, so each
 * must belong to root or the effective user, and nobody else may have write access. For lib's own use; async-signal-safe. */
#ifndef CONNLIMIT_TRUSTED_H
#define CONNLIMIT_TRUSTED_H

#include "settings/settings.h"

#include <sys/types.h>

/* A place in a file. Line 0 stands for the whole file. */
struct place {
	unsigned line;
	size_t column;
};

/* Says "PATH:LINE:COLUMN: PROBLEM", and returns false. `problem` may be error->text. */
bool file_wrong(struct settings_error *error, const char *path, struct place place, const char *problem);

/* Opens a file, if it is regular, has at most `most` bytes, and is trusted. -1 with the error; errno is kept. *secret: not
 * everyone may read it. */
int trusted_open(const char *path, off_t most, bool *secret, struct settings_error *error);

/* Reads the next part. Returns the number of bytes, 0 at the end, -1 with the error. */
ssize_t trusted_read(int descriptor, char *buffer, size_t size, const char *path, struct settings_error *error);

#endif
