/* Finds the server that accepts writes, among several URLs, hosts and addresses; by asking Sentinel, or by redirections of a
 * Redis cluster. */
#ifndef CONNLIMIT_COMMAND_SERVERS_H
#define CONNLIMIT_COMMAND_SERVERS_H

#include "command/fleet/redis.h"

enum { URLS_MOST = 8 };

struct sentinel {
	struct redis *redis;	  /* kept open to learn of a new master; NULL if it did not answer */
	uint64_t failed;	  /* when (ms); 0 if it did */
	struct redis_host master; /* as it named it last; "" if it did not */
	unsigned long long epoch; /* of the configuration in which that is the master */
};

struct servers {
	struct redis_address address[URLS_MOST];
	int number;

	/* The rest is private to servers.c. */
	int chosen;		    /* the URL that worked last, which is tried first */
	struct redis_host redirect; /* where a cluster redirected us; "" if it did not */
	bool asking;		    /* only for the next connection, as the slot is migrating there */
	struct redis_host master;   /* as named by Sentinel; "" if the present server was not found that way */
	unsigned long long epoch;   /* in which it is the master, as far as Sentinel told */
	char unwritable[80];	    /* the address that refused a write, which is skipped once; "" if none */
	char present[80];	    /* the address that we are connected to */
	struct sentinel sentinel[HOSTS_MOST];
	uint64_t sentinels_asked; /* ms */
	struct redis_facts facts; /* about the present server */
};

/* The addresses were replaced: forgets what was learned of the former ones. */
void servers_forget(struct servers *servers);

/* Connects, authenticates, and checks that the server is not a replica, all within about wait_ms. NULL with the reason in
 * error. */
struct redis *servers_open(struct servers *servers, int wait_ms, char *error);

/* Whether an error is a redirection (MOVED, ASK). If so, call servers_open again at once. */
bool servers_redirected(struct servers *servers, const char *error);

/* Learns from the error for which the present connection is given up. */
void servers_failed(struct servers *servers, const char *error);

/* Whether the Sentinels name another master than the present server; asks at most every so many ms. `answers`
 * says that the present server does: then those that do not answer are asked rarely, as that takes time. */
bool servers_moved(struct servers *servers, int every_ms, bool answers);

#endif
