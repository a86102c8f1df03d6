/* Which server is the one that takes writes: of several URLs, hosts and addresses of a name, by Sentinel's word, or by that of
 * a Redis cluster. */
#ifndef CONNLIMIT_COMMAND_SERVERS_H
#define CONNLIMIT_COMMAND_SERVERS_H

#include "command/fleet/redis.h"

enum { URLS_MOST = 8 };

struct servers {
	struct redis_address address[URLS_MOST];
	int number;

	/* All that follows is servers.c's. */
	int chosen;		    /* the URL that served last is tried first */
	struct redis_host redirect; /* where a cluster sent us; "" nowhere */
	bool asking;		    /* for this time only, as the slot is on its way there */
	struct redis_host master;   /* as Sentinel named it; "" if the present one was not found by it */
	char unwritable[80];	    /* the address that refused a write, and is passed over once; "" none */
	char present[80];	    /* the address that we are connected to */
	struct redis *sentinel;	    /* kept, to hear of another master */
	int sentinel_host;	    /* which one that is, or is to be tried next */
	uint64_t sentinel_asked;    /* ms */
	struct redis_facts facts;   /* of the present one */
};

/* Connects, authenticates, and makes sure that it is no replica, all within about wait_ms. NULL with the reason in error. */
struct redis *servers_open(struct servers *servers, int wait_ms, char *error);

/* Whether the reason for which something failed sends us elsewhere: MOVED, ASK. Open anew, at once. */
bool servers_redirected(struct servers *servers, const char *error);

/* What is to be learned from the reason for which the present connection is given up. */
void servers_failed(struct servers *servers, const char *error);

/* Whether Sentinel names another master than the present one by now; asked at most every so many ms. */
bool servers_moved(struct servers *servers, int every_ms);

#endif
