/* How a program is limited: by an object that the loader puts before libc, or by a supervisor of its system calls. */
#ifndef CONNLIMIT_COMMAND_WAY_H
#define CONNLIMIT_COMMAND_WAY_H

#include "command/program.h"

enum way { WAY_NONE, WAY_PRELOAD, WAY_SUPERVISE };

/* "preload" or "supervise"; WAY_NONE for anything else. */
enum way way_named(const char *name);

/* How to limit the program. With WAY_NONE as `wanted`, the preload is preferred if it works, as it is cheaper and sees closes.
 * Returns WAY_NONE if there is no way; the findings for which way_stops is true say why. */
enum way way_for(const struct program *program, enum way wanted);

/* Whether the finding rules out that way, or every way if none is wanted. */
bool way_stops(enum way wanted, const struct finding *finding);

/* Whether the finding still applies if io_uring is kept from the program. */
bool way_concerns(const struct program *program, size_t finding, bool no_ring);

#endif
