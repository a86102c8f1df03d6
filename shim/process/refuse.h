/* What a refused client gets, and what the daemon. errno may change. None of it blocks. */
#ifndef CONNLIMIT_REFUSE_H
#define CONNLIMIT_REFUSE_H

#include "table/table.h"

/* Whether this process may refuse a connection for itself, and close it: it may have forbidden itself what that takes (door.h).
 */
bool refuse_may_close(int descriptor);

/* Refuses in the way that `refusal` says, and closes. */
void refuse(int descriptor, const struct refusal *refusal);

/* Refuses, and leaves the descriptor open for the daemon as that of a connection which its client has reset. `flags` are those
 * of accept4(2). False if the process has forbidden itself everything that this can be done by. */
bool refuse_in_place(int descriptor, int flags, const struct refusal *refusal);

#endif
