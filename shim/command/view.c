#include "command/view.h"

#include "command/coverage.h"
#include "command/sockets.h"
#include "command/tables.h"

#include "kernel/kernel.h"
#include "values/alive.h"
#include "values/clock.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Bounds on the comparison, whatever is in the tables: questions asked one by one (1.6 us each), looks at processes (20 us
 * each), and the time after which coverage is left unknown. */
enum { QUESTIONS = 1 << 16, LOOKS = 1 << 13, COVERAGE_MS = 500 };

/* ---- which records are still valid ----
 *
 * The kernel lists all plain TCP connections of this network namespace, whatever their listener is bound to. Others are asked
 * about one by one. Records of connections that cannot be found from here are shown as they are. */

static bool is_listed(const struct connection *connection, const struct asking *asking)
{
	return !connection_is_unix(connection) && connection->mptcp == 0 && asking_reaches(asking, connection);
}

/* Marks records that are not in the kernel's list, among those already marked, or with `all` among all. Returns how many are
 * marked. */
static size_t mark_gone(struct table_view *view, const struct socket_index *index, const struct asking *asking, bool all)
{
	size_t gone = 0;

	for (size_t i = 0; i < view->records; i++) {
		struct record_view *record = &view->record[i];

		if (!is_listed(&record->connection, asking) || (!all && !record->gone))
			continue;
		const struct socket_facts *found = sockets_find(index, &record->connection);
		record->gone = found == NULL;
		gone += found == NULL;
		if (found != NULL)
			record->connection.local.address = found->connection.local.address;
	}
	return gone;
}

/* A record is only taken as gone if the kernel shows another socket with the same local port: this proves that its list can
 * contain such connections. */
static void believe(struct table_view *view, const struct sockets *sockets, const struct asking *asking)
{
	unsigned char shown[65536 / 8] = {0};

	for (size_t i = 0; i < sockets->listeners; i++) {
		uint16_t port = sockets->listener[i].connection.local.port;
		shown[port / 8] |= (unsigned char)(1U << port % 8);
	}
	for (size_t i = 0; i < sockets->opens; i++) {
		uint16_t port = sockets->open[i].connection.local.port;
		shown[port / 8] |= (unsigned char)(1U << port % 8);
	}
	for (size_t i = 0; i < view->records; i++) {
		uint16_t port = view->record[i].connection.local.port;
		if (is_listed(&view->record[i].connection, asking) && (shown[port / 8] & 1U << port % 8) == 0)
			view->record[i].gone = false;
	}
}

/* A connection known to be held by a process counts even if the kernel no longer has it, as the daemon is still working for the
 * client. Whether the process lives can only be seen in the same pid namespace. */
static void keep_held(struct table_view *view, uint64_t pids, size_t *left)
{
	struct process_seen seen = {0};

	for (size_t i = 0; i < view->records; i++) {
		struct record_view *record = &view->record[i];

		if (!record->gone || record->holder == 0 || connection_is_unix(&record->connection))
			continue;
		/* This takes time, and the table chooses the processes. */
		if (*left > 0 && seen.pid != record->holder)
			(*left)--;
		record->gone = view->pids == pids && *left > 0 && !process_holds_seen(&seen, record->holder, record->since);
	}
}

/* Unix and MPTCP connections are asked about one by one. */
static void ask_others(struct table_view *view, struct asking *asking, size_t *left)
{
	struct question question[QUESTIONS_MOST];
	size_t asked[QUESTIONS_MOST];
	size_t i = 0;

	while (i<view->records && * left> 0) {
		size_t number = 0;

		for (; i < view->records && number<QUESTIONS_MOST && * left> 0; i++) {
			const struct connection *connection = &view->record[i].connection;
			if (!connection_is_unix(connection) && (connection->mptcp == 0 || !asking_reaches(asking, connection)))
				continue;
			question[number] = (struct question){.connection = *connection};
			asked[number++] = i;
			(*left)--;
		}
		if (number == 0 || !kernel_ask(asking, question, number))
			return;
		for (size_t n = 0; n < number; n++)
			view->record[asked[n]].gone = connection_is_unix(&question[n].connection)
							  ? answer_is_gone(question[n].answer)
							  : question[n].answer == ANSWER_REMAINS;
	}
}

/* A connection missing in the first list may be newer than the list. If it is missing in the second one too, it is gone. */
static void compare_again(struct table_view *views, int number, const struct asking *asking)
{
	struct sockets sockets;
	struct socket_index now;
	bool known = sockets_read(&sockets) && sockets_index(&now, &sockets);

	for (int i = 0; i < number; i++) {
		if (views[i].compared != COMPARED)
			continue;
		if (known) {
			mark_gone(&views[i], &now, asking, false);
			believe(&views[i], &sockets, asking);
			continue;
		}
		views[i].compared = NOT_ANSWERED;
		for (size_t r = 0; r < views[i].records; r++)
			views[i].record[r].gone = false;
	}
	if (known)
		sockets_index_free(&now);
	sockets_free(&sockets);
}

static void compare_records(struct table_view *views, int number, const struct socket_index *before)
{
	struct asking asking = {0};
	size_t gone = 0;
	size_t questions = QUESTIONS;
	size_t looks = LOOKS;
	struct stat own;
	uint64_t pids = stat("/proc/self/ns/pid", &own) == 0 ? own.st_ino : 0;

	kernel_begin(&asking);
	for (int i = 0; i < number; i++) {
		if (views[i].compared != COMPARED)
			continue;
		gone += mark_gone(&views[i], before, &asking, true);
		ask_others(&views[i], &asking, &questions);
	}
	if (gone > 0)
		compare_again(views, number, &asking);
	for (int i = 0; i < number; i++)
		keep_held(&views[i], pids, &looks);
	kernel_end(&asking);
}

/* ---- what follows for the clients ---- */

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

static void count_record(struct client_view *client, uint32_t place, const struct record_view *record)
{
	if (place == NO_CLIENT)
		return;
	client[place].facts.open++;
	if (record->age > client[place].oldest)
		client[place].oldest = record->age;
}

/* Those of whom there is something to show, with the first in order before the others. Returns how many. */
static size_t keep_clients(struct client_view *client, size_t clients, uint64_t *at_limit)
{
	size_t kept = 0;
	size_t first = 0;

	for (size_t i = 0; i < clients; i++) {
		const struct client_facts *facts = &client[i].facts;

		if (facts->open == 0 && facts->refused == 0 && facts->observed == 0 && facts->banned == 0 &&
		    client[i].remote == 0)
			continue;
		*at_limit += facts->open > 0 && facts->limit != LIMIT_NONE && facts->open >= facts->limit;
		if (kept > 0 && by_weight(&client[i], &client[first]) < 0)
			first = kept;
		client[kept++] = client[i];
	}
	struct client_view swapped = client[0];
	client[0] = client[first];
	client[first] = swapped;
	return kept;
}

void views_sort(struct tables *tables)
{
	for (int i = 0; i < tables->number; i++) {
		struct table_view *view = &tables->view[i];

		qsort(view->client, view->clients, sizeof(*view->client), by_weight);
		qsort(view->within, view->networks, sizeof(*view->within), by_weight);
	}
}

/* A client's count is the number of its records that stand, whatever the table's own word for it; and so is a network's. */
static void count_clients(struct table_view *view)
{
	for (size_t i = 0; i < view->clients; i++)
		view->client[i].facts.open = view->client[i].oldest = 0;
	for (size_t i = 0; i < view->networks; i++)
		view->within[i].facts.open = view->within[i].oldest = 0;
	for (size_t i = 0; i < view->records; i++) {
		struct record_view *record = &view->record[i];

		if (!record->gone) {
			count_record(view->client, record->client, record);
			count_record(view->within, record->within, record);
		}
	}
	/* The order changes here, so they would name other clients. */
	free(view->record);
	view->record = NULL;
	view->records = 0;
	for (size_t i = 0; i < view->clients; i++) {
		view->banned += view->client[i].facts.banned != 0;
		view->open += view->client[i].facts.open;
		view->remote += view->client[i].remote;
	}
	view->clients = keep_clients(view->client, view->clients, &view->at_limit);
	view->networks = keep_clients(view->within, view->networks, &view->networks_at_limit);
}

/* Connections in another network namespace cannot be seen from here: their counts are shown as they are. */
static void choose_comparison(struct table_view *views, int number, bool answered)
{
	uint64_t network = network_namespace();

	for (int i = 0; i < number; i++)
		views[i].compared = views[i].network != network ? NOT_OTHER_NAMESPACE : answered ? COMPARED : NOT_ANSWERED;
}

bool views_gather(struct tables *tables, const char *which)
{
	const struct wanted wanted = {.which = which, .clients = true, .records = true};
	struct sockets sockets;
	struct socket_index index;

	table_remove_abandoned();
	bool known = sockets_read(&sockets);
	bool indexed = known && sockets_index(&index, &sockets);
	if (tables_read(tables, &wanted)) {
		uint64_t until = clock_us() + (uint64_t)COVERAGE_MS * 1000;
		choose_comparison(tables->view, tables->number, indexed);
		if (indexed)
			compare_records(tables->view, tables->number, &index);
		for (int i = 0; i < tables->number; i++) {
			struct table_view *view = &tables->view[i];
			if (view->compared == COMPARED && clock_us() < until)
				coverage_of(view, &sockets, &view->covered, &view->in_kernel);
			count_clients(view);
		}
	}
	if (indexed)
		sockets_index_free(&index);
	sockets_free(&sockets);
	return tables->number >= 0;
}

bool views_find_records(struct tables *tables, const struct wanted *wanted)
{
	struct sockets sockets;
	struct socket_index index;
	bool indexed = sockets_read(&sockets) && sockets_index(&index, &sockets);
	bool read = tables_read(tables, wanted);

	choose_comparison(tables->view, read ? tables->number : 0, indexed);
	if (indexed && read)
		compare_records(tables->view, tables->number, &index);
	if (indexed)
		sockets_index_free(&index);
	sockets_free(&sockets);
	return read;
}
