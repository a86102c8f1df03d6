/* What a refused client gets. */
#ifndef CONNLIMIT_REFUSE_H
#define CONNLIMIT_REFUSE_H

#include "table/table.h"

/* Refuses in the way that `refusal` says, and closes. Never blocks. errno may change. */
void refuse(int descriptor, const struct refusal *refusal);

/* Refuses, and leaves the descriptor open for the daemon as that of a connection which its client has reset. False if the
 * process has forbidden itself what that takes: then it is closed. */
bool refuse_in_place(int descriptor, const struct refusal *refusal);

#endif
