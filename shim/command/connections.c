#include "command/connections.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool add_table(struct connections *all, const struct table_view *view, size_t *room)
{
	pid_t *pids = realloc(all->process, (all->processes + view->place.pids + 1) * sizeof(*pids));

	if (pids == NULL)
		return false;
	all->process = pids;
	size_t from = all->processes;
	for (size_t i = 0; i < view->place.pids; i++)
		all->process[all->processes++] = view->place.pid[i];
	for (size_t i = 0; i < view->records; i++) {
		const struct record_view *record = &view->record[i];

		if (record->gone)
			continue;
		if (all->number == *room) {
			size_t more = *room != 0 ? *room * 2 : 64;
			struct client_connection *larger = realloc(all->connection, more * sizeof(*larger));

			if (larger == NULL)
				return false;
			all->connection = larger;
			*room = more;
		}
		struct client_connection *one = &all->connection[all->number++];
		*one = (struct client_connection){
		    .connection = record->connection,
		    .client = record->address,
		    .age = record->age,
		    .pid = record->holder,
		    .elsewhere = view->compared == NOT_OTHER_NAMESPACE,
		    .from = from,
		    .to = all->processes,
		};
		memcpy(one->table, view->name, sizeof(one->table));
	}
	return true;
}

static int by_age(const void *left, const void *right)
{
	uint32_t a = ((const struct client_connection *)left)->age;
	uint32_t b = ((const struct client_connection *)right)->age;

	return a < b ? 1 : a > b ? -1 : 0;
}

bool connections_find(struct connections *connections, const struct network *network, const char *which)
{
	const struct wanted wanted = {.which = which, .records = true, .network = network};
	size_t room = 0;
	bool good = true;

	*connections = (struct connections){0};
	if (!views_find_records(&connections->tables, &wanted))
		return false;
	for (int i = 0; i < connections->tables.number && good; i++)
		good = add_table(connections, &connections->tables.view[i], &room);
	if (!good)
		fprintf(stderr, "connlimit: out of memory\n");
	if (connections->number > 0)
		qsort(connections->connection, connections->number, sizeof(*connections->connection), by_age);
	return good;
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
	tables_free(&connections->tables);
	*connections = (struct connections){0};
}
