/* In which way a program is limited: by an object that the loader puts before libc, or by a supervisor of its system calls. */
#ifndef CONNLIMIT_COMMAND_WAY_H
#define CONNLIMIT_COMMAND_WAY_H

#include "command/program.h"

enum way { WAY_NONE, WAY_PRELOAD, WAY_SUPERVISE };

/* "preload" or "supervise"; WAY_NONE if it is neither. */
enum way way_named(const char *name);

/* How the program is limited, if `wanted` (WAY_NONE: whichever works best). The preload, which is cheaper and sees closes,
 * wherever it works. WAY_NONE: its findings say why, all of them that `way_stops` is true of. */
enum way way_for(const struct program *program, enum way wanted);

/* Whether the finding stands against that way, or against every way where none is wanted. */
bool way_stops(enum way wanted, const struct finding *finding);

/* Whether the finding still holds, where io_uring is kept from the program or not. */
bool way_concerns(const struct program *program, size_t finding, bool no_ring);

#endif
