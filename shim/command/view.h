/* What is to be shown of a table: gathered once, printed as text, JSON or metrics. */
#ifndef CONNLIMIT_COMMAND_VIEW_H
#define CONNLIMIT_COMMAND_VIEW_H

#include "../../lib/table.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct client_view {
	struct client_facts facts; /* facts.limit is the one that applies now */
	uint32_t remote;	   /* connections on other machines, as far as the fleet is heard */
	uint32_t oldest;	   /* seconds since the oldest open connection was accepted */
};

struct table_view {
	char name[TABLE_NAME_MOST + 1];
	char program[64];
	uint32_t maker; /* pid */
	unsigned long processes;
	uint64_t uptime; /* s */
	bool checked;	 /* the counts were compared with the kernel */
	int64_t covered; /* of `in_kernel` connections on this daemon's ports, how many the table holds; -1 unknown */
	int64_t in_kernel;
	int64_t reloaded; /* s since limits were last published, -1 never */
	int64_t failed;	  /* s since a reload failed, if no later one succeeded; -1 otherwise */
	char failure[256];
	int64_t heard; /* s since the fleet was heard, -1 never */
	bool fleet_current;
	uint64_t open;
	uint32_t capacity;
	uint64_t refused;
	uint64_t refused_for[REASONS];
	uint64_t observed;
	uint64_t uncounted;
	uint64_t unverified;
	uint64_t checks;
	uint64_t check_us;
	uint64_t check_gone;
	uint64_t repaired;
	struct settings settings;
	struct client_view *client; /* most connections first */
	size_t clients;
};

/* Gathers every table, or the one called `which` or that process `which` (a number) has mapped. Returns how many, with *views
 * to be freed by views_free; -1 with a sentence on standard error if there is no such table. */
int views_gather(struct table_view **views, const char *which);
void views_free(struct table_view *views, int number);

/* "per-ip", "rule", ... for enum refusal_reason. */
const char *view_reason(unsigned reason);

/* "environment", "file", ... for enum origin. */
const char *view_origin(unsigned origin);

#endif
