/* Does the table know all of the daemon's connections? */
#ifndef CONNLIMIT_COMMAND_COVERAGE_H
#define CONNLIMIT_COMMAND_COVERAGE_H

#include "command/sockets.h"
#include "command/view.h"

#include <stdint.h>

/* Counts the kernel's connections to the listeners of the daemon's processes (*in_kernel), and how many of them are in the
 * table (*covered). If we may not see which listeners the daemon has, the local ports in the table's records are used instead.
 * A connection in an accept queue does not count yet. One that the daemon has shut down for sending, such as a refused one with
 * an answer, only counts if it is in the table. */
void coverage_of(const struct table_view *view, const struct sockets *sockets, int64_t *covered, int64_t *in_kernel);

/* Whether a connection to `local` reaches one of sockets->listener[] that own[] marks. */
bool listeners_lead_to(const struct sockets *sockets, const bool *own, const struct endpoint *local);

#endif
