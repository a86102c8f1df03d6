#include "view.h"

#include "coverage.h"

#include "../../lib/check.h"
#include "../../lib/clock.h"
#include "../../lib/records.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct gathering {
	struct table_view *views;
	int number;
	const char *which;
	unsigned long pid; /* which, if it is a number */
	bool failed;
};

const char *view_reason(unsigned reason)
{
	static const char *const names[REASONS] = {
	    [REFUSED_NOT] = "none",    [REFUSED_PER_IP] = "per-ip", [REFUSED_PER_UID] = "per-uid", [REFUSED_RULE] = "rule",
	    [REFUSED_TOTAL] = "total", [REFUSED_RATE] = "rate",	    [REFUSED_FLEET] = "cluster",
	};

	return reason < REASONS && names[reason] != NULL ? names[reason] : "other";
}

const char *view_origin(unsigned origin)
{
	static const char *const names[] = {"default", "environment", "file", "command"};

	return origin < 4 ? names[origin] : "?";
}

/* Text from shared memory, fit to be printed. */
static void printable(char *text, const char *from, size_t size)
{
	size_t i = 0;

	for (; i + 1 < size && from[i] != '\0'; i++)
		text[i] = (unsigned char)from[i] >= ' ' && (unsigned char)from[i] < 127 ? from[i] : '?';
	text[i] = '\0';
}

static int64_t seconds_since(uint64_t then, uint64_t now)
{
	return then == 0 || then > now ? -1 : (int64_t)((now - then) / 1000);
}

/* The limit that a further connection would meet, and the age of the oldest. The port is that of a connection that the client
 * has: a limit by port can be shown only for one. */
static void look_closer(const struct table *table, struct client_view *client, uint64_t now)
{
	uint32_t extent = record_extent(table);
	struct connection connection = {.peer.address = client->facts.network.address};
	struct limits limits;

	for (uint32_t slot = record_next(table, client->facts.entry, 0, extent); slot < extent;
	     slot = record_next(table, client->facts.entry, slot + 1, extent)) {
		uint64_t state;
		struct connection found;
		if (!record_read(table, slot, &state, &found))
			continue;
		uint32_t age = (uint32_t)(now / 1000) - table->record[slot].since;
		if (age > client->oldest && age < (1U << 30))
			client->oldest = age;
		connection = found;
	}
	if (client->facts.network.prefix <= 128)
		client->facts.limit = limits_apply(table, &limits, &connection);
}

/* Most connections first, then most refusals, then by address. */
static int by_weight(const void *left, const void *right)
{
	const struct client_facts *a = &((const struct client_view *)left)->facts;
	const struct client_facts *b = &((const struct client_view *)right)->facts;

	if (a->open != b->open)
		return a->open < b->open ? 1 : -1;
	if (a->refused != b->refused)
		return a->refused < b->refused ? 1 : -1;
	return memcmp(&a->network.address, &b->network.address, sizeof(a->network.address));
}

static void gather_clients(const struct table *table, struct table_view *view, uint64_t now)
{
	size_t room = 0;

	for (uint32_t entry = 0; entry < table->entries; entry++) {
		struct client_view client = {0};

		if (!table_client(table, entry, &client.facts))
			continue;
		client.remote = view->fleet_current ? atomic_load(&table->notes[entry].remote) : 0;
		if (client.facts.open == 0 && client.facts.refused == 0 && client.remote == 0)
			continue;
		if (view->clients == room) {
			size_t more = room != 0 ? room * 2 : 64;
			struct client_view *larger = realloc(view->client, more * sizeof(*larger));
			if (larger == NULL)
				return;
			view->client = larger;
			room = more;
		}
		look_closer(table, &client, now);
		view->open += client.facts.open;
		view->client[view->clients++] = client;
	}
	if (view->clients > 0)
		qsort(view->client, view->clients, sizeof(*view->client), by_weight);
}

static void gather_counters(const struct table_header *header, struct table_view *view)
{
	view->refused = atomic_load(&header->refused);
	for (unsigned reason = 0; reason < REASONS; reason++)
		view->refused_for[reason] = atomic_load(&header->refused_for[reason]);
	view->observed = atomic_load(&header->observed);
	view->uncounted = atomic_load(&header->uncounted);
	view->unverified = atomic_load(&header->unverified);
	view->checks = atomic_load(&header->checks);
	view->check_us = atomic_load(&header->check_us);
	view->check_gone = atomic_load(&header->check_gone);
	view->repaired = atomic_load(&header->repaired);
}

static void gather_one(struct table *table, const struct segment_facts *segment, struct table_view *view)
{
	struct table_header *header = table->header;
	uint64_t now = clock_ms();

	/* Another network namespace's connections are unknown to ours: there the counts are shown as they are. */
	view->checked = network_namespace() == atomic_load(&header->network);
	if (view->checked)
		check_all(table);
	printable(view->name, header->name, sizeof(view->name));
	printable(view->program, header->program, sizeof(view->program));
	printable(view->failure, header->failure, sizeof(view->failure));
	view->maker = atomic_load(&header->maker);
	view->processes = segment->attached;
	int64_t uptime = seconds_since(atomic_load(&header->born), now);
	view->uptime = uptime > 0 ? (uint64_t)uptime : 0;
	view->reloaded = seconds_since(atomic_load(&header->reloaded), now);
	uint64_t failed = atomic_load(&header->failed);
	view->failed = failed >= atomic_load(&header->reloaded) ? seconds_since(failed, now) : -1;
	view->heard = seconds_since(atomic_load(&header->remote_heard), now);
	view->fleet_current = atomic_load(&header->remote_until) > now;
	view->capacity = table->capacity;
	settings_default(&view->settings);
	limits_copy(table, &view->settings);
	gather_counters(header, view);
	gather_clients(table, view, now);
	view->covered = -1;
	if (view->checked)
		coverage_of(table, &view->covered, &view->in_kernel);
}

/* Whether a process has the segment mapped: proc_pid_maps(5) gives its id as the inode of /SYSVkey. */
static bool has_mapped(unsigned long pid, int id)
{
	char path[64];
	char line[512];
	bool mapped = false;

	snprintf(path, sizeof(path), "/proc/%lu/maps", pid);
	FILE *maps = fopen(path, "re");
	if (maps == NULL)
		return false;
	while (!mapped && fgets(line, sizeof(line), maps) != NULL) {
		unsigned long inode;
		mapped = strstr(line, "/SYSV") != NULL && sscanf(line, "%*s %*s %*s %*s %lu", &inode) == 1 &&
			 inode == (unsigned long)id;
	}
	fclose(maps);
	return mapped;
}

static bool visit(const struct segment_facts *segment, void *with)
{
	struct gathering *gathering = with;
	struct table table;

	/* Nobody has it mapped: what a daemon left that was killed. Its connections are gone with it. */
	if (segment->attached == 0 || !segment->readable || !table_open_id(&table, segment->id))
		return true;
	bool wanted = gathering->which == NULL ||
		      (gathering->pid != 0 ? has_mapped(gathering->pid, segment->id)
					   : strncmp(table.header->name, gathering->which, sizeof(table.header->name)) == 0);
	if (wanted) {
		struct table_view *more = realloc(gathering->views, (size_t)(gathering->number + 1) * sizeof(*more));
		if (more == NULL) {
			gathering->failed = true;
		} else {
			gathering->views = more;
			memset(&more[gathering->number], 0, sizeof(*more));
			gather_one(&table, segment, &more[gathering->number++]);
		}
	}
	table_look_away(&table);
	return !gathering->failed;
}

int views_gather(struct table_view **views, const char *which)
{
	struct gathering gathering = {.which = which};
	char *end = NULL;

	if (which != NULL && which[0] >= '1' && which[0] <= '9') {
		gathering.pid = strtoul(which, &end, 10);
		if (*end != '\0')
			gathering.pid = 0;
	}
	table_remove_abandoned();
	segment_list(visit, &gathering);
	*views = gathering.views;
	if (gathering.failed) {
		fprintf(stderr, "connlimit: out of memory\n");
		return -1;
	}
	if (which != NULL && gathering.number == 0) {
		if (gathering.pid != 0)
			fprintf(stderr, "connlimit: process %lu is not under connlimit\n", gathering.pid);
		else
			fprintf(stderr, "connlimit: there is no table '%s'\n", which);
		return -1;
	}
	return gathering.number;
}

void views_free(struct table_view *views, int number)
{
	for (int i = 0; i < number; i++)
		free(views[i].client);
	free(views);
}
