/* The sidecar's own state, and its parts: arguments (sync_arguments.c) and messages (sync_report.c). */
#ifndef CONNLIMIT_COMMAND_SYNC_H
#define CONNLIMIT_COMMAND_SYNC_H

#include "command/fleet/fleet.h"
#include "command/fleet/machine.h"
#include "command/fleet/servers.h"

#include <stdbool.h>
#include <stdint.h>

/* For things that are done from time to time. */
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

/* What had to be corrected in Redis. */
enum mended_how { MENDED_COUNTS, MENDED_NODE, MENDED_HOWS };

struct report {
	char said[8][FLEET_ERROR]; /* reasons of the present failure; [0] is "" if there is none */
	unsigned saying;
	unsigned long mended; /* counts, since it was last reported that nothing had to be corrected for a while */
	uint64_t mended_last; /* ms */
	bool mended_said[MENDED_HOWS];
	bool heard;    /* once */
	bool evicting; /* as reported last */
};

struct sync {
	struct servers servers;
	struct redis *redis;
	struct fleet fleet;
	struct machine machine;
	struct report report;
	const char *redis_file; /* NULL: the URLs are on the command line */
	const char *cluster;
	const char *node;
	const char *ca;
	const char *certificate;
	const char *key;
	int interval_ms;
	int lease_ms;
	bool verbose;
	bool forgotten; /* the fleet forgot this node while it was connected */
	uint64_t heard; /* ms of clock_us of the last request that was answered */
	uint64_t lost;	/* ms since when the fleet is not heard; 0 while it is heard */
	uint64_t retry; /* time of the next attempt */
	uint64_t pause; /* ms from that to the one after it */
	struct every snapshot, apply_all, verify, remove, facts;
	unsigned long long sent;
	unsigned long long received;
};

/* Reads the arguments. Returns -1 to continue, or the exit status. */
int sync_arguments(struct sync *sync, int argc, char **argv);

/* Reads the file of URLs again. If it is no longer valid, reports that, keeps the old ones and returns false. */
bool sync_read_again(struct sync *sync);

/* Prints a line to standard error, and sends it to systemd as the status. */
void report_line(const char *format, const char *detail);

/* Reports each reason for which the fleet is not heard once, until it is heard again. */
void report_lost(struct report *report, const char *error);
void report_heard(struct report *report);

/* So many counts in Redis were corrected, perhaps none: reports it once for each way, until nothing had to be corrected for a
 * minute. The metric counts them all. */
void report_mended(struct report *report, uint64_t now, unsigned long mended, enum mended_how how);

/* Reports a change. */
void report_evicting(struct report *report, bool evicting);

#endif
