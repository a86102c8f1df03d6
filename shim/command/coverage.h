/* Does the table see all of the daemon's connections? */
#ifndef CONNLIMIT_COMMAND_COVERAGE_H
#define CONNLIMIT_COMMAND_COVERAGE_H

#include "../../lib/table.h"

#include <stdint.h>

/* Of the connections that the kernel has, held by some process, on the local ports that the table's records name: how many
 * (*in_kernel), and of these how many the table holds (*covered). *covered is -1 if the kernel does not tell. Another daemon's
 * connections on the same port number at another address are among them. */
void coverage_of(const struct table *table, int64_t *covered, int64_t *in_kernel);

#endif
