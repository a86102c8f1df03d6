#include "command/view.h"

#include "command/coverage.h"
#include "command/sockets.h"

#include "decisions/check.h"
#include "values/clock.h"
#include "table/records.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct gathering {
	struct table_view *views;
	int number;
	struct sockets sockets;
	bool sockets_known;
	bool failed;
};

static int64_t seconds_since(uint64_t then, uint64_t now)
{
	return then == 0 || then > now ? -1 : (int64_t)((now - then) / 1000);
}

/* Most connections first, then most refusals, then by address. */
static int by_weight(const void *left, const void *right)
{
	const struct client_facts *a = &((const struct client_view *)left)->facts;
	const struct client_facts *b = &((const struct client_view *)right)->facts;

	if (a->open != b->open)
		return a->open < b->open ? 1 : -1;
	if (a->refused + a->observed != b->refused + b->observed)
		return a->refused + a->observed < b->refused + b->observed ? 1 : -1;
	return memcmp(&a->network.address, &b->network.address, sizeof(a->network.address));
}

static bool find_clients(const struct table *table, struct table_view *view)
{
	size_t room = 0;

	for (uint32_t entry = 0; entry < table->entries; entry++) {
		struct client_view client = {0};

		if (!table_client(table, entry, &client.facts))
			continue;
		client.remote = view->fleet_current ? atomic_load(&table->entry[entry].remote) : 0;
		if (client.facts.open == 0 && client.facts.refused == 0 && client.facts.observed == 0 && client.remote == 0)
			continue;
		if (view->clients == room) {
			size_t more = room != 0 ? room * 2 : 64;
			struct client_view *larger = realloc(view->client, more * sizeof(*larger));
			if (larger == NULL)
				return false;
			view->client = larger;
			room = more;
		}
		view->client[view->clients++] = client;
	}
	return true;
}

/* For each client the limit that a further connection would meet, and the age of the oldest, in one pass over the connections.
 * The port is that of a connection that the client has, or if it has none, that another has: a limit by port can be shown only
 * for one. Where there is no connection at all, the limit stays that applied last, unless there are no rules. */
static bool look_closer(const struct table *table, struct table_view *view)
{
	uint32_t *client_of = calloc(table->entries, sizeof(*client_of)); /* number + 1 in view->client */
	uint16_t *port = calloc(view->clients + 1, sizeof(*port));
	uint32_t extent = record_extent(table);
	uint16_t any_port = view->settings.rules == 0 ? 1 : 0;
	bool room = client_of != NULL && port != NULL;

	for (size_t i = 0; i < view->clients && room; i++)
		client_of[view->client[i].facts.entry] = (uint32_t)i + 1;
	for (uint32_t slot = 0; slot < extent && room; slot++) {
		uint32_t owner = atomic_load_explicit(&table->owner[slot], memory_order_relaxed);
		struct connection found;
		uint64_t state;

		if (owner == 0 || owner > table->entries || client_of[owner - 1] == 0 ||
		    !record_read(table, slot, &state, &found))
			continue;
		size_t i = client_of[owner - 1] - 1;
		uint32_t age = (clock_since() - table->record[slot].since) / 100;
		if (age > view->client[i].oldest && age < (1U << 30))
			view->client[i].oldest = age;
		port[i] = found.local.port;
		if (found.local.port != 0)
			any_port = found.local.port;
	}
	for (size_t i = 0; i < view->clients && room; i++) {
		struct client_facts *facts = &view->client[i].facts;
		struct connection further = {.peer.address = facts->network.address,
					     .local.port = port[i] != 0 ? port[i] : any_port};
		struct limits limits;

		if (facts->network.prefix == NETWORK_UID)
			facts->limit = view->settings.per_uid;
		else if (further.local.port != 0)
			facts->limit = limits_apply(table, &limits, &further).limit;
		view->open += facts->open;
		view->remote += view->client[i].remote;
		view->at_limit += facts->open > 0 && facts->limit != LIMIT_NONE && facts->open >= facts->limit;
	}
	free(client_of);
	free(port);
	return room;
}

static void gather_counters(const struct table_header *header, struct table_view *view)
{
	view->refused = atomic_load(&header->refused);
	for (unsigned reason = 0; reason < REASONS; reason++)
		view->refused_for[reason] = atomic_load(&header->refused_for[reason]);
	for (unsigned way = 0; way < ASKED_WAYS; way++)
		view->asked[way] = atomic_load(&header->asked[way]);
	view->observed = atomic_load(&header->observed);
	view->uncounted = atomic_load(&header->uncounted);
	view->unverified = atomic_load(&header->unverified);
	view->checks = atomic_load(&header->checks);
	view->check_us = atomic_load(&header->check_us);
	view->check_gone = atomic_load(&header->check_gone);
	view->repaired = atomic_load(&header->repaired);
}

static void gather_times(const struct table_header *header, struct table_view *view, uint64_t now)
{
	int64_t uptime = seconds_since(atomic_load(&header->born), now);
	uint64_t failed = atomic_load(&header->failed);

	view->uptime = uptime > 0 ? (uint64_t)uptime : 0;
	view->published = seconds_since(atomic_load(&header->reloaded), now);
	view->publications = atomic_load(&header->current) >> 2;
	view->failed = failed >= atomic_load(&header->reloaded) ? seconds_since(failed, now) : -1;
	view->heard = seconds_since(atomic_load(&header->remote_heard), now);
	uint64_t until = atomic_load(&header->remote_until);
	uint64_t heard = atomic_load(&header->remote_heard);
	view->fleet_current = until > now;
	view->lease = until > heard ? until - heard : 0;
	view->sidecar = atomic_load(&header->remote_sidecar);
	view->fleet_mended = atomic_load(&header->remote_mended);
	view->fleet_evicting = atomic_load(&header->remote_evicting) != 0;
}

static enum compared compare(struct table *table)
{
	/* Another network namespace's connections are unknown to ours: there the counts are shown as they are. */
	if (network_namespace() != atomic_load(&table->header->network))
		return NOT_OTHER_NAMESPACE;
	return check_all(table) < 0 ? NOT_ANSWERED : COMPARED;
}

static void gather_one(struct gathering *gathering, struct found *found, struct table_view *view)
{
	struct table *table = &found->table;
	const struct table_header *header = table->header;
	uint64_t now = clock_ms();

	view->compared = compare(table);
	memcpy(view->name, found->name, sizeof(view->name));
	tables_printable(view->program, header->program, sizeof(view->program));
	tables_printable(view->failure, header->failure, sizeof(view->failure));
	view->memory = found->memory;
	view->maker = atomic_load(&header->maker);
	view->processes = found->processes;
	view->capacity = table->capacity;
	settings_default(&view->settings);
	limits_copy(table, &view->settings);
	gather_times(header, view, now);
	gather_counters(header, view);
	if (!find_clients(table, view) || !look_closer(table, view))
		gathering->failed = true;
	if (view->clients > 0)
		qsort(view->client, view->clients, sizeof(*view->client), by_weight);
	view->covered = -1;
	if (view->compared == COMPARED && gathering->sockets_known)
		coverage_of(found, &gathering->sockets, &view->covered, &view->in_kernel);
}

static void visit(struct found *found, void *with)
{
	struct gathering *gathering = with;
	struct table_view *more = realloc(gathering->views, (size_t)(gathering->number + 1) * sizeof(*more));

	if (more == NULL) {
		gathering->failed = true;
		return;
	}
	gathering->views = more;
	memset(&more[gathering->number], 0, sizeof(*more));
	gather_one(gathering, found, &more[gathering->number++]);
}

static void find_twins(struct table_view *views, int number)
{
	for (int i = 0; i < number; i++)
		for (int j = 0; j < i; j++)
			if (strcmp(views[i].name, views[j].name) == 0 && strcmp(views[i].program, views[j].program) == 0)
				views[i].twin = views[j].twin = true;
}

int views_gather(struct table_view **views, const char *which)
{
	struct gathering gathering = {.number = 0};

	table_remove_abandoned();
	gathering.sockets_known = sockets_read(&gathering.sockets);
	tables_visit(which, visit, &gathering);
	sockets_free(&gathering.sockets);
	*views = gathering.views;
	find_twins(gathering.views, gathering.number);
	if (!gathering.failed)
		return gathering.number;
	fprintf(stderr, "connlimit: out of memory\n");
	views_free(gathering.views, gathering.number);
	*views = NULL;
	return -1;
}

void views_free(struct table_view *views, int number)
{
	for (int i = 0; i < number; i++)
		free(views[i].client);
	free(views);
}
