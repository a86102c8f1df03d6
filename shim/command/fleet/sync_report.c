#include "command/fleet/sync.h"

#include "command/fleet/notify.h"

#include "values/text.h"

#include <stdio.h>
#include <string.h>

enum { QUIET_MS = 60000 /* without a correction, until the next one is news again */, LINE = FLEET_ERROR + 200 };

static void compose(char line[LINE], const char *format, const char *detail)
{
	char status[LINE + 16];
	char raw[LINE];

	snprintf(raw, LINE, format, detail); // NOLINT: the formats are those of this program
	text_escape(line, LINE, raw, LINE);  /* part of it comes from a server */
	snprintf(status, sizeof(status), "STATUS=%s", line);
	notify(status);
}

void report_line(const char *format, const char *detail)
{
	char line[LINE];

	compose(line, format, detail);
	fprintf(stderr, "connlimit sync: %s\n", line);
}

void report_lost(struct report *reports, const char *error)
{
	const unsigned most = sizeof(reports->said) / sizeof(reports->said[0]);
	bool first = reports->said[0][0] == '\0';
	char line[LINE];

	compose(line, first ? "%s: the fleet is not heard; this machine's own limits hold" : "%s: the fleet is still not heard",
		error);
	for (unsigned i = 0; i < most; i++)
		if (strcmp(reports->said[i], error) == 0 && error[0] != '\0')
			return;
	snprintf(reports->said[reports->saying++ % most], FLEET_ERROR, "%s", error);
	fprintf(stderr, "connlimit sync: %s\n", line);
}

void report_heard(struct report *reports)
{
	char line[LINE];

	if (reports->said[0][0] != '\0')
		report_line("the fleet is heard again%s", "");
	else if (!reports->heard)
		compose(line, "in step with the fleet%s", "");
	reports->heard = true;
	memset(reports->said, 0, sizeof(reports->said));
	reports->saying = 0;
}

void report_mended(struct report *reports, uint64_t now, unsigned long mended, enum mended_how how)
{
	static const char *const line[] = {
	    [MENDED_COUNTS] =
		"%s counts in Redis differed from what was sent, and were corrected: keys were deleted, evicted or "
		"written by others",
	    [MENDED_NODE] = "the fleet had lost this node's counts; they were sent again%.0s",
	};
	char number[24];

	if (mended == 0) {
		if (reports->mended != 0 && now - reports->mended_last >= QUIET_MS) {
			snprintf(number, sizeof(number), "%lu", reports->mended);
			report_line("nothing had to be corrected in Redis for a minute, after %s counts", number);
			reports->mended = 0;
			memset(reports->mended_said, 0, sizeof(reports->mended_said));
		}
		return;
	}
	reports->mended += mended;
	reports->mended_last = now;
	if (reports->mended_said[how])
		return;
	reports->mended_said[how] = true;
	snprintf(number, sizeof(number), "%lu", mended);
	report_line(line[how], number);
}

void report_evicting(struct report *reports, bool evicting)
{
	if (evicting && !reports->evicting)
		report_line(
		    "Redis is configured to evict the fleet's keys (maxmemory-policy allkeys-...): counts are lost until "
		    "that is noticed and corrected; noeviction is the right policy%s",
		    "");
	else if (!evicting && reports->evicting)
		report_line("Redis does not evict the fleet's keys any more%s", "");
	reports->evicting = evicting;
}
