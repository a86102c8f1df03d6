/* What is shown of a table: read once, then printed as text, on a screen, as JSON or as metrics. */
#ifndef CONNLIMIT_COMMAND_VIEW_H
#define CONNLIMIT_COMMAND_VIEW_H

#include "kernel/kernel.h"
#include "table/events.h"
#include "table/table.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Where a table is. Only a segment in our own IPC namespace is found by its id. Other memory is reached through the processes
 * that have it mapped, which takes privileges. */
enum memory { MEMORY_SEGMENT, MEMORY_ANONYMOUS, MEMORY_ELSEWHERE /* a segment of another IPC namespace */ };

/* A table's memory, as the kernel knows it. */
struct mapping;
struct place {
	enum memory memory;
	uint64_t id; /* a segment's id or an inode: unique among memory of one kind */
	uid_t owner; /* who made it */
	size_t size;
	const struct mapping *mapping; /* by which it is reached; NULL for a segment in our namespace */
	const pid_t *pid;	       /* the processes that have it mapped, if we may see them */
	size_t pids;
	pid_t maker;		 /* of a segment, as long as it lives; 0: not known */
	unsigned long processes; /* how many there are */
};

struct client_view {
	struct client_facts facts; /* facts.limit is the one that applies now; facts.open the number of valid records */
	uint32_t remote;	   /* connections on other machines, if the fleet is heard */
	uint32_t oldest;	   /* seconds since the oldest open connection was accepted */
};

/* A connection in the table. */
struct record_view {
	struct connection connection; /* its `client` means nothing here */
	struct address address;	      /* the client's own: the peer's, or what a balancer named */
	uint32_t client;	      /* index in view->client[]; NO_CLIENT if not asked for, or unknown */
	uint32_t within;	      /* likewise in view->within[] */
	uint32_t age;		      /* s since it was accepted */
	uint32_t since;		      /* the same, in units of clock_since */
	uint32_t holder;	      /* the process known to hold it, according to the table; 0: none */
	bool gone;		      /* the kernel no longer knows it */
};
#define NO_CLIENT UINT32_MAX

/* An event that the table has kept (events.h). */
struct event_view {
	uint64_t position;
	struct event_facts facts;
};

/* Whether the counts were compared with the kernel before they are shown. */
enum compared { COMPARED, NOT_OTHER_NAMESPACE, NOT_ANSWERED };

/* What is shown of a table. The part before `settings` has no pointers, and comes from the table, checked (facts.h). What the
 * kernel knows better is in the second part. */
struct table_view {
	char name[TABLE_NAME_MOST + 1];
	char program[64];
	char failure[256];
	uint32_t capacity;
	uint64_t network;      /* inode of the daemon's network namespace */
	uint64_t pids;	       /* of its pid namespace */
	uint64_t uptime;       /* s */
	int64_t published;     /* s since limits were last published, -1 if never */
	uint64_t publications; /* how often limits were published; the first time is the start */
	int64_t failed;	       /* s since a reload failed, if none succeeded since; -1 otherwise */
	int64_t heard;	       /* s since the fleet was heard, -1 if never */
	uint64_t lease;	       /* ms for which this is valid */
	uint32_t sidecar;      /* pid of the `connlimit sync` that heard it last, 0 if none */
	uint32_t maker;	       /* pid */
	bool fleet_current;
	bool fleet_evicting;   /* Redis may evict the fleet's keys */
	uint64_t fleet_mended; /* counts in Redis that had to be corrected */
	bool starting;	       /* the daemon is starting, and its settings are not known yet */
	uint64_t refused;
	uint64_t refused_for[REASONS];
	uint64_t observed;
	uint64_t uncounted;
	uint64_t unverified;
	uint64_t unnamed;			    /* from balancers, without a header that names a client */
	struct endpoint unverifiable[UNVERIFIABLE]; /* listeners; port 0 for none */
	uint64_t asked[ASKED_WAYS];		    /* by enum kernel_way */
	uint64_t checks;
	uint64_t check_us;
	uint64_t check_gone;
	uint64_t repaired;
	uint64_t bans; /* that have begun */
	size_t clients;
	size_t networks;
	size_t records;
	size_t events;
	uint64_t events_end;	  /* position behind the last one */
	struct settings settings; /* in force */

	struct settings *start;	    /* the daemon's settings at the start, without its file; NULL if not asked for */
	struct client_view *client; /* who has the most connections is the first */
	struct client_view *within; /* networks, likewise, if connections are counted for them */
	struct record_view *record;
	struct event_view *event;

	struct place place;
	enum compared compared;
	int64_t covered; /* how many of `in_kernel` connections to this daemon's listeners are in the table; -1 unknown */
	int64_t in_kernel;
	uint64_t open;
	uint64_t remote;   /* of all clients */
	uint64_t at_limit; /* clients that have reached their limit */
	uint64_t banned;   /* clients that are */
	uint64_t networks_at_limit;
	bool twin; /* another table has the same name and program */
};

/* What a table's clients are, or its networks; *number is set to how many. */
static inline const struct client_view *view_clients(const struct table_view *view, bool networks, size_t *number)
{
	*number = networks ? view->networks : view->clients;
	return networks ? view->within : view->client;
}

struct tables;
struct wanted;

/* Reads all tables, or those that `which` selects (tables.h), and compares their records with the kernel's sockets, so that
 * each client's count is that of valid records. Nothing is written to the tables. False without memory, with an error message.
 */
bool views_gather(struct tables *tables, const char *which);

/* Puts their clients and networks in order, most connections first. */
void views_sort(struct tables *tables);

/* Reads the records that are wanted, and marks those that the kernel does not have. False as above. */
bool views_find_records(struct tables *tables, const struct wanted *wanted);

/* Things that do not work as they should. Each has a name for programs; view_degraded_says describes it for people. */
enum degraded {
	DEGRADED_ANONYMOUS,    /* no shared memory segment was available */
	DEGRADED_PROC,	       /* sock_diag is not available: the daemon reads /proc/net/tcp */
	DEGRADED_BLIND,	       /* /proc is not available either: refusals rely on the table alone */
	DEGRADED_UNVERIFIED,   /* some refusals did */
	DEGRADED_UNCOUNTED,    /* connections were admitted without being counted */
	DEGRADED_UNNAMED,      /* balancers' connections had no header that names a client */
	DEGRADED_UNCOVERED,    /* the kernel has connections that the table does not know */
	DEGRADED_UNVERIFIABLE, /* the kernel does not tell about some of its listeners' connections */
	DEGRADED_NOT_COMPARED,
	DEGRADED_RELOAD,  /* the last one failed */
	DEGRADED_FLEET,	  /* not heard, though there is a limit over the fleet */
	DEGRADED_EVICTED, /* Redis may evict the fleet's keys */
	DEGRADEDS
};
bool view_degraded(const struct table_view *view, enum degraded what);
const char *view_degraded_name(enum degraded what);
void view_degraded_says(char *text, size_t size, const struct table_view *view, enum degraded what);

/* "environment", "file", ... for enum origin. */
const char *view_origin(unsigned origin);

/* "enforce", ... for enum mode. */
const char *view_mode(unsigned mode);

/* "sock_diag", ... for enum kernel_way. */
const char *view_way(unsigned way);

/* "5d 3h", "3h 12m", "4m 2s", "12s". */
enum { SPAN_TEXT = 24 };
void view_span(char text[SPAN_TEXT], uint64_t seconds);

/* How long a ban still lasts: "9m 3s", "for ever"; "-" for none. */
void view_ban(char text[SPAN_TEXT], uint32_t seconds);

/* A limit as the settings write it: "10", "unlimited", "deny". */
enum { LIMIT_TEXT = 12 };
void view_limit(char text[LIMIT_TEXT], uint32_t limit);

#endif
