/* What is to be shown of a table: gathered once, printed as text, on a screen, as JSON or as metrics. */
#ifndef CONNLIMIT_COMMAND_VIEW_H
#define CONNLIMIT_COMMAND_VIEW_H

#include "command/tables.h"

#include "kernel/kernel.h"
#include "table/table.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct client_view {
	struct client_facts facts; /* facts.limit is the one that applies now */
	uint32_t remote;	   /* connections on other machines, as far as the fleet is heard */
	uint32_t oldest;	   /* seconds since the oldest open connection was accepted */
};

/* Whether the counts were compared with the kernel before they are shown. */
enum compared { COMPARED, NOT_OTHER_NAMESPACE, NOT_ANSWERED };

struct table_view {
	char name[TABLE_NAME_MOST + 1];
	char program[64];
	enum memory memory;
	uint32_t maker; /* pid */
	unsigned long processes;
	uint64_t uptime; /* s */
	enum compared compared;
	int64_t covered; /* of `in_kernel` connections to this daemon's listeners, how many the table holds; -1 unknown */
	int64_t in_kernel;
	int64_t published;     /* s since limits were last published, -1 never */
	uint64_t publications; /* how often they were: the first is the start's */
	int64_t failed;	       /* s since a reload failed, if no later one succeeded; -1 otherwise */
	char failure[256];
	int64_t heard;	  /* s since the fleet was heard, -1 never */
	uint64_t lease;	  /* ms that what was heard is good */
	uint32_t sidecar; /* pid of the `connlimit sync` that heard it last, 0 for none */
	bool fleet_current;
	bool fleet_evicting;   /* Redis may evict what the fleet keeps there */
	uint64_t fleet_mended; /* counts that were not there as they should be */
	uint64_t open;
	uint64_t remote;   /* of all clients */
	uint64_t at_limit; /* clients that hold as many as they may */
	uint32_t capacity;
	uint64_t refused;
	uint64_t refused_for[REASONS];
	uint64_t observed;
	uint64_t uncounted;
	uint64_t unverified;
	uint64_t asked[ASKED_WAYS]; /* by enum kernel_way */
	uint64_t checks;
	uint64_t check_us;
	uint64_t check_gone;
	uint64_t repaired;
	struct settings settings;
	struct client_view *client; /* most connections first */
	size_t clients;
	bool twin; /* another table has the same name and program */
};

/* Gathers every table, or those called `which`, or the one that process `which` (a number) has mapped. Returns how many, with
 * *views to be freed by views_free; -1 if there is no memory for it, which was said on standard error. */
int views_gather(struct table_view **views, const char *which);
void views_free(struct table_view *views, int number);

/* What does not work as it should: how many of these there are in force. Each has a name for programs, and view_degraded_says
 * it in a sentence for people. */
enum degraded {
	DEGRADED_ANONYMOUS,  /* no shared memory segment was available */
	DEGRADED_PROC,	     /* sock_diag is not available: the daemon reads /proc/net/tcp */
	DEGRADED_BLIND,	     /* nor is that: refusals rest on the table's word */
	DEGRADED_UNVERIFIED, /* some did */
	DEGRADED_UNCOUNTED,  /* connections were admitted uncounted */
	DEGRADED_UNCOVERED,  /* the kernel has connections that the table does not know */
	DEGRADED_NOT_COMPARED,
	DEGRADED_RELOAD,  /* the last one failed */
	DEGRADED_FLEET,	  /* not heard, though there is a limit over it */
	DEGRADED_EVICTED, /* Redis may evict what the fleet keeps there */
	DEGRADEDS
};
bool view_degraded(const struct table_view *view, enum degraded what);
const char *view_degraded_name(enum degraded what);
void view_degraded_says(char *text, size_t size, const struct table_view *view, enum degraded what);

/* "per_ip", "rule", ... for enum refusal_reason. */
const char *view_reason(unsigned reason);

/* "environment", "file", ... for enum origin. */
const char *view_origin(unsigned origin);

/* "enforce", ... for enum mode. */
const char *view_mode(unsigned mode);

/* "sock_diag", ... for enum kernel_way. */
const char *view_way(unsigned way);

/* "5d 3h", "3h 12m", "4m 2s", "12s". */
enum { SPAN_TEXT = 24 };
void view_span(char text[SPAN_TEXT], uint64_t seconds);

/* A limit, in the words that the settings have: "10", "unlimited", "deny". */
enum { LIMIT_TEXT = 12 };
void view_limit(char text[LIMIT_TEXT], uint32_t limit);

#endif
