/* Numbered places between two writes to shared memory. They are nothing in the shipped objects; a test build gives them a body
 * that kills, stops or reschedules the process there, and so proves that what a death leaves behind is repaired. */
#ifndef CONNLIMIT_POINT_H
#define CONNLIMIT_POINT_H

enum point {
	POINT_CLIENT_TENTATIVE, /* a client entry stands tentative */
	POINT_CLIENT_CONFIRMED, /* confirmed, counts nothing yet */
	POINT_COUNTED,		/* the client counts one more than it has records */
	POINT_SLOT_CLAIMED,	/* a slot is claimed and belongs to no client */
	POINT_SLOT_OWNED,	/* it belongs to the client, its addresses are not written */
	POINT_SLOT_WRITTEN,	/* addresses written, not published */
	POINT_PUBLISHED,	/* published, the caller does not yet have the reference */
	POINT_RELEASE_CLAIMED,	/* the last reference is gone, the slot still owned */
	POINT_RELEASE_DISOWNED, /* disowned, not free */
	POINT_RELEASE_FREED,	/* free, the client counts one too many */
	POINT_MEND_MARKED,	/* a count is marked as being mended */
	POINT_MEND_COUNTED,	/* its slots are counted */
	POINT_LIMITS_CLAIMED,	/* a block of limits is claimed for writing */
	POINT_LIMITS_WRITTEN,	/* written, not the current one */
	POINTS
};

#ifdef CONNLIMIT_POINTS
void point_reached(enum point point);
#else
static inline void point_reached(enum point point)
{
	(void)point;
}
#endif

#endif
