/* What is to be shown of a table: read once, printed as text, on a screen, as JSON or as metrics. */
#ifndef CONNLIMIT_COMMAND_VIEW_H
#define CONNLIMIT_COMMAND_VIEW_H

#include "kernel/kernel.h"
#include "table/events.h"
#include "table/table.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Where a table lies. Only a segment of our own IPC namespace is found by its id; what else processes have mapped is reached
 * through them, which takes privileges. */
enum memory { MEMORY_SEGMENT, MEMORY_ANONYMOUS, MEMORY_ELSEWHERE /* a segment of another IPC namespace */ };

/* A table's memory, as the kernel knows it. */
struct mapping;
struct place {
	enum memory memory;
	uint64_t id; /* a segment's, or an inode: no two of one kind have the same */
	uid_t owner; /* who made it */
	size_t size;
	const struct mapping *mapping; /* by which it is reached; NULL for a segment of ours */
	const pid_t *pid;	       /* the processes that have it mapped, as far as we may see them */
	size_t pids;
	unsigned long processes; /* how many there are */
};

struct client_view {
	struct client_facts facts; /* facts.limit is the one that applies now; facts.open the records that stand */
	uint32_t remote;	   /* connections on other machines, as far as the fleet is heard */
	uint32_t oldest;	   /* seconds since the oldest open connection was accepted */
};

/* A connection that the table holds. */
struct record_view {
	struct connection connection;
	uint32_t client; /* place in view->client[]; NO_CLIENT where that was not asked for, or is not known */
	uint32_t within; /* likewise in view->within[] */
	uint32_t age;	 /* s since it was accepted */
	uint32_t since;	 /* the same, as clock_since has it */
	uint32_t holder; /* the process that is known to hold it, as the table says; 0: none is */
	bool gone;	 /* the kernel does not know it any more */
};
#define NO_CLIENT UINT32_MAX

/* An event that the table has kept (events.h). */
struct event_view {
	uint64_t position;
	struct event_facts facts;
};

/* Whether the counts were compared with the kernel before they are shown. */
enum compared { COMPARED, NOT_OTHER_NAMESPACE, NOT_ANSWERED };

/* What is to be shown of a table. Up to `settings` it is plain, and as the table says it, checked (facts.h): what of that the
 * kernel knows better stands in the second part. */
struct table_view {
	char name[TABLE_NAME_MOST + 1];
	char program[64];
	char failure[256];
	uint32_t capacity;
	uint64_t network;      /* inode of the daemon's network namespace */
	uint64_t pids;	       /* of its pid namespace */
	uint64_t uptime;       /* s */
	int64_t published;     /* s since limits were last published, -1 never */
	uint64_t publications; /* how often they were: the first is the start's */
	int64_t failed;	       /* s since a reload failed, if no later one succeeded; -1 otherwise */
	int64_t heard;	       /* s since the fleet was heard, -1 never */
	uint64_t lease;	       /* ms that what was heard is good */
	uint32_t sidecar;      /* pid of the `connlimit sync` that heard it last, 0 for none */
	uint32_t maker;	       /* pid */
	bool fleet_current;
	bool fleet_evicting;   /* Redis may evict what the fleet keeps there */
	uint64_t fleet_mended; /* counts that were not there as they should be */
	bool starting;	       /* the daemon is: what it was started with is not known yet */
	uint64_t refused;
	uint64_t refused_for[REASONS];
	uint64_t observed;
	uint64_t uncounted;
	uint64_t unverified;
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

	struct settings *start;	    /* that the daemon was started with, without its file; NULL if that was not asked for */
	struct client_view *client; /* most connections first */
	struct client_view *within; /* networks, likewise, if connections are counted for them */
	struct record_view *record;
	struct event_view *event;

	struct place place;
	enum compared compared;
	int64_t covered; /* of `in_kernel` connections to this daemon's listeners, how many the table holds; -1 unknown */
	int64_t in_kernel;
	uint64_t open;
	uint64_t remote;   /* of all clients */
	uint64_t at_limit; /* clients that hold as many as they may */
	uint64_t banned;   /* clients that are */
	uint64_t networks_at_limit;
	bool twin; /* another table has the same name and program */
};

struct tables;
struct wanted;

/* Reads every table, or those that `which` means (tables.h), and compares their records with the kernel's sockets, so that each
 * client's count is what stands; the tables are not written to. False without memory, which was said on standard error. */
bool views_gather(struct tables *tables, const char *which);

/* Reads the records that are wanted, and marks those that the kernel has not. False likewise. */
bool views_find_records(struct tables *tables, const struct wanted *wanted);

/* What does not work as it should: how many of these there are in force. Each has a name for programs, and view_degraded_says
 * it in a sentence for people. */
enum degraded {
	DEGRADED_ANONYMOUS,    /* no shared memory segment was available */
	DEGRADED_PROC,	       /* sock_diag is not available: the daemon reads /proc/net/tcp */
	DEGRADED_BLIND,	       /* nor is that: refusals rest on the table's word */
	DEGRADED_UNVERIFIED,   /* some did */
	DEGRADED_UNCOUNTED,    /* connections were admitted uncounted */
	DEGRADED_UNCOVERED,    /* the kernel has connections that the table does not know */
	DEGRADED_UNVERIFIABLE, /* the kernel does not tell about some of its listeners' connections */
	DEGRADED_NOT_COMPARED,
	DEGRADED_RELOAD,  /* the last one failed */
	DEGRADED_FLEET,	  /* not heard, though there is a limit over it */
	DEGRADED_EVICTED, /* Redis may evict what the fleet keeps there */
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

/* A limit, in the words that the settings have: "10", "unlimited", "deny". */
enum { LIMIT_TEXT = 12 };
void view_limit(char text[LIMIT_TEXT], uint32_t limit);

#endif
