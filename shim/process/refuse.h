/* Refusing: what the client gets, and what the daemon gets. errno may change. Nothing here blocks. */
#ifndef CONNLIMIT_REFUSE_H
#define CONNLIMIT_REFUSE_H

#include "table/table.h"
#include "values/budget.h"

/* Whether this process may refuse a connection by itself and close it. It may have forbidden itself the calls for that
 * (door.h). */
bool refuse_may_close(int descriptor);

/* Refuses in the way that `refusal` says, and closes. */
void refuse(int descriptor, const struct refusal *refusal);

/* Refuses, and leaves the descriptor open for the daemon, as if the client had reset the connection. `flags` are those of
 * accept4(2). False if the process has forbidden itself every call by which this can be done. */
bool refuse_in_place(int descriptor, int flags, const struct refusal *refusal);

/* One call of accept takes refused connections away and goes on with the next ones, before the daemon gets control again: so
 * many at most, and until their decisions have spent a quarter of what one may. The last one comes on top of that. */
struct refused_so_far {
	unsigned number;
	unsigned spent; /* us */
};
static inline bool refuse_goes_on(struct refused_so_far *so_far, const struct refusal *refusal)
{
	enum { NUMBER_MOST = 64, SPENT_MOST = DECISION_NS / 4000 };

	so_far->spent += refusal->spent;
	return so_far->number++ < NUMBER_MOST && so_far->spent < SPENT_MOST;
}

#endif
