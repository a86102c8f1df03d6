/* Numbered places between two writes to shared memory. They are nothing in the shipped objects; a test build gives them a body
 * that kills, stops or reschedules the process there, and so proves that what a death leaves behind is repaired. */
#ifndef CONNLIMIT_POINT_H
#define CONNLIMIT_POINT_H

#include <stdbool.h>

enum point {
	POINT_CLIENT_TENTATIVE, /* a client entry stands tentative */
	POINT_CLIENT_CONFIRMED, /* confirmed, counts nothing yet */
	POINT_COUNTED,		/* the client counts one more than it has records */
	POINT_NETWORK_COUNTED,	/* so does the client's network */
	POINT_SLOT_CLAIMED,	/* a slot is claimed and belongs to no client */
	POINT_SLOT_OWNED,	/* it belongs to the client, its addresses are not written */
	POINT_SLOT_WRITTEN,	/* addresses written, not published */
	POINT_PUBLISHED,	/* published, the caller does not yet have the reference */
	POINT_RELEASE_CLAIMED,	/* the last reference is gone, the slot still owned */
	POINT_RELEASE_DISOWNED, /* disowned, not free */
	POINT_RELEASE_FREED,	/* free, the client counts one too many */
	POINT_RELEASE_NETWORK,	/* the client counts what it has, its network one too many */
	POINT_MEND_MARKED,	/* a count is marked as being mended */
	POINT_MEND_COUNTED,	/* its slots are counted */
	POINT_BAN_WRITTEN,	/* a client's ban is written, its entry is not marked */
	POINT_LIMITS_CLAIMED,	/* a block of limits is claimed for writing */
	POINT_LIMITS_WRITTEN,	/* written, not the current one */
	POINT_LIMITS_CURRENT,	/* the current one, and still claimed */
	POINT_START_CLAIMED,	/* what the daemon was started with is being written */
	POINT_START_WRITTEN,	/* written, not marked so */
	POINT_REGROUP_SLOT,	/* a slot is next to be looked at, or was, by limits that may be replaced meanwhile */
	POINT_REGROUP_COUNTED,	/* a connection counts for its client under the new prefix, and still for the old one */
	POINT_REGROUP_MOVED,	/* its slot is the new client's, the old one counts one too many */
	POINT_TABLE_NAMED,	/* a table is made and named, its limits are not there, nor is it marked as made */
	POINT_TABLE_LIMITED,	/* it has limits, and is not marked as made */
	POINTS,
	POINT_SWAP, /* before a swap that is tried again if it fails: not a place to die at, but to be counted */

	/* What a process knows by itself dies with it, and so does a look, so these are not to die at either: but another
	 * thread may come between.
	 */
	POINT_NO_TOKEN,	      /* an accept has seen that there is no token, and takes a new one */
	POINT_ENTRY_TOKEN,    /* a descriptor's entry has its token, and not yet its record */
	POINT_ENTERED,	      /* it has, and nobody has looked whether anything came between */
	POINT_STALE_TAKEN,    /* what stood under the number is taken out, and not yet doubted */
	POINT_CLOSING_SEEN,   /* a close has seen what it closes, and not yet marked it */
	POINT_CLOSE_COMPARED, /* a close knows what it means, and has not yet done it */
	POINT_CLOSE_DECIDED,  /* it has, and the entry is still there */
	POINT_BAN_NOT_FOUND,  /* an entry is marked, and has no ban: the mark is about to be taken away */
	POINT_RELEASE_SEEN,   /* a release has seen for whom the slot counts, and not yet claimed it */
	POINT_COPY_SEEN,      /* a dup has seen what it copies, and not yet marked it */
};

/* Orderings that the table's algorithms rest on. A test build can leave one out, to show that it would notice. */
enum ordering {
	ORDERING_NONE_LEFT_OUT,
	ORDERING_ENTER_THEN_LOOK,    /* who adds a client looks for others at it after its own entry stands */
	ORDERING_PUBLISH_THEN_LOOK,  /* an admission looks after its slot is published whether the count was mended */
	ORDERING_RAISE_THEN_COUNT,   /* a mend raises the generation before it counts slots */
	ORDERING_LOOK_THEN_FREE,     /* a release reads the generation before it frees its slot */
	ORDERING_END_THEN_COPY,	     /* a fork ends sole holding before descriptors are copied */
	ORDERING_MARK_THEN_COPY,     /* a dup marks the record before there is a copy */
	ORDERING_TOKEN_THEN_ACCEPT,  /* an accept takes its token before there is a connection */
	ORDERING_CLOSE_THEN_COMPARE, /* a close compares tokens when the connection is closed */
	ORDERINGS
};

#ifdef CONNLIMIT_POINTS
void point_reached(enum point point);
bool left_out(enum ordering ordering);
#else
static inline void point_reached(enum point point)
{
	(void)point;
}

static inline bool left_out(enum ordering ordering)
{
	(void)ordering;
	return false;
}
#endif

#endif
