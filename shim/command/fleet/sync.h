/* The sidecar's own state, and its parts: what it is told on the command line (sync_arguments.c) and what it says
 * (sync_report.c). */
#ifndef CONNLIMIT_COMMAND_SYNC_H
#define CONNLIMIT_COMMAND_SYNC_H

#include "command/fleet/fleet.h"
#include "command/fleet/machine.h"
#include "command/fleet/servers.h"

#include <stdbool.h>
#include <stdint.h>

/* What is done now and then. */
struct every {
	uint64_t next;
};

static inline bool is_due(struct every *every, uint64_t now, uint64_t ms)
{
	if (now < every->next)
		return false;
	every->next = now + ms;
	return true;
}

struct report {
	char said[8][FLEET_ERROR]; /* reasons of the present trouble; [0] "": there is none */
	unsigned saying;
	unsigned long mended; /* and not said yet */
	struct every say_mended;
	bool heard;    /* once */
	bool evicting; /* was said */
};

struct sync {
	struct servers servers;
	struct redis *redis;
	struct fleet fleet;
	struct machine machine;
	struct report report;
	const char *redis_file; /* NULL: the URLs stood on the command line */
	const char *cluster;
	const char *node;
	const char *ca;
	const char *certificate;
	const char *key;
	int interval_ms;
	int lease_ms;
	bool verbose;
	bool forgotten; /* by the fleet, while the connection stood */
	uint64_t heard; /* ms of clock_us when the last answer was asked for */
	uint64_t lost;	/* ms since when it is not heard; 0: it is */
	uint64_t retry; /* not before */
	uint64_t pause; /* ms to the try after that */
	struct every snapshot, apply_all, verify, remove, facts;
	unsigned long long sent;
	unsigned long long received;
};

/* Fills in what the arguments say. Returns -1, or the exit status if that was all. */
int sync_arguments(struct sync *sync, int argc, char **argv);

/* Reads the file of URLs anew. False, with the old ones kept, if it is not good any more, which was said. */
bool sync_read_again(struct sync *sync);

/* On standard error, and as systemd's status. */
void report_line(const char *format, const char *detail);

/* Each reason that the fleet is not heard is said once, until it is heard again. */
void report_lost(struct report *report, const char *error);
void report_heard(struct report *report);

/* What was found otherwise than it should be was put right. Said at once, and then every 10 s at most. */
void report_mended(struct report *report, uint64_t now, unsigned long mended);

/* Said when it changes. */
void report_evicting(struct report *report, bool evicting);

#endif
