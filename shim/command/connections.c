#include "command/connections.h"

#include "command/tables.h"

#include "decisions/check.h"
#include "values/clock.h"
#include "kernel/kernel.h"
#include "table/records.h"

#include <stdlib.h>
#include <string.h>

struct search {
	struct network network;
	struct connections *connections;
	size_t room;
};

static void add(struct search *search, const struct client_connection *found)
{
	struct connections *all = search->connections;

	if (all->number == search->room) {
		size_t more = search->room != 0 ? search->room * 2 : 64;
		struct client_connection *larger = realloc(all->connection, more * sizeof(*larger));

		if (larger == NULL)
			return;
		all->connection = larger;
		search->room = more;
	}
	all->connection[all->number++] = *found;
}

static void add_processes(struct connections *all, const struct found *found)
{
	pid_t *larger = realloc(all->process, (all->processes + found->pids + 1) * sizeof(*larger));

	if (larger == NULL)
		return;
	all->process = larger;
	for (size_t i = 0; i < found->pids; i++)
		all->process[all->processes++] = found->pid[i];
}

static void visit(struct found *found, void *with)
{
	struct search *search = with;
	struct table *table = &found->table;
	size_t from = search->connections->processes;
	bool here = network_namespace() == atomic_load(&table->header->network);

	if (here)
		check_all(table);
	add_processes(search->connections, found);
	uint32_t extent = record_extent(table);
	for (uint32_t slot = 0; slot < extent; slot++) {
		struct client_connection one = {.elsewhere = !here, .from = from, .to = search->connections->processes};
		uint64_t state;

		if (!record_read(table, slot, &state, &one.connection) || connection_is_unix(&one.connection) ||
		    !network_contains(&search->network, &one.connection.peer.address))
			continue;
		one.age = (clock_since() - table->record[slot].since) / 100;
		one.pid = atomic_load(&table->record[slot].holder);
		memcpy(one.table, found->name, sizeof(one.table));
		add(search, &one);
	}
}

/* Where they arrived is in the table only for those of which it was asked. */
static void find_local_addresses(struct connections *all)
{
	struct question *question = calloc(all->number + 1, sizeof(*question));
	size_t places = search_places(all->number);
	uint32_t *place = calloc(places, sizeof(*place));
	struct asking asking = {0};

	for (size_t i = 0; i < all->number && question != NULL; i++) {
		question[i].connection = all->connection[i].connection;
		question[i].answer = all->connection[i].elsewhere ? ANSWER_GONE : ANSWER_NONE;
	}
	struct kernel_search sought = {.question = question, .number = all->number, .place = place, .places = places};
	if (question != NULL && place != NULL && kernel_search(&asking, &sought))
		for (size_t i = 0; i < all->number; i++)
			all->connection[i].connection = question[i].connection;
	kernel_end(&asking);
	free(question);
	free(place);
}

static int by_age(const void *left, const void *right)
{
	uint32_t a = ((const struct client_connection *)left)->age;
	uint32_t b = ((const struct client_connection *)right)->age;

	return a < b ? 1 : a > b ? -1 : 0;
}

unsigned connections_find(struct connections *connections, const struct network *network, const char *which)
{
	struct search search = {.network = *network, .connections = connections};

	*connections = (struct connections){0};
	unsigned tables = tables_visit(which, visit, &search);
	find_local_addresses(connections);
	if (connections->number > 0)
		qsort(connections->connection, connections->number, sizeof(*connections->connection), by_age);
	return tables;
}

void connection_local_text(char *text, const struct connection *connection)
{
	if (connection_lacks_address(connection))
		strcpy(text, "*");
	else
		address_format(text, &connection->local.address);
}

void connections_free(struct connections *connections)
{
	free(connections->connection);
	free(connections->process);
	*connections = (struct connections){0};
}
