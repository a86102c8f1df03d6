/* Refusing: what the client gets, and what the daemon gets. errno may change. Nothing here blocks. */
#ifndef CONNLIMIT_REFUSE_H
#define CONNLIMIT_REFUSE_H

#include "table/table.h"

/* Whether this process may refuse a connection by itself and close it. It may have forbidden itself the calls for that
 * (door.h). */
bool refuse_may_close(int descriptor);

/* Refuses in the way that `refusal` says, and closes. */
void refuse(int descriptor, const struct refusal *refusal);

/* Refuses, and leaves the descriptor open for the daemon, as if the client had reset the connection. `flags` are those of
 * accept4(2). False if the process has forbidden itself every call by which this can be done. */
bool refuse_in_place(int descriptor, int flags, const struct refusal *refusal);

#endif
