/* Does the table see all of the daemon's connections? */
#ifndef CONNLIMIT_COMMAND_COVERAGE_H
#define CONNLIMIT_COMMAND_COVERAGE_H

#include "command/sockets.h"
#include "command/view.h"

#include <stdint.h>

/* Of the connections that the kernel has to the listeners of the daemon's processes: how many (*in_kernel), and of these how
 * many the table holds (*covered). Where we may not see which listeners those are, the local ports stand for them that the
 * table's records name. A connection in an accept queue is not one yet, one whose end the daemon has sent only if the table
 * still holds it: such as those that were refused with an answer. */
void coverage_of(const struct table_view *view, const struct sockets *sockets, int64_t *covered, int64_t *in_kernel);

/* Whether a connection that arrives at `local` comes to one of sockets->listener[] that own[] marks. */
bool listeners_lead_to(const struct sockets *sockets, const bool *own, const struct endpoint *local);

#endif
