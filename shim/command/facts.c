#include "command/facts.h"

#include "table/arrived.h"
#include "table/clients.h"
#include "table/events.h"
#include "table/records.h"
#include "values/clock.h"
#include "values/text.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { PAGE = 4096, SECOND = 100 /* SECOND in units of clock_since */ };

/* The first part of a view has no pointers, and is sent as it is. */
static const size_t plain_size = offsetof(struct table_view, settings);

/* The size of settings without unused room for rules. */
static size_t settings_size(uint32_t rules)
{
	return offsetof(struct settings, rule) + sizeof(struct rule) * rules;
}

/* ---- in the reader ---- */

/* Of view.client[] or view.within[], what only the reader needs. */
struct gathered {
	uint32_t first;	       /* entry */
	uint32_t *place;       /* by entry, from the first: the index there + 1; 0: nothing was found in it */
	struct endpoint *peer; /* of a connection of each, with the port that it arrived at; 0 if there is none */
	size_t room;
};

struct gathering {
	const struct table *table;
	const struct copy *copy;
	struct table_view view;
	struct gathered clients;
	struct gathered networks;
	bool (*put)(const void *piece, size_t size, void *with);
	void *with;
};

size_t copy_next(const struct copy *copy, size_t page)
{
	size_t pages = (copy->size + PAGE - 1) / PAGE;
	const unsigned char *next = page < pages ? memchr(copy->present + page, 1, pages - page) : NULL;

	return next != NULL ? (size_t)(next - copy->present) : pages;
}

/* The first element of an array in the copy, from `from` on, a part of whose page is present; `end` if there is none. */
static uint32_t next_present(const struct copy *copy, const void *array, size_t each, uint32_t from, uint32_t end)
{
	size_t at = (size_t)((const char *)array - copy->base);
	size_t page = copy_next(copy, (at + each * from) / PAGE) * PAGE;
	size_t next = page > at + each * from ? (page - at) / each : from;

	return next < end ? (uint32_t)next : end;
}

void copy_pages(const struct copy *copy, size_t from, size_t to)
{
	to = to < copy->size ? to : copy->size;
	for (size_t page = copy_next(copy, from / PAGE); page * PAGE < to; page = copy_next(copy, page + 1)) {
		size_t at = page * PAGE;

		memcpy(copy->base + at, copy->live + at, to - at < PAGE ? to - at : PAGE);
	}
}

/* ---- a part at a time: elements with the same places in several arrays ----
 *
 * PART elements of each array are whole pages. A part is copied before its first element is looked at, and let go after its
 * last. */
enum { PART = 1 << 16, ARRAYS_MOST = 4 };

struct parts {
	const struct copy *copy;
	struct {
		const void *array;
		size_t each;
	} of[ARRAYS_MOST];
	uint32_t copied; /* the end of the part that is; 0: none */
};

static void let_go(char *base, size_t from, size_t to)
{
	madvise(base + from, to - from, MADV_DONTNEED);
}

static void move_to(struct parts *parts, uint32_t place)
{
	const struct copy *copy = parts->copy;
	uint32_t before = parts->copied;

	if (before != 0 && place < before && place >= before - PART)
		return;
	parts->copied = place / PART * PART + PART;
	for (int i = 0; i < ARRAYS_MOST && parts->of[i].array != NULL; i++) {
		size_t each = parts->of[i].each;
		size_t at = (size_t)((const char *)parts->of[i].array - copy->base);

		if (before != 0) {
			let_go(copy->base, at + each * (before - PART), at + each * before);
			let_go(copy->live, at + each * (before - PART), at + each * before);
		}
		copy_pages(copy, at + each * (parts->copied - PART), at + each * parts->copied);
	}
}

static bool make_room(void *array, size_t number, size_t *room, size_t each)
{
	void **at = array;

	if (number < *room)
		return true;
	size_t more = *room != 0 ? *room * 2 : 256;
	void *larger = realloc(*at, more * each);
	if (larger == NULL)
		return false;
	*at = larger;
	*room = more;
	return true;
}

static int64_t seconds_since(uint64_t then, uint64_t now)
{
	return then == 0 || then > now ? -1 : (int64_t)((now - then) / 1000);
}

static void gather_header(struct gathering *gathering, uint64_t now)
{
	const struct table_header *header = gathering->table->header;
	struct table_view *view = &gathering->view;
	uint64_t failed = atomic_load(&header->failed);
	uint64_t until = atomic_load(&header->remote_until);
	uint64_t heard = atomic_load(&header->remote_heard);
	int64_t uptime = seconds_since(atomic_load(&header->born), now);

	memcpy(view->name, header->name, sizeof(view->name));
	memcpy(view->program, header->program, sizeof(view->program));
	memcpy(view->failure, header->failure, sizeof(view->failure));
	view->capacity = gathering->table->capacity;
	view->network = atomic_load(&header->network);
	view->pids = atomic_load(&header->pids);
	view->maker = atomic_load(&header->maker);
	view->uptime = uptime > 0 ? (uint64_t)uptime : 0;
	view->published = seconds_since(atomic_load(&header->reloaded), now);
	view->publications = atomic_load(&header->current) >> 2;
	view->failed = failed >= atomic_load(&header->reloaded) ? seconds_since(failed, now) : -1;
	view->heard = seconds_since(heard, now);
	view->fleet_current = until > now;
	view->lease = until > heard ? until - heard : 0;
	view->sidecar = atomic_load(&header->remote_sidecar);
	view->fleet_mended = atomic_load(&header->remote_mended);
	view->fleet_evicting = atomic_load(&header->remote_evicting) != 0;
	view->refused = atomic_load(&header->refused);
	for (unsigned reason = 0; reason < REASONS; reason++)
		view->refused_for[reason] = atomic_load(&header->refused_for[reason]);
	for (unsigned way = 0; way < ASKED_WAYS; way++)
		view->asked[way] = atomic_load(&header->asked[way]);
	view->observed = atomic_load(&header->observed);
	view->uncounted = atomic_load(&header->uncounted);
	view->unverified = atomic_load(&header->unverified);
	view->unnamed = atomic_load(&header->unnamed);
	for (unsigned i = 0; i < UNVERIFIABLE; i++)
		unverifiable(gathering->table, i, &view->unverifiable[i]);
	view->checks = atomic_load(&header->checks);
	view->check_us = atomic_load(&header->check_us);
	view->check_gone = atomic_load(&header->check_gone);
	view->repaired = atomic_load(&header->repaired);
	view->bans = atomic_load(&header->bans);
}

/* The clients, or networks, in the entries from `entry` up to `end`. */
static bool gather_entries(struct gathering *gathering, uint32_t entry, uint32_t end, struct client_view **found,
			   size_t *number, struct gathered *gathered)
{
	const struct table *table = gathering->table;
	struct parts parts = {.copy = gathering->copy,
			      .of = {{table->entry, sizeof(*table->entry)},
				     {table->notes, sizeof(*table->notes)},
				     {table->high, sizeof(*table->high)}}};
	struct limits limits;

	limits_read(table, &limits);
	gathered->first = entry;
	gathered->place = calloc(end - entry, sizeof(*gathered->place));
	for (; gathered->place != NULL; entry++) {
		struct client_view client = {0};

		entry = next_present(gathering->copy, table->entry, sizeof(*table->entry), entry, end);
		if (entry == end)
			break;
		move_to(&parts, entry);
		if (!table_client(table, entry, &client.facts))
			continue;
		/* Of a client by a prefix that is not in effect any more, nobody is refused. */
		if (client.facts.banned != 0 &&
		    client.facts.network.prefix != limits_client(&limits, &client.facts.network.address).prefix)
			client.facts.banned = 0;
		client.remote = gathering->view.fleet_current ? atomic_load(&client_notes(table, entry)->remote) : 0;
		if (!make_room(found, *number, &gathered->room, sizeof(**found)))
			return false;
		(*found)[(*number)++] = client;
		gathered->place[entry - gathered->first] = (uint32_t)*number;
	}
	gathered->peer = calloc(*number + 1, sizeof(*gathered->peer));
	return gathered->place != NULL && gathered->peer != NULL;
}

/* Finds the limit that each client's next connection would meet. For limits by port, the port is that of one of its
 * connections, or if it has none, of another client's: only one can be shown. If there is no connection at all, the limit that
 * applied last is shown, unless there are no rules. */
static void find_limits(struct gathering *gathering, uint16_t any_port)
{
	struct table_view *view = &gathering->view;

	for (size_t i = 0; i < view->clients; i++) {
		struct client_facts *facts = &view->client[i].facts;
		struct connection further = {
		    .peer.address = facts->network.address,
		    .local.port = gathering->clients.peer[i].port != 0 ? gathering->clients.peer[i].port : any_port};
		struct limits limits;

		if (facts->network.prefix == NETWORK_UID)
			facts->limit = view->settings.per_uid;
		else if (further.local.port != 0)
			facts->limit = limits_apply(gathering->table, &limits, &further).limit;
	}
	/* For a network that of a client in it, or that applied last. */
	struct limits limits;
	limits_read(gathering->table, &limits);
	for (size_t i = 0; i < view->networks && limits_count_networks(&limits); i++) {
		const struct endpoint *peer = &gathering->networks.peer[i];
		struct connection further = {.peer.address = peer->address, .local.port = peer->port};

		if (peer->port != 0)
			view->within[i].facts.limit = limits_for_network(gathering->table, &limits, &further).limit;
	}
}

static bool gather_record(struct gathering *gathering, uint32_t slot, uint32_t now, const struct wanted *wanted,
			  struct record_view *found)
{
	const struct table *table = gathering->table;
	uint64_t state;

	if (!record_read_with_client(table, slot, &state, &found->connection, &found->address))
		return false;
	found->address = *connection_client(&found->connection);
	found->connection.client = NULL;
	uint32_t owner = atomic_load_explicit(&table->owner[slot], memory_order_relaxed);
	uint32_t within = gathering->view.networks != 0 ? network_of_record(table, slot) : NO_NETWORK;
	found->client = owner != 0 && owner <= table->entries ? gathering->clients.place[owner - 1] - 1 : NO_CLIENT;
	found->within = within != NO_NETWORK ? gathering->networks.place[within - gathering->networks.first] - 1 : NO_CLIENT;
	found->since = table->record[slot].since;
	found->age = (now - found->since) / SECOND;
	found->holder = atomic_load_explicit(&table->record[slot].holder, memory_order_relaxed);
	found->gone = false;
	return wanted->network == NULL ||
	       (!connection_is_unix(&found->connection) && network_contains(wanted->network, &found->address));
}

static void note_peer(struct endpoint *peer, const struct record_view *record)
{
	*peer = (struct endpoint){.address = record->address, .port = record->connection.local.port};
}

/* Each is sent behind a mark that one follows; the last mark says that none does. */
static bool put_records(struct gathering *gathering, const struct wanted *wanted, uint16_t *any_port)
{
	static const uint32_t follows = 1;
	static const uint32_t none = 0;
	const struct table *table = gathering->table;
	struct parts parts = {.copy = gathering->copy,
			      .of = {{table->record, sizeof(*table->record)},
				     {table->owner, sizeof(*table->owner)},
				     {table->within, sizeof(*table->within)},
				     {table->named, sizeof(*table->named)}}};
	uint32_t now = clock_since();
	uint32_t extent = record_extent(table);

	for (uint32_t slot = 0;; slot++) {
		struct record_view found = {0};

		slot = next_present(gathering->copy, table->record, sizeof(*table->record), slot, extent);
		if (slot == extent)
			return gathering->put(&none, sizeof(none), gathering->with);
		move_to(&parts, slot);
		if (!gather_record(gathering, slot, now, wanted, &found))
			continue;
		if (found.client != NO_CLIENT)
			note_peer(&gathering->clients.peer[found.client], &found);
		if (found.within != NO_CLIENT)
			note_peer(&gathering->networks.peer[found.within], &found);
		if (found.connection.local.port != 0)
			*any_port = found.connection.local.port;
		if (wanted->records && (!gathering->put(&follows, sizeof(follows), gathering->with) ||
					!gathering->put(&found, sizeof(found), gathering->with)))
			return false;
	}
}

/* Those that are kept, the oldest first. */
static void gather_events(const struct table *table, struct table_view *view, struct event_view event[EVENTS_KEPT])
{
	uint64_t end = events_end(table);

	view->events_end = end;
	for (uint64_t back = end < EVENTS_KEPT ? end : EVENTS_KEPT; back > 0; back--) {
		struct event_view *found = &event[view->events];

		*found = (struct event_view){.position = end - back};
		view->events += event_read(table, found->position, &found->facts);
	}
}

bool facts_put_settings(const struct settings *settings, bool (*put)(const void *piece, size_t size, void *with), void *with)
{
	return put(settings, settings_size(0), with) &&
	       put(settings->rule, settings_size(settings->rules) - settings_size(0), with);
}

bool facts_gather(const struct table *table, const struct copy *copy, const struct wanted *wanted,
		  bool (*put)(const void *piece, size_t size, void *with), void *with)
{
	static struct gathering gathering;
	static struct settings start;
	static struct event_view event[EVENTS_KEPT];
	struct table_view *view = &gathering.view;

	gathering = (struct gathering){.table = table, .copy = copy, .put = put, .with = with};
	gather_header(&gathering, clock_ms());
	settings_default(&view->settings);
	limits_copy(table, &view->settings);
	if (wanted->clients || wanted->records) {
		uint16_t any_port = view->settings.rules == 0 ? 1 : 0;

		if (!gather_entries(&gathering, 0, table->entries, &view->client, &view->clients, &gathering.clients) ||
		    !gather_entries(&gathering, table->entries, table->entries * 2, &view->within, &view->networks,
				    &gathering.networks) ||
		    !put_records(&gathering, wanted, &any_port))
			return false;
		find_limits(&gathering, any_port);
	}
	if (wanted->events)
		gather_events(table, view, event);
	if (wanted->start)
		view->starting = !limits_start(table, &start);
	return put(view, plain_size, with) && facts_put_settings(&view->settings, put, with) &&
	       (!wanted->start || facts_put_settings(&start, put, with)) &&
	       put(view->client, sizeof(*view->client) * view->clients, with) &&
	       put(view->within, sizeof(*view->within) * view->networks, with) &&
	       put(event, sizeof(*event) * view->events, with);
}

/* ---- in the command ---- */

/* A bool from elsewhere may be neither true nor false, and to load that is undefined behaviour. */
static void make_bool(bool *value)
{
	unsigned char byte;

	memcpy(&byte, value, 1);
	*value = byte != 0;
}

/* Makes a text printable, whatever it contains. */
static void make_printable(char *text, size_t size)
{
	char raw[256];

	memcpy(raw, text, size);
	text_escape(text, size, raw, size);
}

bool facts_take_settings(struct settings *settings, bool (*get)(void *piece, size_t size, void *with), void *with)
{
	if (!get(settings, settings_size(0), with) || settings->rules > RULES_MOST ||
	    !get(settings->rule, settings_size(settings->rules) - settings_size(0), with))
		return false;
	if (settings->lists > LISTS_MOST || settings->balancers > BALANCERS_MOST)
		return false;
	for (uint32_t i = 0; i < settings->lists; i++)
		settings->list[i].path[LIST_PATH_MOST] = '\0';
	settings->refuse_text[REFUSE_TEXT_MOST] = '\0';
	settings->file[PATH_MOST] = '\0';
	settings->table[TABLE_NAME_MOST] = '\0';
	settings->ipv4_prefix = settings->ipv4_prefix <= 32 ? settings->ipv4_prefix : 32;
	settings->ipv6_prefix = settings->ipv6_prefix <= 128 ? settings->ipv6_prefix : 128;
	settings->network_ipv4_prefix = settings->network_ipv4_prefix <= 32 ? settings->network_ipv4_prefix : 32;
	settings->network_ipv6_prefix = settings->network_ipv6_prefix <= 128 ? settings->network_ipv6_prefix : 128;
	for (uint32_t i = 0; i < settings->balancers; i++)
		if (settings->balancer[i].prefix > 128)
			settings->balancer[i].prefix = 128;
	for (uint32_t i = 0; i < settings->rules; i++)
		if (settings->rule[i].network.prefix > 128)
			settings->rule[i].network.prefix = 128;
	return true;
}

static bool check_plain(struct table_view *view, size_t size)
{
	if (view->capacity == 0 || view->capacity > 1U << 24 || table_size(view->capacity) != size)
		return false;
	if (view->clients > 2 * (size_t)view->capacity || view->networks > 2 * (size_t)view->capacity ||
	    view->records > view->capacity ||
	    (view->clients + view->networks) * sizeof(*view->client) + view->records * sizeof(*view->record) > FACTS_MOST ||
	    view->events > EVENTS_KEPT)
		return false;
	make_printable(view->name, sizeof(view->name));
	make_printable(view->program, sizeof(view->program));
	make_printable(view->failure, sizeof(view->failure));
	make_bool(&view->fleet_current);
	make_bool(&view->fleet_evicting);
	make_bool(&view->starting);
	view->published = view->published >= 0 ? view->published : -1;
	view->failed = view->failed >= 0 ? view->failed : -1;
	view->heard = view->heard >= 0 ? view->heard : -1;
	return true;
}

static void check_clients(struct client_view *client, size_t clients)
{
	for (size_t i = 0; i < clients; i++) {
		struct client_facts *facts = &client[i].facts;

		make_bool(&facts->by_rule);
		if (facts->network.prefix > 128 && facts->network.prefix != NETWORK_UID)
			facts->network.prefix = 128;
	}
}

static void check_records(struct table_view *view)
{
	for (size_t i = 0; i < view->records; i++) {
		struct record_view *record = &view->record[i];

		record->connection.descriptor = 0;
		record->connection.unasked = record->connection.port_known = false;
		record->connection.client = NULL;
		record->gone = false;
		if (record->client >= view->clients)
			record->client = NO_CLIENT;
		if (record->within >= view->networks)
			record->within = NO_CLIENT;
	}
}

/* In order, and each within its ranges, as event_read leaves them. */
static bool check_events(struct table_view *view)
{
	for (size_t i = 0; i < view->events; i++) {
		struct event_facts *facts = &view->event[i].facts;

		if (view->event[i].position >= view->events_end ||
		    (i > 0 && view->event[i].position <= view->event[i - 1].position))
			return false;
		facts->event = facts->event < EVENT_ENDED ? facts->event : EVENT_OTHER;
		if (facts->client.prefix > 128 && facts->client.prefix != NETWORK_UID)
			facts->client.prefix = EVENT_WITHOUT_CLIENT;
	}
	return true;
}

static bool take_records(struct table_view *view, bool (*get)(void *piece, size_t size, void *with), void *with)
{
	size_t room = 0;
	uint32_t follows = 0;

	for (view->records = 0; get(&follows, sizeof(follows), with) && follows != 0; view->records++)
		if (view->records >= FACTS_MOST / sizeof(*view->record) ||
		    !make_room(&view->record, view->records, &room, sizeof(*view->record)) ||
		    !get(&view->record[view->records], sizeof(*view->record), with))
			return false;
	return follows == 0;
}

bool facts_take(struct table_view *view, const struct wanted *wanted, bool (*get)(void *piece, size_t size, void *with),
		void *with)
{
	if ((wanted->clients || wanted->records) && !take_records(view, get, with))
		return false;
	size_t records = view->records;
	bool plain = get(view, plain_size, with);
	view->records = records;
	if (!plain || !check_plain(view, view->place.size) || !facts_take_settings(&view->settings, get, with))
		return false;
	if (wanted->start &&
	    ((view->start = malloc(sizeof(*view->start))) == NULL || !facts_take_settings(view->start, get, with)))
		return false;
	view->client = calloc(view->clients + 1, sizeof(*view->client));
	view->within = calloc(view->networks + 1, sizeof(*view->within));
	view->event = calloc(view->events + 1, sizeof(*view->event));
	if (view->client == NULL || view->within == NULL || view->event == NULL ||
	    !get(view->client, view->clients * sizeof(*view->client), with) ||
	    !get(view->within, view->networks * sizeof(*view->within), with) ||
	    !get(view->event, view->events * sizeof(*view->event), with) || !check_events(view))
		return false;
	check_clients(view->client, view->clients);
	check_clients(view->within, view->networks);
	check_records(view);
	return true;
}

void facts_free(struct table_view *view)
{
	free(view->start);
	free(view->client);
	free(view->within);
	free(view->record);
	free(view->event);
	view->event = NULL;
	view->start = NULL;
	view->client = NULL;
	view->within = NULL;
	view->record = NULL;
}
